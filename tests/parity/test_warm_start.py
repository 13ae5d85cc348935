"""`fit --from`: weights of runs, and of shipped graphs; `test_export_methods` has those of exported models."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from helpers.files.shower_samples import DATA
from helpers.models.training_runs import Silent, tiny_config, trained
from zdc_common.errors import ConfigError
from zdc_detector.card import GOLDEN_FILE, GRAPH_FILE, ModelCard
from zdc_detector.showers import Showers, read_showers
from zdc_training.config.config import data_path, override_config, parse_config
from zdc_training.loop.fit import fit
from zdc_training.nn.method import build_learner
from zdc_training.runs.checkpoints import load_state
from zdc_training.runs.run import Run
from zdc_training.runs.warm_start import start_from

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def showers() -> Showers:
    return read_showers(DATA / "zn_geant4_repeats.h5")


@pytest.mark.parametrize("name", ["zn-fast", "zn-e2esae"])
def test_a_shipped_model_is_recovered_from_its_graph(name: str, showers: Showers) -> None:
    folder = MODELS / name / "1"
    card = ModelCard.read(folder)
    config = parse_config(card.config, name)
    model = build_learner(config, showers, torch.device("cpu")).model
    assert start_from(folder, config, model, showers) == ["encoder"]
    golden = np.load(folder / GOLDEN_FILE)
    inputs = {key: golden[key] for key in ("particles", "noise", "pdg") if key in golden}
    expected = ort.InferenceSession(folder / GRAPH_FILE).run(None, inputs)[0]
    with torch.no_grad():
        found = model.eval().rates(*(torch.from_numpy(inputs[key]) for key in inputs)).numpy()
    assert np.abs(found - expected).max() < 1e-5 * expected.max()


@pytest.mark.parametrize("name", ["zn-fast", "zn-e2esae"])
def test_a_training_from_a_shipped_model_begins_with_its_responses(name: str, showers: Showers) -> None:
    """Also in training mode, in which normalisations use the statistics of the batch."""
    folder = MODELS / name / "1"
    config = parse_config(ModelCard.read(folder).config, name)
    model = build_learner(config, showers, torch.device("cpu")).model
    start_from(folder, config, model, showers)
    particles = showers.particles.toward_a()
    some = torch.from_numpy(particles.conditions[:400])
    noise = torch.randn(len(some), model.noise, generator=torch.Generator().manual_seed(2))
    pdg = [torch.from_numpy(particles.pdg[:400].astype(np.int64))] if model.takes_pdg else []
    with torch.no_grad():
        settled = model.eval().rates(some, noise, *pdg).sum()
        training = model.train().rates(some, noise, *pdg).sum()
    assert float(training / settled) == pytest.approx(1, abs=0.05)


def test_a_run_begins_with_the_weights_of_another(tmp_path: Path) -> None:
    first = trained(tmp_path, "first")
    config = override_config(first.config(), [f"start_from={first.folder}", "optimiser.epochs=1", "seed=2"])
    model = build_learner(config, read_showers(data_path(config.data.train)), torch.device("cpu")).model
    assert start_from(first.folder, config, model, read_showers(data_path(config.data.train))) == []
    best = load_state(first.best)["model"]
    assert all(torch.equal(value, best[name]) for name, value in model.state_dict().items())
    second = Run(tmp_path / "second")
    fit(override_config(config, ["optimiser.learning_rate=1e-9"]), second, False, Silent())
    kept = dict(second.load_model().named_parameters())
    assert all(torch.allclose(value, best[name], atol=1e-5) for name, value in kept.items())
    first.best.unlink()  # a run that goes on needs it no more
    fit(override_config(second.config(), ["optimiser.epochs=2"]), second, True, Silent())
    with pytest.raises(ConfigError, match="start_from: a resumed run keeps"):
        fit(override_config(second.config(), [], ["start_from"]), second, True, Silent())


def test_what_cannot_be_begun_with_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    config, run = tiny_config(tmp_path), Run(tmp_path / "run")
    cases = [
        (tmp_path / "nowhere", "has neither card.json nor best.pt; name the folder of a model"),
        (MODELS / "zn-fast" / "1", "has method = 'fast', the configuration 'sinkhorn'; they must be equal"),
        (MODELS / "zn-e2esae" / "1", "has model.latent = 32, the configuration 4; they must be equal"),
    ]
    for source, message in cases:
        with pytest.raises(ConfigError) as caught:
            fit(override_config(config, [f"start_from={source}"]), run, False, Silent())
        assert str(caught.value) == f"start_from: {source} {message}" or message in str(caught.value)
        assert not run.config_file.exists()
