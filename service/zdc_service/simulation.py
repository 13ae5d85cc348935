"""Requests and results of a simulation: the types that both protocols and the clients use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import TooLargeError
from zdc_common.words import counted, counted_are
from zdc_detector.finish import Finish
from zdc_detector.frames import Frame
from zdc_detector.hits import Hits
from zdc_detector.particles import Particles

from zdc_service.telemetry.statistics import NO_TIMING, Timing


class Output(StrEnum):
    """The result for each row."""

    RESPONSE = "response"
    CHANNELS = "channels"
    HITS = "hits"


class OutOfRange(StrEnum):
    """The treatment of particles outside the species, energies, vertices or frames of the model card.

    ``extrapolate`` applies to energies, vertices, and positions and slopes at the face; an unknown species or frame
    remains an error. A particle with a vertex behind the face gives an empty response.
    """

    ERROR = "error"
    SKIP = "skip"
    EXTRAPOLATE = "extrapolate"


@dataclass(frozen=True)
class SimulationRequest:
    """Particles to simulate, with options.

    The random numbers of row ``first_row + particle * repeats + repeat`` are a function of seed and row only.

    Attributes
    ----------
    particles : N particles.
    seed : 0 <= seed < 2**53. If None, a seed is drawn; the result contains it.
    first_row : Row number of the first particle's first repeat.
    repeats : Responses per particle.
    output : The result for each row.
    out_of_range : The treatment of particles outside the training range.
    rates : Return the graph's photon rates as float32 instead of photon counts.
    model, version : Name and version of the model. None is the server's default model, and the newest version.
    noise : Noise for each particle's row, float32, shape (N, noise dimension), within +-10, instead of noise from the
        seed; only with one repeat. The photon counts are drawn from the seed in any case.
    frame : Where the particles are given. For ``face``, vz is filled in; if given, it must be that of the face.
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
    frame: Frame = Frame.VERTEX


def check_rows(particles: int, repeats: int, most: int) -> None:
    """Refuse a request with too many rows; call it before any work that is proportional to the rows.

    Raises
    ------
    TooLargeError : there are more than `most` rows.
    """
    rows = particles * repeats
    if rows > most:
        raise TooLargeError(
            f"{counted(particles, 'particle')} x {counted(repeats, 'repeat')} = {counted_are(rows, 'row')} above the "
            f"limit of {counted(most, 'row')} per request; "
            "split the particles, and let first_row continue the count"
        )


@dataclass(frozen=True)
class SimulationResult:
    """Responses of M rows, in the order of the request's particles and their repeats.

    Attributes
    ----------
    model, version : Name and version of the model that simulated the rows.
    seed, first_row, repeats : Those of the request; the drawn seed if the request had none.
    finish : How photon counts were made from the graph's rates; ``none`` if the photons are the rates themselves.
    shape : Rows and columns of a response: fibres along x and y.
    channel_names : Names of the C channels.
    particle : Index into the request's particles, uint32, shape (M,).
    side : ``A`` (+z) or ``C`` (-z), bytes S1, shape (M,).
    channels : Photon sums, uint32 counts or float32 rates, shape (M, C).
    response : Photons per fibre, uint16 counts or float32 rates, shape (M, rows, columns); None unless the output is
        ``response``.
    hits : The lit fibres; None unless the output is ``hits``.
    skipped, extrapolated : Number of particles outside the training range, by reason.
    timing : Durations of the simulation's steps, in the process that computed it.
    frame : Where the request's particles were given.
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
    frame: Frame = Frame.VERTEX

    @property
    def nbytes(self) -> int:
        """Size of the output's arrays [bytes]."""
        size = self.channels.nbytes
        if self.response is not None:
            size += self.response.nbytes
        if self.hits is not None:
            size += self.hits.nbytes
        return size
