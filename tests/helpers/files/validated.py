"""Generated responses of some test particles, and their report by `zdc validate`."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from helpers.files.shower_samples import DATA, write_showers
from helpers.files.simulate_runs import run
from zdc_detector.showers import Showers, read_showers

PARTICLES = 14


def validate(*arguments: object) -> int:
    return run(*arguments, command="validate")


def some_showers(particles: int = PARTICLES) -> Showers:
    """Geant4 showers of the first particles that the tiny model knows."""
    test = read_showers(DATA / "zn_geant4_test.h5")
    known = np.isin(test.particles.pdg, [2112, 22])
    return test[known & np.isin(test.particle_id, np.unique(test.particle_id[known])[:particles])]


@dataclass(frozen=True)
class Validated:
    """The files of a validation."""

    reference: Path
    generated: Path
    report: Path
    numbers: dict[str, Any]
    said: str
    complained: str


def validated_in(folder: Path, models_folder: Path) -> Validated:
    """A reference from Geant4, generated responses to its particles, and a report that compares both."""
    reference, generated = write_showers(folder / "geant.h5", some_showers()), folder / "generated.h5"
    model = ("--models", models_folder, "--model", "tiny", "--version", 1)
    simulated = run("--input", reference, *model, "--repeats", 5, "--seed", 3, "--output", generated)
    assert simulated == 0
    arguments = ["validate", generated, "--reference", reference, "--json", folder / "numbers.json"]
    arguments += ["--resamples", "20", "--fail-above", "crps_ratio=0.5,auc=1", "--fail-below", "dispersion=0"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "zdc_service.cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    numbers = json.loads((folder / "numbers.json").read_text())
    return Validated(reference, generated, folder / "generated.html", numbers, done.stdout, done.stderr)
