"""A training method of another package: registered as an entry point, it is trained, evaluated, exported and served."""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from helpers.files.shower_samples import toy_showers, write_showers
from helpers.models.stored_models import stored_models
from zdc_common.errors import ConfigError
from zdc_detector.card import ModelCard
from zdc_detector.random import normals
from zdc_service.engine.engine import Engine
from zdc_training.cli import main
from zdc_training.config.config import load_config
from zdc_training.config.methods import BUILT_IN, GROUP, registered_methods

#: All of a method: configuration, networks and learner. It gives the mean response by energy.
MODULE = '''
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn
from zdc_detector.particles import ENERGY
from zdc_training.config.sections import ConfigSection, Experiment
from zdc_training.nn.geometry import FaceGeometry
from zdc_training.nn.learner import Generator, ObjectiveTerms, Player
from zdc_training.nn.method import Method


class MeanModelConfig(ConfigSection):
    width: int = Field(8, ge=1, description="width of the hidden layer of the mean")


class MeanConfig(Experiment):
    """The mean response by energy."""

    implementation: ClassVar[str] = "mean_response:METHOD"

    method: Literal["mean"] = "mean"
    model: MeanModelConfig = MeanModelConfig()


class MeanModel(Generator):
    noise = 1
    foldable = ("layers",)

    def __init__(self, config, calorimeter):
        super().__init__()
        self.geometry = FaceGeometry(calorimeter)
        width, fibres = config.model.width, int(np.prod(calorimeter.shape))
        self.layers = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, fibres))

    def rates(self, particles, noise, *_):
        seen = torch.cat([particles[:, ENERGY, None] / 1000, noise], dim=1)
        rates = nn.functional.softplus(self.layers(seen)).reshape(-1, *self.geometry.shape)
        return rates * self.geometry.hits_face(particles)[:, None, None]


class MeanLearner:
    def __init__(self, config, model, training, device):
        self.model, self.training = model.to(device), training
        self.players = (Player(list(model.parameters())),)

    def turns(self, rows, rng, noise):
        counts = torch.from_numpy(self.training.responses[rows].astype(np.float32))
        draws = torch.randn(len(rows), 1, generator=noise)
        rates = self.model.rates(torch.from_numpy(self.training.particles.conditions[rows]), draws)
        yield ObjectiveTerms(poisson=(rates - counts * torch.log(rates + 1e-8)).mean())

    def figures(self, model, showers):
        return {"width": float(model.layers[0].out_features)}


METHOD = Method(MeanModel, MeanLearner)
'''


def install(folder: Path, entry: str, module: str = MODULE) -> None:
    """The files that an installer writes for a package with one entry point."""
    (folder / "mean_response.py").write_text(module)
    metadata = folder / "mean_response-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mean-response\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}\n")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which Python finds packages."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "mean_response", raising=False)
    return folder


@pytest.mark.slow
def test_it_is_trained_evaluated_exported_and_served(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(package, "mean = mean_response:MeanConfig")
    monkeypatch.chdir(tmp_path)
    write_showers(tmp_path / "train.h5", toy_showers(160, seed=1))
    write_showers(tmp_path / "test.h5", toy_showers(24, repeats=2, seed=2))
    Path("mean.toml").write_text(
        textwrap.dedent("""
            method = "mean"
            validate_every = 1
            data = { train = "train.h5", test = "test.h5", validation_share = 0.25 }
            optimiser = { epochs = 2, batch_size = 30 }
            output = { name = "toy-mean", description = "Mean response" }
        """)
    )
    main(["keys"])
    printed = capsys.readouterr().out
    assert "# of method mean: width of the hidden layer of the mean; >= 1\nwidth = 8\n" in printed
    main(["keys", "mean"])
    assert "# The mean response by energy" in capsys.readouterr().out

    main(["fit", "mean.toml", "--run", "run"])
    main(["fit", "mean.toml", "--run", "run", "--resume", "--set", "optimiser.epochs=3"])
    main(["evaluate", "run", "--repeats", "2", "--resamples", "2"])
    main(["export", "run"])
    assert "validation: " in capsys.readouterr().err
    folder = Path("models/toy-mean/1")
    card = ModelCard.read(folder)
    assert (card.noise.dimension, card.scaler, card.config["method"]) == (1, {"kind": "none"}, "mean")
    main(["evaluate", str(folder), "--repeats", "2", "--resamples", "2"])

    (model,) = stored_models(Path("models"))
    showers = toy_showers(10, seed=3)
    rates = Engine(model).run(showers.particles.conditions, normals(1, 0, 10, 1), showers.particles.pdg)
    assert rates.shape == showers.responses.shape
    assert np.isfinite(rates).all()
    assert rates.any()


def test_an_unknown_method_is_refused_before_its_package_is_installed() -> None:
    with pytest.raises(ConfigError, match="method: mean is not one of sinkhorn, vae, wae, swae, sae, dcgan, fast"):
        load_config("smoke", ["method=mean"])
    assert list(registered_methods()) == list(BUILT_IN)


@pytest.mark.parametrize(
    ("entry", "module", "message"),
    [
        ("vae = mean_response:MeanConfig", MODULE, "method vae is registered twice, by .* and by mean_response:"),
        ("mean = mean_response:MeanModel", MODULE, "mean_response:MeanModel is no subclass of .*Experiment"),
        (
            "means = mean_response:MeanConfig",
            MODULE,
            "the default of its key `method` must be",
        ),
        ("mean = mean_response:Absent", MODULE, r"mean_response:Absent cannot be imported \(AttributeError: "),
        ("mean = mean_response:X", "raise OSError('gone')", r"mean_response:X cannot be imported \(OSError: gone\)"),
    ],
)
def test_a_wrong_entry_point_is_refused_with_its_name(package: Path, entry: str, module: str, message: str) -> None:
    install(package, entry, module)
    with pytest.raises(ConfigError, match=message):
        load_config("smoke", [f"method={entry.partition(' ')[0]}"])


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("mean_response:Absent", "method mean: mean_response:Absent cannot be imported: "),
        ("mean_response:MeanModel", "method mean: mean_response:MeanModel is a type; it must be a .*Method"),
    ],
)
def test_a_configuration_class_that_names_no_method_is_refused(
    package: Path, tmp_path: Path, named: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install(package, "mean = mean_response:MeanConfig", MODULE.replace("mean_response:METHOD", named))
    write_showers(tmp_path / "train.h5", toy_showers(60, seed=1))
    (tmp_path / "mean.toml").write_text('method = "mean"\noptimiser = { batch_size = 10 }\ndata.train = "train.h5"')
    with pytest.raises(SystemExit):
        main(["fit", str(tmp_path / "mean.toml"), "--run", str(tmp_path / "run")])
    assert message.replace(".*", "zdc_training.nn.method.") in capsys.readouterr().err
