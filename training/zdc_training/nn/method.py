"""A training method: functions that build its networks and its learner."""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

import torch
from zdc_common.errors import ConfigError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.showers import Showers

from zdc_training.config.sections import Experiment
from zdc_training.nn.learner import Generator, Learner

C = TypeVar("C", bound=Experiment)
M = TypeVar("M", bound=Generator)


@dataclass(frozen=True)
class Method(Generic[C, M]):
    """How the networks of one kind of configuration are built and trained.

    A configuration class names its method in `Experiment.implementation`; `zdc_training.config.methods` lists the
    configuration classes.

    Attributes
    ----------
    build_model : Makes untrained networks on the CPU, for the responses of a calorimeter. Draws weights from torch's
        global generator, which is seeded for it.
    build_learner : Takes these networks, the training showers and the device to train on.
    """

    build_model: Callable[[C, Calorimeter], M]
    build_learner: Callable[[C, M, Showers, torch.device], Learner[M]]


def method_of(config: Experiment) -> Method[Any, Any]:
    """The method of a configuration.

    Raises
    ------
    ConfigError : the module that the configuration class names has no such method.
    """
    try:
        found = resolve_name(config.implementation)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"method {config.method}: {config.implementation} cannot be imported: {error}") from error
    if not isinstance(found, Method):
        raise ConfigError(
            f"method {config.method}: {config.implementation} is a {type(found).__name__}; it must be a "
            "zdc_training.nn.method.Method"
        )
    return found


def build_model(config: Experiment, calorimeter: Calorimeter) -> Generator:
    """Untrained networks of a configuration on the CPU, initialised from its seed.

    The state of torch's global generators does not change.
    """
    # The generator of the CPU alone: the networks are built there, and `torch.manual_seed` would seed GPUs too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        model: Generator = method_of(config).build_model(config, calorimeter)
    return model


def build_learner(config: Experiment, training: Showers, device: torch.device) -> Learner[Any]:
    """Untrained networks on a device, with the showers that they are trained on."""
    model = build_model(config, training.calorimeter)
    return method_of(config).build_learner(config, model, training, device)
