"""What a job sends to its workers and gets back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zdc_training.simulator.primaries import Primary


@dataclass(frozen=True)
class Task:
    """One shower to simulate.

    Attributes
    ----------
    row : Its number.
    primary : The particle.
    seed : Seed of Geant4's random engine.
    """

    row: int
    primary: Primary
    seed: int


@dataclass(frozen=True)
class Shower:
    """The expected light of one shower.

    Attributes
    ----------
    row : Its number.
    fibres : Fibres with light, in the order of the flattened image, uint32, shape (lit,).
    rates : Expected photons in them, float32, shape (lit,).
    cpu_seconds : Processor time.
    """

    row: int
    fibres: NDArray[np.uint32]
    rates: NDArray[np.float32]
    cpu_seconds: float


@dataclass(frozen=True)
class Lost:
    """A shower whose worker crashed.

    Attributes
    ----------
    row : Its number.
    reason : How the worker ended, with the last words of Geant4.
    """

    row: int
    reason: str
