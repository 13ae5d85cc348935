"""`fit --from`: what a training begins with; `test_export_methods` has the weights of exports of every method."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from helpers.calorimeters import ZN
from helpers.files.shower_samples import DATA, draw_responses, face_particles, write_showers
from helpers.models.training_runs import Silent, finished, tiny_config, tiny_fast_config
from zdc_common.errors import ConfigError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.card import CARD_FILE, GOLDEN_FILE, GRAPH_FILE
from zdc_detector.showers import Showers, read_showers
from zdc_service.engine.model_store import read_model
from zdc_training.cli import main
from zdc_training.config.config import load_config, override_config
from zdc_training.config.fast import FastConfig
from zdc_training.config.sections import Experiment
from zdc_training.data.datasets import load_split
from zdc_training.fast.species_columns import nearest
from zdc_training.loop.fit import fit
from zdc_training.nn.learner import Generator
from zdc_training.nn.method import build_learner
from zdc_training.runs.checkpoints import load_state
from zdc_training.runs.fine_tuning import begin_with
from zdc_training.runs.provenance import read_provenance
from zdc_training.runs.run import Run
from zdc_training.runs.source import Source, open_source
from zdc_training.runs.weights_file import WEIGHTS_FILE

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def showers() -> Showers:
    return read_showers(DATA / "zn_geant4_repeats.h5")


@pytest.fixture(scope="module", params=["zn-fast", "zn-e2esae"])
def recovered(request: pytest.FixtureRequest, showers: Showers) -> tuple[Source, Generator]:
    """A shipped model, and its networks from its graph."""
    source = open_source(Path(request.param) / "1")
    model, untrained = source.networks(showers)
    assert untrained == ["encoder"]
    return source, model


def test_the_weights_of_a_shipped_model_are_those_of_its_graph(recovered: tuple[Source, Generator]) -> None:
    """Rates of the golden particles; sums in another order change them by rounding errors alone."""
    source, model = recovered
    assert source.folder.resolve().parents[1] == MODELS
    golden = np.load(source.folder / GOLDEN_FILE)
    inputs = {key: golden[key] for key in ("particles", "noise", "pdg") if key in golden}
    expected = ort.InferenceSession(source.folder / GRAPH_FILE).run(None, inputs)[0]
    with torch.no_grad():
        found = model.eval().rates(*(torch.from_numpy(inputs[key]) for key in inputs)).numpy()
    assert np.abs(found - expected).max() < 1e-5 * expected.max()


def test_in_training_mode_a_shipped_model_gives_the_same_light(
    recovered: tuple[Source, Generator], showers: Showers
) -> None:
    """In this mode, normalisations use the statistics of the batch."""
    model, particles = recovered[1], showers.particles.toward_a()
    some = torch.from_numpy(particles.conditions[:400])
    noise = torch.randn(len(some), model.noise, generator=torch.Generator().manual_seed(2))
    pdg = [torch.from_numpy(particles.pdg[:400].astype(np.int64))] if model.takes_pdg else []
    with torch.no_grad():
        settled = model.eval().rates(some, noise, *pdg).sum()
        training = model.train().rates(some, noise, *pdg).sum()
    assert float(training / settled) == pytest.approx(1, abs=0.05)


def begun(source: Path, config: Experiment, showers: Showers | None = None) -> tuple[Generator, float]:
    """The networks with which a training begins, and the factor of their light."""
    training = showers or load_split(config.data)[0]
    model = build_learner(config, training, torch.device("cpu")).model
    return model, begin_with(open_source(source), config, model, training).light


def test_a_run_begins_with_the_weights_of_another(tmp_path: Path) -> None:
    first = finished(tmp_path / "first", override_config(tiny_config(tmp_path), ["optimiser.epochs=2"]))
    config = override_config(first.config(), [f"start_from={first.folder}", "optimiser.epochs=1", "seed=2"])
    model, light = begun(first.folder, config)
    assert light == 1.0  # these networks have no scale of the light
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


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A trained tiny fast generator."""
    folder = tmp_path_factory.mktemp("fast")
    return finished(folder / "run", tiny_fast_config(folder))


