"""`train-zdc reproduce`, on toy showers with networks of a few thousand weights."""

import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.files.shower_samples import toy_showers, write_showers
from helpers.models.training_runs import tiny_config
from matplotlib.image import imread
from zdc_metrics import Report
from zdc_training.cli import main
from zdc_training.reproduction.runs import TABLE1, Finished
from zdc_training.reproduction.table1 import FIGURES, Table1
from zdc_training.runs.run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides that make every configuration tiny."""
    folder = tmp_path_factory.mktemp("data")
    data = tiny_config(folder).data
    test = write_showers(folder / "few.h5", toy_showers(12, repeats=4, seed=2))  # few that have every figure
    tiny = {
        "data.train": f'"{data.train}"',
        "data.test": f'"{test}"',
        "data.validation_share": 0.25,
        "model.latent": 4,
        "model.channels": [4, 4, 4, 4],
        "model.hidden": [8, 8, 8],
        "optimiser.epochs": 1,
        "optimiser.batch_size": 30,
    }
    return ["--threads", "1", *(word for key, value in tiny.items() for word in ("--set", f"{key}={value}"))]


@pytest.fixture(scope="module")
def folder(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table1")
    main(["reproduce", "table1", "--output", str(folder), "--seeds", "1", *options])
    return folder


def test_table_1_holds_every_model_and_training_beside_the_floor(folder: Path) -> None:
    tree = json.loads((folder / "table1.json").read_text())
    assert list(tree["figures"]) == [entry.label for entry in TABLE1]
    for entry in TABLE1:
        report = Report.model_validate_json((folder / f"{entry.config}-seed1" / "metrics.json").read_bytes())
        for name in FIGURES:
            figure = report.overall.figures[name]
            assert tree["figures"][entry.label][name] == [figure.value]
            assert tree["floor"][name] == figure.floor
        assert tree["runs"][f"{entry.config}-seed1"]["epochs"] == 1
    text = (folder / "table1.md").read_text()
    (mae,) = tree["figures"]["cond VAE"]["mae"]
    assert f"| cond VAE | {mae:.3g} ({mae / tree['floor']['mae']:.2f} of the floor) |" in text
    assert "| simulation against simulation |" in text
    assert "the paper has" in text or "as in the paper" in text


def test_order_is_by_the_distance_from_the_best_value(folder: Path) -> None:
    tree = json.loads((folder / "table1.json").read_text())
    found = tree["figures"]
    assert tree["order"]["mae"] == sorted(found, key=lambda label: float(found[label]["mae"][0]))
    assert tree["order"]["auc"] == sorted(found, key=lambda label: abs(float(found[label]["auc"][0]) - 0.5))


def test_the_page_needs_no_other_file_and_has_every_figure(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]+"', page)
    for title in ("Table 1", "Figure 1", "Figure 3", "Figure 8", "cond DCGAN, seed 1"):
        assert title in page
    for name in ("table1", "fig1", "fig3", "fig8"):
        assert imread(folder / f"{name}.png").std() > 0.05


def test_a_figure_takes_up_the_runs_that_are_there(
    folder: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/best.pt")}
    assert before
    main(["reproduce", "fig8", "--output", str(folder), *options])
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/best.pt")} == before
    assert "run 1 of 1: zn-e2esae-table1, seed 1" in capsys.readouterr().err
    assert "Figure 8" in (folder / "fig8.html").read_text()


def test_runs_of_another_configuration_are_refused(
    folder: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["reproduce", "fig8", "--output", str(folder), *options, "--set", "model.latent=5"])
    assert "a resumed run keeps" in capsys.readouterr().err


def test_keys_that_only_some_models_have_are_refused_before_the_first_training(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong, message in (
        ("loss.kl_weight=0.1", "loss.kl_weight: no key of this method; vae has it"),
        ("optimiser.batch_size=1000", "optimiser.batch_size = 1000 is above the 120 training showers"),
        ("data.test=nowhere.h5", "nowhere.h5: no such file"),
    ):
        with pytest.raises(SystemExit):
            main(["reproduce", "table1", "--output", str(tmp_path / "new"), *options, "--set", wrong])
        assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_several_trainings_have_a_mean_and_a_spread(folder: Path) -> None:
    runs = [Finished(TABLE1[0], seed, Run(folder), report, 1.0, 1) for seed, report in enumerate(shifted(folder), 1)]
    table = Table1(runs)
    values = table.values(TABLE1[0].label, "mae")
    assert len(values) == 3
    cell = table.rows()[0][1 + FIGURES.index("mae")]
    assert cell.startswith(f"{statistics.fmean(values):.3g} ± {statistics.stdev(values):.2g}")
    assert "standard deviation over 3 trainings" in table.lead()


def test_a_figure_that_few_particles_cannot_say_is_left_out(folder: Path) -> None:
    report = next(shifted(folder))
    nothing = report.overall.figures["auc"].model_copy(update={"value": None, "floor": None})
    report.overall.figures["auc"] = nothing
    table = Table1([Finished(TABLE1[0], 1, Run(folder), report, 1.0, 1)])
    assert table.order("auc") == ()
    assert table.rows()[0][1 + FIGURES.index("auc")] == "–"
    assert table.draw().axes


def shifted(folder: Path) -> Iterator[Report]:
    """Reports of three models, used as three trainings of one model."""
    for entry in TABLE1[:3]:
        yield Report.model_validate_json((folder / f"{entry.config}-seed1" / "metrics.json").read_bytes())
