"""`train-zdc simulate` with the real Geant4: a few cheap showers through kills, crashes, workers and continuations."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.foreground import foreground
from zdc_detector.showers import Showers, read_showers
from zdc_training.simulator.installed import geant4_version
from zdc_training.simulator.set_up import shipped_set_ups

pytestmark = pytest.mark.slow

VARIABLES = ("G4LEDATA", "G4PARTICLEXSDATA", "G4LEVELGAMMADATA", "G4ENSDFSTATEDATA")
#: Cheap showers: 12 particles of 1 to 40 GeV.
SPECTRUM = """
[species]
22 = 0.4
2112 = 0.3
2212 = 0.3
[energy]
lowest = 1.0
highest = 40.0
[position]
beyond_edge = 0.0
[angle]
smallest = 2e-5
largest = 5e-3
"""


def command(*options: object, data: str = "stand-in") -> list[str]:
    return [*foreground("zdc_training.cli"), "simulate", "--geant4-data", data, *map(str, options)]


def simulate(*options: object, data: str = "stand-in") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*options, data=data), capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def spectrum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spectrum") / "cheap.toml"
    path.write_text(SPECTRUM)
    return path


@pytest.fixture(scope="module")
def reference(spectrum: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Showers]:
    """Six particles, two showers of each, by one worker without interruption."""
    path = tmp_path_factory.mktemp("reference") / "showers.h5"
    done = simulate("--spectrum", spectrum, "-n", 6, "--repeats", 2, "-o", path, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return path, read_showers(path)


def same(one: Showers, other: Showers) -> bool:
    return np.array_equal(one.responses, other.responses) and np.array_equal(
        one.particles.conditions, other.particles.conditions
    )


def test_showers_and_their_provenance(reference: tuple[Path, Showers]) -> None:
    path, showers = reference
    assert list(showers.particle_id) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert showers.responses.sum() > 20
    repeats = showers.responses.reshape(6, 2, 44, 44)
    assert not np.array_equal(repeats[:, 0], repeats[:, 1])
    with h5py.File(path) as file:
        about = json.loads(file.attrs["simulation"])
        assert file.attrs["title"] == f"Geant4 {about['geant4']} showers in ZN, stand-in data files"
    assert about["geant4"] == geant4_version()
    assert about["data_files"] == "stand-in"
    assert about["seed"] == 1
    assert about["lost"] == []
    assert about["set_up"]["physics"]["hadronic"] == "FTFP_BERT"
    assert about["particles"]["spectrum"]["energy"]["highest"] == 40
    assert not path.with_name(path.name + ".journal").exists()
    assert not any(str(path.parent) in str(value) for value in about.values())


def test_killed_and_resumed_with_more_workers(spectrum: Path, reference: tuple[Path, Showers], tmp_path: Path) -> None:
    path = tmp_path / "showers.h5"
    options = ("--spectrum", spectrum, "-n", 6, "--repeats", 2, "-o", path)
    journal = tmp_path / "showers.h5.journal"
    with subprocess.Popen(command(*options, "--workers", 1), stderr=subprocess.PIPE) as process:
        for _ in range(1200):
            if journal.exists() and len(journal.read_bytes().splitlines()) > 3:
                break
            time.sleep(0.1)
        process.kill()
    assert not path.exists()
    kept = len(journal.read_bytes().splitlines())
    done = simulate(*options, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert kept > 3
    assert same(read_showers(path), reference[1])


def test_a_larger_number_continues(spectrum: Path, reference: tuple[Path, Showers], tmp_path: Path) -> None:
    path = tmp_path / "showers.h5"
    options = ("--spectrum", spectrum, "--repeats", 2, "-o", path, "--workers", 2)
    assert simulate(*options, "-n", 2).returncode == 0
    first = read_showers(path)
    with h5py.File(path, "r+") as file:
        file["responses"][0, 0, 0] = 777  # rows that exist are kept, not simulated again
    done = simulate(*options, "-n", 6)
    assert done.returncode == 0, done.stderr
    grown = read_showers(path)
    assert grown.responses[0, 0, 0] == 777
    grown.responses[0, 0, 0] = first.responses[0, 0, 0]
    assert same(grown, reference[1])
    assert "more than 4; add --overwrite" in simulate(*options, "-n", 2).stderr
    assert "has other showers (seed differs)" in simulate(*options, "-n", 6, "--seed", 2).stderr


def test_interrupted_by_ctrl_c(spectrum: Path, tmp_path: Path) -> None:
    journal = tmp_path / "showers.h5.journal"
    line = command("--spectrum", spectrum, "-n", 5000, "-o", tmp_path / "showers.h5", "--workers", 2)
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(1200):
            if journal.exists() and len(journal.read_bytes().splitlines()) > 2:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert journal.read_bytes().endswith(b"\n")


def test_a_crashed_worker_loses_no_shower(spectrum: Path, reference: tuple[Path, Showers], tmp_path: Path) -> None:
    path = tmp_path / "showers.h5"
    line = command("--spectrum", spectrum, "-n", 6, "--repeats", 2, "-o", path, "--workers", 1)
    journal = tmp_path / "showers.h5.journal"
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(1200):
            if journal.exists() and len(journal.read_bytes().splitlines()) > 2:
                break
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 1
        os.kill(int(children[0]), signal.SIGSEGV)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert same(read_showers(path), reference[1])


def test_data_files_that_geant4_refuses_end_with_its_words(
    spectrum: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, str(tmp_path))  # a folder without data
    path = tmp_path / "x.h5"
    done = simulate("--spectrum", spectrum, "-n", 5, "-o", path, "--workers", 1, data="official")
    assert done.returncode == 2
    assert "3 showers one after another are lost: the worker ended with" in done.stderr
    assert "G4Exception" in done.stderr
    assert not path.exists()


def test_particles_of_a_file_that_decay_on_the_way(tmp_path: Path) -> None:
    table = tmp_path / "kaons.csv"
    table.write_text("pdg,px,py,pz\n" + "310,0,0,30\n" * 6 + "130,0,0,30\n" * 6)
    path = tmp_path / "kaons.h5"
    done = simulate("--particles", table, "-o", path, "--workers", 2)
    assert done.returncode == 0, done.stderr
    showers = read_showers(path)
    assert list(showers.particle_id) == [0] * 6 + [6] * 6
    sums = showers.responses.sum(axis=(1, 2))
    # A K0S of 30 GeV/c flies 1.6 m: its charged pions are swept away, its photons mostly miss. K0L arrive (99 %).
    assert np.count_nonzero(sums[:6]) <= 2
    assert np.count_nonzero(sums[6:]) >= 4


def test_another_calorimeter_is_a_new_file(spectrum: Path, tmp_path: Path) -> None:
    zn = shipped_set_ups()["zn"].read_text()
    own = tmp_path / "lead.toml"
    rows = "".join(f'"{"12" * 4}",' for _ in range(12))
    own.write_text(
        zn.replace('calorimeter = "zn"', "")
        .replace("[upstream]", "")
        .replace("sweep_end = 6750.0", "")
        .replace("density = 17.6", "density = 11.35")
        .replace("{ W = 0.93, Fe = 0.03, Ni = 0.04 }", "{ Pb = 1.0 }")
        + f'[calorimeter]\nname = "TRY"\nshape = [12, 8]\nhalf_width = [1.2, 0.8]\nface_z = 100.0\n'
        f'channel_names = ["even", "odd"]\nchannel_map = [{rows}]\n'
    )
    path = tmp_path / "lead.h5"
    done = simulate("--detector", own, "--spectrum", spectrum, "-n", 12, "-o", path, "--workers", 2)
    assert done.returncode == 0, done.stderr
    showers = read_showers(path)
    assert showers.calorimeter.name == "TRY"
    assert showers.responses.shape == (12, 12, 8)
    assert showers.responses.sum() > 20
