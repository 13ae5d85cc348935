"""From the ALICE collaboration's files to a served model, by the documented commands, in a new folder."""

import json
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from helpers.documented_commands import commands, run_command
from helpers.files.shower_samples import DATA
from helpers.servers.served_process import Process
from numpy.typing import NDArray
from zdc_detector.card import ModelCard
from zdc_detector.particles import Particles
from zdc_detector.showers import Showers, read_showers
from zdc_metrics import Report
from zdc_service.client import connect
from zdc_training.runs.provenance import read_provenance
from zdc_training.runs.run import Run

pytestmark = pytest.mark.slow

DOCUMENTED = "own-showers.md", "to a served model:"
COLUMNS = ["Energy", "Vx", "Vy", "Vz", "Px", "Py", "Pz", "mass", "charge", "pdg"]
#: What makes a training of minutes one of seconds.
TINY = {
    "optimiser.epochs": "2",
    "optimiser.batch_size": "128",
    "model.condition_width": "16",
    "model.generator_width": "16",
    "model.decoder_width": "16",
    "model.encoder_width": "16",
    "model.gate_width": "16",
}


@pytest.fixture(scope="module")
def showers() -> Showers:
    """Geant4 showers with 1 to 40 repeats of a particle, 200 particles, some below the collaboration's filter."""
    files = [read_showers(DATA / f"zn_geant4_{name}.h5") for name in ("repeats", "test")]
    rng = np.random.default_rng(5)
    parts = []
    for file, particles in zip(files, (24, 176), strict=True):
        for number in np.unique(file.particle_id)[:particles]:
            rows = rng.permutation(np.flatnonzero(file.particle_id == number))
            parts.append(file[rows[: rng.integers(1, len(rows) + 1)]])
    together = Particles.concatenate([part.particles for part in parts])
    responses = np.concatenate([part.responses for part in parts])
    return Showers(together, responses, np.zeros(len(responses), dtype=np.int32), files[0].calorimeter)


@pytest.fixture(scope="module")
def table(showers: Showers) -> NDArray[np.float64]:
    """Columns `COLUMNS`."""
    return np.column_stack([showers.particles.conditions.astype(np.float64), showers.particles.pdg])


@pytest.fixture(scope="module")
def trained(
    showers: Showers, table: NDArray[np.float64], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """The folder after all commands but the last one, and that one."""
    folder = tmp_path_factory.mktemp("new user")
    np.savez(folder / "data_nonrandom_particles.npz", table)
    np.savez(folder / "data_nonrandom_responses.npz", showers.responses.astype(np.float32))
    *training, serve = commands(*DOCUMENTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for program, name, *words in training:
            assert program == "train-zdc"
            if name == "fit":
                words += ["--threads", "1"]  # two that wait for each other cost five times as much
                words += [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
            if name == "evaluate":
                words += ["--repeats", "4", "--resamples", "5"]
            run_command([name, *words])
    return folder, serve


def test_the_collaborations_files_become_a_served_model(
    trained: tuple[Path, list[str]], showers: Showers, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, serve = trained
    monkeypatch.chdir(folder)
    program, name, *options = serve
    assert (program, name) == ("zdc", "serve")
    process = Process(*options)
    try:
        with connect(f"grpc://{process.grpc}") as client:
            result = client.run(showers.particles[::40], seed=3, out_of_range="extrapolate")
    finally:
        process.end(signal.SIGTERM)
    assert (result.model, result.version) == ("mine", 1)
    assert result.images.shape == (len(showers.particles[::40]), 44, 44)


def test_its_card_says_what_it_was_made_of(trained: tuple[Path, list[str]], showers: Showers) -> None:
    folder = trained[0]
    card = ModelCard.read(folder / "models" / "mine" / "1")
    convert = commands(*DOCUMENTED)[0]
    assert card.data.description == convert[convert.index("--title") + 1]
    assert card.data.files.keys() == {"mine_train.h5", "mine_test.h5"}
    assert card.licence == ""
    assert card.training is not None
    assert card.training.epochs == 2
    page = (folder / "models" / "mine" / "1" / "README.md").read_text()
    for text in (json.dumps(card.model_dump(mode="json")), page):
        assert "Geant4" not in text
        assert str(folder) not in text
    record = read_provenance(Run(folder / "runs" / "mine"))
    assert record is not None
    training, test = (read_showers(folder / f"mine_{part}.h5") for part in ("train", "test"))
    assert record.showers + record.validation_showers == len(training)
    assert len(training) + len(test) == len(showers)
    assert record.ranges == card.ranges
    report = Report.model_validate_json((folder / "runs" / "mine" / "metrics.json").read_bytes())
    assert report.notes[0].startswith("Particles have 1 to ")
    assert report.notes[0] in page
    assert "| CRPS [photons] | " in page


@pytest.mark.parametrize("form", ["pickles", "one npz"])
def test_other_forms_of_the_files_give_the_same_showers(
    trained: tuple[Path, list[str]], showers: Showers, table: NDArray[np.float64], tmp_path: Path, form: str
) -> None:
    frame, words = pd.DataFrame(table, columns=COLUMNS).astype({"pdg": int}), []
    if form == "pickles":
        frame.to_pickle(tmp_path / "particles.pkl")
        pd.to_pickle(showers.responses, tmp_path / "responses.pkl")
        words = [str(tmp_path / "particles.pkl"), str(tmp_path / "responses.pkl"), "--allow-pickle"]
    else:
        records: NDArray[Any] = frame.rename(columns={"pdg": "PDG_ID"}).to_records(index=False)
        np.savez_compressed(tmp_path / "both.npz", particles=records, responses=showers.responses)
        words = [str(tmp_path / "both.npz")] * 2
    run_command(["convert", *words, str(tmp_path / "a.h5")])
    with h5py.File(trained[0] / "mine.h5") as first, h5py.File(tmp_path / "a.h5") as second:
        for name in ("particles", "pdg", "responses", "particle_id"):
            assert np.array_equal(first[name][()], second[name][()])
