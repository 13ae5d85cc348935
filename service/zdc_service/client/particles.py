"""Particles in the forms that callers have them."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import InvalidInputError
from zdc_detector.particles import Particles


class Table(Protocol):
    """A table with named columns: of pandas, polars and the like."""

    @property
    def columns(self) -> Iterable[Any]:
        """Names of the columns."""

    def __getitem__(self, name: Any, /) -> Any:
        """A column."""


#: A block of N particles: `Particles`, or columns as `Particles.from_columns` takes them (``pdg``, ``px``, ``py``,
#: ``pz`` [GeV/c], if wanted ``vx``, ``vy``, ``vz`` [cm]; shape (N,) each) in a mapping, a table or a structured array.
#: Values of a mapping are checked as they come: a type for them would refuse ``{"pdg": [2112], "pz": [1500.0]}``.
ParticlesLike = Particles | Mapping[str, Any] | NDArray[np.void] | Table


def blocks_of(particles: ParticlesLike | Iterable[ParticlesLike]) -> Iterable[ParticlesLike]:
    """One block, or blocks that follow each other, as blocks.

    Raises
    ------
    InvalidInputError : neither.
    """
    if isinstance(particles, Particles | Mapping | np.ndarray) or hasattr(particles, "columns"):
        return [cast("ParticlesLike", particles)]
    if isinstance(particles, Iterable) and not isinstance(particles, str | bytes):
        return particles
    raise _no_particles(particles)


def as_particles(block: ParticlesLike) -> Particles:
    """A block of N particles.

    Raises
    ------
    InvalidInputError, OutOfRangeError : as `Particles.from_columns`; also for what has no named columns.
    """
    if isinstance(block, Particles):
        return block
    if isinstance(block, Mapping):
        return Particles.from_columns(block)
    if isinstance(block, np.ndarray):
        if block.dtype.names is None:
            raise _no_particles(block)
        return Particles.from_columns({name: block[name] for name in block.dtype.names})
    if not hasattr(block, "columns"):
        raise _no_particles(block)
    names = getattr(block, "column_names", block.columns)  # pyarrow's columns are the numbers themselves
    return Particles.from_columns({str(name): np.asarray(block[name]) for name in names})


def _no_particles(given: object) -> InvalidInputError:
    kind = f"an array of {given.dtype}" if isinstance(given, np.ndarray) else f"of type {type(given).__name__}"
    return InvalidInputError(
        f"particles are {kind}, which has no named columns; give Particles, or a mapping, a table or a structured "
        "array with the columns pdg, px, py, pz [GeV/c]"
    )