def few_showers(light: float = 1.0, face: Calorimeter = ZN) -> Showers:
    """60 showers of a changed calorimeter."""
    particles = face_particles(60, seed=5)
    responses = draw_responses(particles, 1, 6, light=light, calorimeter=face)[:, 0]
    return Showers(particles, responses, np.arange(60, dtype=np.int32), face)


def tuned_config(fast: Run, folder: Path, *overrides: str, light: float = 1.0) -> Experiment:
    """A configuration without networks, for such showers, in a TOML file."""
    write_showers(folder / "few.h5", few_showers(light))
    toml = folder / "few.toml"
    toml.write_text(
        f'start_from = "{fast.folder}"\n[data]\ntrain = "few.h5"\nvalidation_share = 0.25\n'
        "[optimiser]\nepochs = 4\nbatch_size = 20\nlearning_rate = 1e-4\naverage = 0.5\n"
        '[output]\nname = "few"\n'
    )
    return load_config(str(toml), overrides)


def test_keys_that_are_left_out_are_those_of_the_model(fast: Run, tmp_path: Path) -> None:
    theirs, config = fast.config(), tuned_config(fast, tmp_path, "loss.draws=3")
    assert isinstance(config, FastConfig)
    assert (config.method, config.model) == ("fast", theirs.model)
    assert (config.loss.draws, config.loss.channel_weight) == (3, 1.0)
    assert (config.output.name, config.output.limitations) == ("few", ("Toy showers.",))
    assert (config.optimiser.weight_decay, config.keep) == (0.0, "best")  # not the model's


@pytest.mark.parametrize("light", [0.5, 2.0])
def test_the_light_is_that_of_the_new_showers(fast: Run, tmp_path: Path, light: float) -> None:
    config = tuned_config(fast, tmp_path, light=light)
    model, factor = begun(fast.folder, config)
    training = load_split(config.data)[0]
    particles = training.particles
    noise = torch.randn(50 * len(particles), model.noise, generator=torch.Generator().manual_seed(1))
    inputs = (torch.from_numpy(each).repeat_interleave(50, 0) for each in (particles.conditions, particles.pdg))
    with torch.no_grad():
        conditions, pdg = inputs
        rates = model.eval().rates(conditions, noise, pdg.long()).sum() / 50
    assert float(rates) == pytest.approx(float(training.responses.sum()), rel=0.1)  # of 45 showers, 8 draws
    assert 0.3 * light < factor < 3 * light


def test_other_species_keep_or_take_over_weights(fast: Run, tmp_path: Path) -> None:
    config = tuned_config(fast, tmp_path, "model.species=[2212,22,2112]", "model.decay_lengths=[0,0,2.64e13]")
    model, _ = begun(fast.folder, config)
    theirs = load_state(fast.best)["model"]["gate.0.weight"]
    ours = model.state_dict()["gate.0.weight"]
    codes = [22, 2112, 130, 3122, 310, -2112]
    assert torch.equal(ours[:, :-3], theirs[:, :-6])
    for place, code in enumerate([2112, 22, 2112]):  # a proton begins as a neutron
        assert torch.equal(ours[:, place - 3], theirs[:, codes.index(code) - 6])


@pytest.mark.parametrize(("new", "known"), [(2212, 2112), (-2212, -2112), (211, 130), (11, 22), (3112, 3122)])
def test_a_new_species_begins_as_the_most_similar_one(new: int, known: int) -> None:
    assert nearest(new, [22, 2112, 130, 3122, 310, -2112]) == known


STRIPS = Calorimeter.model_validate(
    ZN.model_dump() | {"name": "strips", "shape": (44, 24), "channel_map": tuple(row[:24] for row in ZN.channel_map)}
)


