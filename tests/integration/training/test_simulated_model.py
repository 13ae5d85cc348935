"""From no data at all to a served model, by the documented commands: Geant4, training, export, server."""

import signal
from pathlib import Path

import pytest
from helpers.documented_commands import commands, run_command
from helpers.servers.served_process import Process
from zdc_detector.card import ModelCard
from zdc_detector.showers import read_showers
from zdc_service.client import connect

pytestmark = pytest.mark.slow

#: What makes minutes of simulation and training seconds.
SMALL = {
    "simulate": ["-n", "24", "--geant4-data", "stand-in", "--spectrum"],
    "fit": ["--threads", "1", "--set", "optimiser.epochs=2", "--set", "optimiser.batch_size=8"],
    "evaluate": ["--repeats", "2", "--resamples", "5"],
}


def test_simulated_showers_become_a_served_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = Path("training/zdc_training/simulator/spectra/zn-face.toml")
    text = (Path(__file__).parents[3] / shipped).read_text()
    Path("cheap.toml").write_text(text.replace("knee = 300.0", "knee = 5.0").replace("slope = 0.5", "slope = 1.0"))
    *training, serve = commands("simulate.md", "some 10,000 showers:")
    for program, name, *words in training:
        assert program == "train-zdc"
        more = [*SMALL[name], "cheap.toml"] if name == "simulate" else SMALL.get(name, [])
        run_command([name, *words, *more])
    showers = read_showers(Path("mine.h5"))
    card = ModelCard.read(Path("models/mine/1"))
    assert card.calorimeter == showers.calorimeter
    assert card.data.description.startswith("Geant4 11.4")
    assert serve[:2] == ["zdc", "serve"]
    process = Process(*serve[2:])
    try:
        with connect(f"grpc://{process.grpc}") as client:
            result = client.run(showers.particles, seed=3, out_of_range="extrapolate", frame="face")
    finally:
        process.end(signal.SIGTERM)
    assert result.images.shape == (24, 44, 44)
