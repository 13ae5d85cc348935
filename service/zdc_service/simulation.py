"""What is asked of a simulation and what comes back: the types behind both protocols and the client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import TooLargeError
from zdc_common.words import counted, counted_are
from zdc_detector.finish import Finish
from zdc_detector.hits import Hits
from zdc_detector.particles import Particles

from zdc_service.telemetry.statistics import NO_TIMING, Timing


class Output(StrEnum):
    """What is answered for each row."""

    RESPONSE = "response"
    CHANNELS = "channels"
    HITS = "hits"


class OutOfRange(StrEnum):
    """What happens to a particle outside the species, energies or vertices of the model card.

    ``extrapolate`` is for energies and vertices: a species that the model does not know is an error all the same, and
    a particle that is born behind the face gives an empty response.
    """

    ERROR = "error"
    SKIP = "skip"
    EXTRAPOLATE = "extrapolate"


@dataclass(frozen=True)
class SimulationRequest:
    """Particles to simulate, and how.

    Row ``first_row + particle * repeats + repeat`` has random numbers of its own, a function of (seed, row).

    Attributes
    ----------
    particles : N particles.
    seed : 0 <= seed < 2**53; None draws one, and the result carries it.
    first_row : Row of the first particle's first repeat.
    repeats : Responses per particle.
    output : What is answered for each row.
    out_of_range : What happens outside the trained range.
    rates : Answer the graph's raw output as float32 instead of finished photon counts.
    model, version : Which model; None is the server's default and its newest version.
    noise : The noise of each particle's rows, float32, shape (N, noise dimension), within +-10, instead of the seed's;
        only with one repeat. The finish is drawn from the seed all the same.
    """

    particles: Particles
    seed: int | None = None
    first_row: int = 0
    repeats: int = 1
    output: Output = Output.RESPONSE
    out_of_range: OutOfRange = OutOfRange.ERROR
    rates: bool = False
    model: str | None = None
    version: int | None = None
    noise: NDArray[np.float32] | None = None


def check_rows(particles: int, repeats: int, most: int) -> None:
    """Refuse a request with too many rows; to be called before anything is done for each of them.

    Raises
    ------
    TooLargeError : more than `most`.
    """
    rows = particles * repeats
    if rows > most:
        raise TooLargeError(
            f"{counted(particles, 'particle')} x {counted(repeats, 'repeat')} = {counted_are(rows, 'row')} above the "
            f"limit of {counted(most, 'row')} a request; "
            "split the particles, and let first_row continue the count"
        )


@dataclass(frozen=True)
class SimulationResult:
    """Responses of M rows, in the order of the request's particles and their repeats.

    Attributes
    ----------
    model, version : What answered.
    seed, first_row, repeats : As asked; the seed as drawn where none was given.
    finish : How the graph's rates became the photons below; ``none`` where they are the rates.
    shape : Fibres along x and y.
    channel_names : Names of the C channels.
    particle : Index into the request's particles, uint32, shape (M,).
    side : ``A`` (+z) or ``C`` (-z), bytes S1, shape (M,).
    channels : Photon sums, uint32 counts or float32 rates, shape (M, C).
    response : Photons per fibre, uint16 counts or float32 rates, shape (M, rows, columns), for ``response``.
    hits : For ``hits``.
    skipped, extrapolated : Particles outside the trained range, counted by reason.
    timing : Where the time went, on the side that computed.
    """

    model: str
    version: int
    seed: int
    first_row: int
    repeats: int
    finish: Finish
    shape: tuple[int, int]
    channel_names: tuple[str, ...]
    particle: NDArray[np.uint32]
    side: NDArray[np.bytes_]
    channels: NDArray[Any]
    response: NDArray[Any] | None = None
    hits: Hits | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    extrapolated: Mapping[str, int] = field(default_factory=dict)
    timing: Timing = NO_TIMING

    @property
    def nbytes(self) -> int:
        """Size of the arrays of its output."""
        size = self.channels.nbytes
        if self.response is not None:
            size += self.response.nbytes
        if self.hits is not None:
            size += self.hits.nbytes
        return size
