"""The requests of a job and the numbering of their results, without input or output; all clients share it."""

import operator
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, TypeVar

from zdc_common.errors import InvalidInputError, ZdcError, rename_row
from zdc_detector.frames import Frame
from zdc_detector.random import check_seed, fresh_seed

from zdc_service.client.chunks import NO_PARTICLES, Chunk, JobRequest, chunk_of, split
from zdc_service.client.particles import ParticlesLike, as_particles
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult

#: The result for each row: a member of `Output` or its name.
OutputLike = Output | Literal["response", "channels", "hits"]
#: The treatment of particles outside the model's ranges: a member of `OutOfRange` or its name.
OutOfRangeLike = OutOfRange | Literal["error", "skip", "extrapolate"]
#: Where particles are given: a member of `Frame` or its name.
FrameLike = Frame | Literal["vertex", "face"]

_MOST_VERSION = 2**31 - 1

_Choice = TypeVar("_Choice", Output, OutOfRange, Frame)


class JobPlan:
    """The requests of one job, and the numbering of their results within the job.

    Attributes
    ----------
    version : The model's version for the whole job: the requested one, or else that of the first reply, also if the
        server loads a newer one during the job.
    """

    def __init__(
        self,
        rows_per_request: int,
        seed: int | None,
        repeats: int,
        output: OutputLike,
        out_of_range: OutOfRangeLike,
        first_row: int,
        model: str | None,
        version: int | None,
        rates: bool,
        frame: FrameLike = Frame.VERTEX,
    ):
        """Take the options of `zdc_service.client.Client.simulate`; raises InvalidInputError if one is invalid."""
        seed = fresh_seed() if seed is None else _whole("seed", seed)
        first_row, repeats = _whole("first_row", first_row), _whole("repeats", repeats)
        check_seed(seed, first_row)
        if repeats < 1:
            raise InvalidInputError(f"repeats = {repeats} must be at least 1")
        if version is not None and not 1 <= _whole("version", version) <= _MOST_VERSION:
            raise InvalidInputError(
                f"version = {version} must be from 1 to {_MOST_VERSION}, or None for the newest version"
            )
        if not isinstance(model, str | None):
            raise InvalidInputError(f"model = {model!r} must be a name, or None for the default model")
        self._job = SimulationRequest(
            NO_PARTICLES,
            seed,
            first_row,
            repeats,
            _choice("output", Output, output),
            _choice("out_of_range", OutOfRange, out_of_range),
            bool(rates),
            model,
            version,
            frame=_choice("frame", Frame, frame),
        )
        self._rows = rows_per_request
        self._particles = 0
        self.version = version

    def requests(self, block: ParticlesLike) -> Iterator[JobRequest]:
        """The requests for the next block; raises as `as_particles`, with the particle's number in the job."""
        first = self._particles
        try:
            particles = as_particles(block)
        except ZdcError as error:
            raise rename_row(error, lambda row: f"particle[{first + row}]") from error.__cause__
        self._particles += len(particles)
        return split(particles, self._job, self._rows, first)

    def request(self, wanted: JobRequest) -> SimulationRequest:
        """The request to send: that of `wanted`, with the job's version if it is known."""
        return replace(wanted.request, version=self.version)

    def must_ask_again(self, result: SimulationResult) -> bool:
        """Whether the reply is from another version than the job's, which the server loaded meanwhile."""
        return self.version is not None and result.version != self.version

    def chunk(self, wanted: JobRequest, result: SimulationResult) -> Chunk:
        """The result of one request, numbered within the job."""
        self.version = result.version
        return chunk_of(wanted, self._job, result)

    def explained(self, wanted: JobRequest, error: ZdcError) -> ZdcError:
        """The error of one request, with the particle's number in the job instead of the request."""
        return rename_row(error, lambda row: f"particle[{wanted.first_particle + row}]")


def _whole(name: str, value: int) -> int:
    try:
        return int(operator.index(value))  # numpy's integers too
    except TypeError:
        raise InvalidInputError(f"{name} = {value!r} must be a whole number") from None


def _choice(name: str, kind: type[_Choice], value: str) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        raise InvalidInputError(f"{name} = {value!r} must be one of {', '.join(kind)}") from None