def test_another_face_is_for_networks_that_do_not_depend_on_it(fast: Run, tmp_path: Path) -> None:
    strips = few_showers(face=STRIPS)
    model, _ = begun(fast.folder, fast.config(), strips)
    theirs = load_state(fast.best)["model"]
    assert torch.equal(model.state_dict()["decoder.0.weight"], theirs["decoder.0.weight"])
    assert model.state_dict()["frame.geometry.fibres"].tolist() == [44, 24]
    images = finished(tmp_path / "images", override_config(tiny_config(tmp_path), ["optimiser.epochs=2"]))
    with pytest.raises(ConfigError, match=r"is for the 44 x 44 fibres of ZN, data\.train has the 44 x 24 fibres of "
                       r"strips, and the networks of method sinkhorn depend on it \(.* the shapes \("):  # fmt: skip
        begun(images.folder, images.config(), strips)


def test_a_killed_fine_tuning_continues_with_the_same_bits(fast: Run, tmp_path: Path) -> None:
    config = tuned_config(fast, tmp_path, light=0.6)
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    follower = Silent()
    fit(config, whole, False, follower)
    assert follower.said[0].startswith("fine-tuning toy-fast (a run) (sha256 ")
    with pytest.raises(KeyboardInterrupt):
        fit(config, parts, False, Silent(interrupt_after=1))
    fit(parts.config(), parts, True, Silent())
    one, other = (load_state(run.checkpoint)["model"] for run in (whole, parts))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    for run in (whole, parts):
        record = read_provenance(run)
        assert record is not None
        assert record.source == open_source(fast.folder).spec
        assert record.source.trained_on.keys() == {"train.h5"}


def test_a_run_goes_on_without_its_model(fast: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And without a warning that its configuration differs from the file, which has no networks."""
    tuned_config(fast, tmp_path)
    source = shutil.copytree(fast.folder, tmp_path / "source")
    words = ["fit", str(tmp_path / "few.toml"), "--run", str(tmp_path / "run"), "--set", "optimiser.epochs=1"]
    main([*words, "--from", str(source)])
    shutil.rmtree(source)
    main([*words[:4], "--resume", "--set", "optimiser.epochs=2"])
    assert "differs" not in capsys.readouterr().err
    assert Run(tmp_path / "run").config().start_from == source
    with pytest.raises(SystemExit):
        main([*words[:3], str(tmp_path / "other"), "--from", str(source)])
    assert f"start_from: {source} has neither card.json nor config.json" in capsys.readouterr().err


def test_what_cannot_be_begun_with_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    config, run = tiny_config(tmp_path), Run(tmp_path / "run")
    cases = [
        (
            tmp_path / "nowhere",
            "has neither card.json nor config.json; name the folder of a run, the folder of a model",
        ),
        (Path("zn-fast"), "has the versions 1: name one, as zn-fast/1"),
        (Path("zn-fast/7"), "or NAME/VERSION of one of zn-e2esae/1, zn-fast/1"),
        (MODELS / "zn-fast" / "1", "has method = 'fast', the configuration 'sinkhorn'; they must be equal"),
        (Path("zn-e2esae/1"), "has model.latent = 32, the configuration 4; they must be equal: leave the key out"),
    ]
    for source, message in cases:
        with pytest.raises(ConfigError) as caught:
            fit(override_config(config, [f"start_from={source}"]), run, False, Silent())
        assert str(caught.value).startswith("start_from: ")
        assert message in str(caught.value)
        assert not run.config_file.exists()


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "zn-fast" / "1"
    shutil.copytree(MODELS / "zn-fast" / "1", folder)
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | {"weights_sha256": "0" * 64}))
    with pytest.raises(ConfigError, match=r"weights\.npz: No such file .*; the card has its hash: copy the whole"):
        open_source(folder)
    (folder / WEIGHTS_FILE).write_bytes(b"PK")
    with pytest.raises(ConfigError, match=r"weights\.npz: sha256 is .*, the card says 000000000000\.\.\.; copy"):
        open_source(folder)
    assert read_model(folder).card.weights_sha256 == "0" * 64  # a server does not read the file
