"""`train-zdc few-showers`, on toy showers with networks of a few thousand weights."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.calorimeters import ZN
from helpers.files.shower_samples import draw_responses, face_particles, toy_showers, write_showers
from helpers.models.training_runs import finished, tiny_fast_config
from matplotlib.image import imread
from zdc_detector.showers import Showers, read_showers
from zdc_training.cli import main
from zdc_training.config.config import override_config
from zdc_training.reproduction.few_showers import SCRATCH, SOURCE, TUNED, FewShowers, Result, groups, write_samples
from zdc_training.reproduction.few_showers_table import ratios
from zdc_training.reproduction.runs import read_report
from zdc_training.runs.run import Run

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Compared:
    """A finished comparison, and its command."""

    folder: Path
    words: list[str]

    def run(self, *more: str) -> None:
        main([*self.words, "--output", str(self.folder), *more])


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Models from 40 showers with half the light."""
    folder = tmp_path_factory.mktemp("few")
    source = finished(folder / "source", override_config(tiny_fast_config(folder), ["optimiser.epochs=2"]))
    particles = face_particles(80, seed=5)
    responses = draw_responses(particles, 1, 6, light=0.5)[:, 0]
    train = write_showers(folder / "changed.h5", Showers(particles, responses, np.arange(80), ZN))
    test = write_showers(folder / "changed_test.h5", toy_showers(12, repeats=4, seed=7))
    words = ["few-showers", str(source.folder), str(train), str(test), "--showers", "40", "--threads", "1"]
    words += ["--repeats", "4", "--resamples", "5", "--set", "optimiser.epochs=1", "--set", "optimiser.batch_size=20"]
    done = Compared(folder / "out", words)
    done.run()
    return done


def test_every_model_has_its_line(compared: Compared) -> None:
    with (compared.folder / "few-showers.csv").open() as file:
        lines = list(csv.DictReader(file))
    plan = [("0", SOURCE), ("40", SCRATCH), ("40", TUNED)]
    assert [(line["showers"], line["training"]) for line in lines] == plan
    report = read_report(compared.folder / "tuned-40-1" / "metrics.json")
    crps = report.overall.figures["crps"]
    assert crps.ratio is not None
    assert float(lines[-1]["ratio"]) == pytest.approx(crps.ratio, rel=1e-5)
    assert float(lines[-1]["ratio_low"]) < float(lines[-1]["ratio"]) < float(lines[-1]["ratio_high"])
    text = (compared.folder / "few-showers.md").read_text()
    assert f"| 40 | fine-tuned | {crps.ratio:.3f} | [" in text
    assert "Source: toy-fast (a run) (sha256 " in text
    assert imread(compared.folder / "few-showers.png").std() > 0.05


def test_a_model_needs_no_shower_besides_its_sample_and_larger_ones_contain_smaller_ones(
    compared: Compared, tmp_path: Path
) -> None:
    source, train, test = map(Path, compared.words[1:4])
    job = FewShowers(source, train, test, tmp_path, showers=(40, 60))
    write_samples(job)
    small, large = ({row.tobytes() for row in read_showers(job.sample(n, 1)).particles.conditions}
                    for n in (40, 60))  # fmt: skip
    assert (len(small), len(large)) == (40, 60)
    assert small < large
    tuned, scratch = (Run(compared.folder / f"{kind}-40-1").config() for kind in ("tuned", "scratch"))
    assert scratch.start_from is None
    assert tuned.start_from is not None
    assert (tuned.model, tuned.data) == (scratch.model, scratch.data)
    assert scratch.optimiser.learning_rate > tuned.optimiser.learning_rate


def test_the_same_command_trains_nothing_again(compared: Compared, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in compared.folder.glob("*/best.pt")}
    assert len(before) == 2
    compared.run()
    assert {path: path.stat().st_mtime_ns for path in compared.folder.glob("*/best.pt")} == before
    assert "model 2 of 2: 40 showers, sample 1, fine-tuned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--showers", "90"], "changed.h5 has 80 showers, 90 are asked for; name fewer with --showers"),
        (["--showers", "20"], "optimiser.batch_size = 20 is above the 16 training showers"),
        (["--set", "model.latent=5"], "has model.latent = 4, the configuration 5; they must be equal"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_a_training(
    compared: Compared, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        Compared(tmp_path / "new", compared.words).run(*words)
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("new/*/config.json"))


def test_other_showers_in_the_same_folder_and_a_test_file_without_repeats_are_refused(
    compared: Compared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_showers(tmp_path / "other.h5", toy_showers(80, seed=9))
    for place, path, message in (
        (2, other, "has results of other showers or of another model (see inputs.txt); choose another --output"),
        (3, other, "has 1 simulation of each particle: a floor needs at least two"),
    ):
        words = [str(path) if number == place else word for number, word in enumerate(compared.words)]
        with pytest.raises(SystemExit):
            Compared(compared.folder, words).run()
        assert message in capsys.readouterr().err


def test_several_samples_have_a_mean(compared: Compared) -> None:
    reports = [read_report(compared.folder / f"{name}-40-1" / "metrics.json") for name in ("tuned", "scratch")]
    results = [Result(40, TUNED, draw, report, 1.0) for draw, report in enumerate(reports, 1)]
    (both,) = groups(results)
    one, other, mean = ratios(results[:1]), ratios(results[1:]), ratios(both)
    assert mean == pytest.approx([(a + b) / 2 for a, b in zip(one, other, strict=True)])
