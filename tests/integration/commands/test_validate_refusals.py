"""Files and options that `zdc validate` refuses."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from helpers.files.shower_samples import write_showers
from helpers.files.simulate_runs import run
from helpers.files.validated import Validated, validate
from zdc_common.file_content import sha256_of
from zdc_detector.showers import read_showers


def test_files_of_other_kinds_are_refused_with_the_remedy(
    validated: Validated, tmp_path: Path, models_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ("--models", models_folder, "--model", "tiny", "--what", "hits")
    for ending in (".parquet", ".root", ".npz"):
        other = tmp_path / f"generated{ending}"
        assert run("--particle", "pdg=22,pz=500", *model, "--output", other) == 0
        assert validate(other, "--reference", validated.reference) == 2
        assert f"{other}: cannot be read as HDF5, which zdc simulate --output NAME.h5 writes" in capsys.readouterr().err


Change = Callable[[h5py.File], None]


def _another_face(file: h5py.File) -> None:
    del file["calorimeter"]
    file.attrs["calorimeter"] = "ZQ"


def _without_rows(file: h5py.File) -> None:
    for name in list(file):
        if file[name].ndim:
            values = file[name][:0]
            del file[name]
            file[name] = values


def _other_species(file: h5py.File) -> None:
    file["pdg"][:] = -2112


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_another_face, "changed.h5: calorimeter 'ZQ' is not known and the file does not contain it; known are ZN, ZP"),
        (_without_rows, "changed.h5: there are no rows; a file needs at least one shower"),
        (_other_species, "no species is in both files: the reference has n~ (-2112), the other one gamma (22)"),
    ],
)
def test_errors_name_files_that_cannot_be_compared(
    validated: Validated, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change, message: str
) -> None:
    showers = read_showers(validated.reference)
    changed = write_showers(tmp_path / "changed.h5", showers[showers.particles.pdg == 2112])
    photons = read_showers(validated.generated)
    generated = write_showers(tmp_path / "photons.h5", photons[photons.particles.pdg == 22])
    with h5py.File(changed, "a") as file:
        change(file)
    assert validate(generated, "--reference", changed) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed.h5", "photons.h5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-above", "auc"], "--fail-above 'auc' must be NAME=NUMBER"),
        (["--fail-below", "speed=1"], "--fail-below speed=1: unknown figure; known are wasserstein, mae, crps, "),
        (["--fail-above", "auc_ratio=1"], "auc has no ratio to its floor; set a bound on auc"),
        (["--output", "absent/r.html"], "the folder absent does not exist"),
        (["--json", "absent/r.json"], "the folder absent does not exist"),
        (["--resamples", "1"], "--resamples (ZDC_VALIDATE_RESAMPLES) = '1'"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    validated: Validated, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert validate(validated.generated, "--reference", validated.reference, *arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_the_files_are_never_overwritten(validated: Validated, capsys: pytest.CaptureFixture[str]) -> None:
    content = sha256_of(validated.generated)
    assert validate(validated.generated, "--reference", validated.reference, "--output", validated.generated) == 2
    assert "this is one of the files to compare; choose another name" in capsys.readouterr().err
    assert sha256_of(validated.generated) == content


@pytest.mark.parametrize("command", ["validate", "show"])
def test_a_missing_extra_is_one_line(
    validated: Validated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setitem(sys.modules, "mplhep", None)
    more = ("--reference", validated.reference) if command == "validate" else ()
    assert run(validated.generated, *more, command=command) == 2
    assert capsys.readouterr().err == (
        f"zdc: zdc {command} needs the package mplhep; in a checkout of zdc-fastsim run: pip install '.[validate]'\n"
    )


def test_packages_of_the_extra_are_imported_only_when_needed() -> None:
    program = (
        "import sys, zdc_service.cli; "
        "print({'scipy', 'sklearn', 'matplotlib', 'mplhep', 'jinja2', 'zdc_metrics'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
