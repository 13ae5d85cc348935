"""Split a job into requests of bounded size, and number the rows of their replies within the job."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError
from zdc_common.words import counted
from zdc_detector.hits import join_hits
from zdc_detector.particles import Particles

from zdc_service.simulation import SimulationRequest, SimulationResult

NO_PARTICLES = Particles(np.zeros(0, dtype=np.int64), np.zeros((0, 9), dtype=np.float32))


@dataclass(frozen=True)
class Chunk(SimulationResult):
    """M consecutive rows of a job, in the order of its particles and their repeats.

    Attributes
    ----------
    channels : Photon sums of the C channels, uint32 counts or float32 rates, shape (M, C).
    images : Photons per fibre, uint16 counts or float32 rates, shape (M, rows, columns); not for ``channels``.
    response : The same images; None unless `output` was ``response``.
    hits : The lit fibres of each row, as `Hits`; None unless `output` was ``hits``.
    particle : Number of each row's particle in the job, uint32, shape (M,).
    row : Number of each row, int64, shape (M,). Seed and row determine the random numbers of a row.
    side : ``A`` (+z) or ``C`` (-z), bytes S1, shape (M,).
    channel_names : Names of the C channels.
    shape : Rows and columns of the images.
    model, version : Name and version of the model that simulated the chunk.
    seed, first_row, repeats : Those of the job; the drawn seed if the caller gave none.
    finish : How photon counts were made from the model's rates; ``none`` if the photons are the rates themselves.
    asked : Numbers of the job's particles that this chunk covers. Particles may be skipped, and the repeats of a
        particle may be spread over several chunks.
    skipped, extrapolated : Number of particles outside the training range, by reason. Each particle is counted in one
        chunk of the job only.
    timing : Durations of the simulation's steps, if it ran in this process.
    frame : Where the particles were given: ``vertex`` or ``face``.
    """

    asked: range = range(0)
    row: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __repr__(self) -> str:
        photons = [("channels", self.channels), ("response", self.response)]
        arrays = [f"{name} {array.shape} {array.dtype}" for name, array in photons if array is not None]
        if self.hits is not None:
            arrays.append(f"hits of {counted(len(self.hits.fibre), 'fibre')} {self.hits.photons.dtype}")
        also = [f"skipped {dict(self.skipped)}"] if self.skipped else []
        also += [f"extrapolated {dict(self.extrapolated)}"] if self.extrapolated else []
        rows, particles = counted(len(self.row), "row"), counted(len(self.asked), "particle")
        of = f"{rows} of {particles}, {counted(self.repeats, 'repeat')}"
        return f"<Chunk: {', '.join([of, f'{self.model} {self.version}', f'seed {self.seed}', *arrays, *also])}>"

    @property
    def images(self) -> NDArray[Any]:
        """Photons per fibre, from `response` or from `hits`: uint16 counts or float32 rates, shape (M, rows, columns).

        Raises
        ------
        InvalidInputError : `output` was ``channels``.
        """
        if self.response is not None:
            return self.response
        if self.hits is None:
            raise InvalidInputError("output = channels has no images; ask for output = response or hits")
        return self.hits.to_images(self.shape)


@dataclass(frozen=True)
class JobRequest:
    """One request of a job: whole particles, or some repeats of one particle."""

    request: SimulationRequest
    first_particle: int
    first_repeat: int


def split(particles: Particles, job: SimulationRequest, rows: int, first_particle: int = 0) -> Iterator[JobRequest]:
    """Split one block of a job into requests of at most `rows` rows.

    Parameters
    ----------
    particles : The block.
    job : All other fields of the requests; its own `particles` are ignored.
    rows : Maximum number of rows of a request.
    first_particle : Number of the block's first particle in the job.
    """
    for start in range(0, len(particles), max(1, rows // job.repeats)):
        some = particles[start : start + max(1, rows // job.repeats)]
        first_row = job.first_row + (first_particle + start) * job.repeats
        for repeat in range(0, job.repeats, rows) if job.repeats > rows else (0,):
            repeats = min(rows, job.repeats - repeat)
            request = replace(job, particles=some, first_row=first_row + repeat, repeats=repeats)
            yield JobRequest(request, first_particle + start, repeat)


def chunk_of(wanted: JobRequest, job: SimulationRequest, result: SimulationResult) -> Chunk:
    """The result of one request, with particles and rows numbered within the job."""
    repeats = wanted.request.repeats
    local = result.particle.astype(np.int64)
    repeat = np.arange(len(local), dtype=np.int64) % repeats
    first_time = wanted.first_repeat == 0
    values = {
        **vars(result),
        "first_row": job.first_row,
        "repeats": job.repeats,
        "particle": (local + wanted.first_particle).astype(np.uint32),
        "skipped": result.skipped if first_time else {},
        "extrapolated": result.extrapolated if first_time else {},
    }
    asked = range(wanted.first_particle, wanted.first_particle + len(wanted.request.particles))
    return Chunk(**values, asked=asked, row=wanted.request.first_row + local * repeats + repeat)


def concatenate(chunks: Iterable[Chunk]) -> Chunk:
    """Join the chunks of a job into one, e.g. ``concatenate(client.simulate(particles))``.

    Raises
    ------
    InvalidInputError : there are no chunks.
    """
    chunks = list(chunks)
    if not chunks:
        raise InvalidInputError("there are no particles, so there are no rows; give at least one particle")
    if len(chunks) == 1:
        return chunks[0]
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(chunk, name) for chunk in chunks])
        for name in ("particle", "side", "channels", "row")
    }
    responses = [chunk.response for chunk in chunks if chunk.response is not None]
    hits = [chunk.hits for chunk in chunks if chunk.hits is not None]
    return replace(
        chunks[0],
        **joined,
        asked=range(chunks[0].asked.start, chunks[-1].asked.stop),
        response=np.concatenate(responses) if responses else None,
        hits=join_hits(hits, hits[0].photons.dtype) if hits else None,
        skipped=_sum([chunk.skipped for chunk in chunks]),
        extrapolated=_sum([chunk.extrapolated for chunk in chunks]),
    )


def _sum(counts: list[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for reason, count in each.items():
            total[reason] = total.get(reason, 0) + count
    return total
