"""Fine-tuning: the training of a model begins with the weights of another one (`start_from`, `train-zdc fit --from`).

What is kept and what is measured again, see ``training/EXPERIMENTS.md``: all weights and constants of the source are
kept, except its scale of the light. This scale is one number, which a few showers determine, and a changed calorimeter
changes it most. Trained ranges, in the record of the run and in the card, are those of the new showers.
"""

from dataclasses import dataclass

import numpy as np
import torch
from zdc_common.errors import ConfigError
from zdc_detector.random import normals
from zdc_detector.showers import Showers

from zdc_training.config.config import changed_keys
from zdc_training.config.sections import Experiment
from zdc_training.nn.geometry import FaceGeometry
from zdc_training.nn.learner import Generator
from zdc_training.runs.source import Source

_BLOCK = 1000  # particles at a time; limits the memory
_DRAWS = 8  # responses of each training particle that give the light of the source
_SEED = 8  # of their noise


@dataclass(frozen=True)
class Beginning:
    """What fine-tuning begins with.

    Attributes
    ----------
    untrained : Networks that the source lacks; they begin with random weights.
    light : Factor of all rates of the source.
    """

    untrained: list[str]
    light: float


def begin_with(source: Source, config: Experiment, model: Generator, training: Showers) -> Beginning:
    """Copy the weights of a source to `model`, and scale its light.

    Parameters
    ----------
    config : Configuration of the new run.
    model : Its networks, on their device.
    training : Training showers of the new run.

    Raises
    ------
    ConfigError : the source has another method, or networks of other sizes.
    """
    check_keys(source, config)
    theirs, untrained = source.networks(training)
    _copy(source, theirs, model, training)
    return Beginning(untrained, _scale_light(model, training))


def check_keys(source: Source, config: Experiment) -> None:
    """Raise ConfigError if a configuration has another method, or other networks, than a source."""
    for key, (there, here) in changed_keys(source.config, config).items():
        section, _, name = key.partition(".")
        if key in ("method", "loss.reconstruction") or (section == "model" and name not in config.adaptable):
            raise ConfigError(
                f"start_from: {source.folder} has {key} = {there!r}, the configuration {here!r}; they must be equal: "
                f"leave the key out, then it is the model's (the configuration few-showers does so)"
            )


def _copy(source: Source, theirs: Generator, model: Generator, training: Showers) -> None:
    state = {name: value for name, value in model.adapted(theirs).items() if name not in of_the_face(model)}
    own = model.state_dict()
    for name, value in state.items():
        if name not in own or value.shape != own[name].shape:
            raise ConfigError(_misfit(source, training, name, theirs, model))
    model.load_state_dict(state, strict=False)


def of_the_face(model: Generator) -> set[str]:
    """Names of buffers that follow from the calorimeter: those of `FaceGeometry`."""
    return {
        f"{place}.{name}".lstrip(".")
        for place, part in model.named_modules()
        if isinstance(part, FaceGeometry)
        for name, _ in part.named_buffers()
    }


def _misfit(source: Source, training: Showers, name: str, theirs: Generator, ours: Generator) -> str:
    there, here = source.calorimeter, training.calorimeter
    sizes = " and ".join(str(tuple(model.state_dict().get(name, torch.empty(0)).shape)) for model in (theirs, ours))
    faces = [f"{face.shape[0]} x {face.shape[1]} fibres of {face.name}" for face in (there, here)]
    if there == here:
        return f"start_from: {source.folder}: {name} has the shapes {sizes}; it may be of another version"
    return (
        f"start_from: {source.folder} is for the {faces[0]}, data.train has the {faces[1]}, and the networks of method "
        f"{source.config.method} depend on it ({name} has the shapes {sizes}); train a model from the beginning"
    )


@torch.no_grad()
def _scale_light(model: Generator, training: Showers) -> float:
    """Scale the light of networks to that of the training showers; returns the factor, 1 if they cannot be scaled."""
    if model.output != "rate":
        return 1.0
    model.eval()
    device = next(model.parameters()).device
    conditions = torch.from_numpy(training.particles.conditions).to(device)
    species = [torch.from_numpy(training.particles.pdg.astype(np.int64)).to(device)] if model.takes_pdg else []
    simulated, generated = float(training.responses.sum(dtype=np.float64)), 0.0
    for start in range(0, len(training), _BLOCK):
        rows = slice(start, start + _BLOCK)
        for draw in range(_DRAWS):
            inputs = (each[rows] for each in (conditions, *species))
            some = next(inputs)
            noise = torch.from_numpy(normals(_SEED + draw, start, len(some), model.noise)).to(device)
            generated += float(model.rates(some, noise, *inputs).sum(dtype=torch.float64))
    generated /= _DRAWS
    factor = simulated / generated if simulated > 0 and generated > 0 else 1.0
    return factor if model.scale_light(factor) else 1.0
