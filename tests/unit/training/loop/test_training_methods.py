"""Common properties of all methods: shapes, a gradient in every parameter, seeds, saving and loading, resuming."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.files.shower_samples import face_particles
from helpers.models.training_runs import METHODS, Silent, finished, method_config
from zdc_detector.random import normals
from zdc_training.config.config import override_config
from zdc_training.config.sections import Experiment
from zdc_training.data.datasets import load_split
from zdc_training.loop.fit import fit
from zdc_training.nn.learner import Generator
from zdc_training.nn.method import build_learner, build_model
from zdc_training.runs.run import Run

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy showers."""
    return tmp_path_factory.mktemp("methods")


@pytest.fixture(params=METHODS)
def config(request: pytest.FixtureRequest, folder: Path) -> Experiment:
    """Tiny networks of each method."""
    return method_config(folder, str(request.param))


def rates(model: Generator, rows: int = 7) -> torch.Tensor:
    particles = face_particles(rows, seed=5)
    pdg = [torch.from_numpy(particles.pdg.astype(np.int64))] if model.takes_pdg else []
    noise = torch.from_numpy(normals(3, 0, rows, model.noise))
    with torch.no_grad():
        return model.eval().rates(torch.from_numpy(particles.conditions), noise, *pdg)


def checkpoint(run: Run) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run.checkpoint, weights_only=True)
    return state


def same(one: object, other: object) -> bool:
    """Whether two checkpoints are equal to the bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_shapes_and_a_gradient_in_every_parameter(config: Experiment) -> None:
    training, validation = load_split(config.data)
    learner = build_learner(config, training, CPU)
    model = learner.model.train()
    moved: list[int] = []
    turns = learner.turns(np.arange(60), np.random.default_rng(1), torch.Generator().manual_seed(2))
    for player, terms in zip(learner.players, turns, strict=True):
        model.zero_grad()
        torch.autograd.backward(terms.total())
        for parameter in player.parameters:
            assert parameter.grad is not None
            assert torch.isfinite(parameter.grad).all()
            assert parameter.grad.abs().sum() > 0
            moved.append(id(parameter))
    assert sorted(moved) == sorted(id(parameter) for parameter in model.parameters())
    found = rates(model)
    assert found.shape == (7, 44, 44)
    assert (found >= 0).all()
    with torch.no_grad():
        assert np.isfinite(list(learner.figures(model, validation).values())).all()


def test_a_seed_makes_the_networks(config: Experiment) -> None:
    training, _ = load_split(config.data)
    first, second = (build_model(config, training.calorimeter) for _ in range(2))
    other = build_model(override_config(config, ["seed=2"]), training.calorimeter)
    assert same(first.state_dict(), second.state_dict())
    assert not same(first.state_dict(), other.state_dict())


def test_networks_are_built_without_a_change_to_the_callers_random_numbers(config: Experiment) -> None:
    training, _ = load_split(config.data)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_model(config, training.calorimeter)
    assert torch.equal(torch.rand(3), expected)


def test_a_resumed_run_is_the_run_that_never_stopped_and_is_loaded_as_it_was(
    config: Experiment, tmp_path: Path
) -> None:
    config = override_config(config, ["optimiser.epochs=2"])
    whole, halves = finished(tmp_path / "whole", config), Run(tmp_path / "halves")
    with pytest.raises(KeyboardInterrupt):
        fit(config, halves, False, Silent(interrupt_after=1))
    fit(config, halves, True, Silent())
    assert checkpoint(halves)["epoch"] == 2
    assert same(checkpoint(whole), checkpoint(halves))
    assert torch.equal(rates(whole.load_model()), rates(halves.load_model()))
