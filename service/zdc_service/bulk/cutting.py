"""Cut a reader's blocks of particles into the parts of a job; the parts depend on the job alone, not on the blocks."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from zdc_detector.particles import Particles
from zdc_readers import ParticleBlock

from zdc_service.bulk.part import Part


@dataclass(frozen=True)
class Cutting:
    """Cuts a job into parts of at most `rows` rows: several particles, or some repeats of one particle."""

    repeats: int
    rows: int

    @property
    def _particles(self) -> int:
        """Particles per part."""
        return max(1, self.rows // self.repeats)

    @property
    def _pieces(self) -> int:
        """Parts per particle, if it has more repeats than `rows`; otherwise 1."""
        return max(1, math.ceil(self.repeats / self.rows))

    def count(self, particles: int) -> int:
        """Number of parts for this number of particles."""
        return math.ceil(particles / self._particles) * self._pieces

    def particles(self, parts: range) -> tuple[int, int]:
        """Bounds ``(start, stop)`` of the particles in these consecutive parts."""
        pieces, size = self._pieces, self._particles
        return parts.start // pieces * size, math.ceil(parts.stop / pieces) * size

    def cut(self, blocks: Iterable[ParticleBlock], first: int = 0) -> Iterator[tuple[Part, Callable[[int], str]]]:
        """The parts, each with the function that names its particles as the source does.

        Parameters
        ----------
        blocks : Particles of the job, from number `first` on; `first` must be the start of a part.
        """
        number, particle = self.count(first), first
        bounds = [*range(0, self.repeats, self.rows), self.repeats] if self._pieces > 1 else [0, self.repeats]
        for block in _of_size(blocks, self._particles):
            for start, stop in pairwise(bounds):
                yield Part(number, block.particles, block.columns, particle, start, stop - start), block.place
                number += 1
            particle += len(block.particles)


def chosen_rows(block: ParticleBlock, rows: NDArray[np.intp]) -> ParticleBlock:
    """A block with only these rows."""
    columns = {name: values[rows] for name, values in block.columns.items()}
    return ParticleBlock(block.particles[rows], columns, lambda row: block.place(int(rows[row])))


def _of_size(blocks: Iterable[ParticleBlock], size: int) -> Iterator[ParticleBlock]:
    """The same particles in blocks of `size`; the last block may be smaller."""
    held: list[ParticleBlock] = []
    room = size
    for block in blocks:
        start = 0
        while start < len(block.particles):
            piece = _piece(block, start, min(len(block.particles), start + room))
            start += len(piece.particles)
            room -= len(piece.particles)
            held.append(piece)
            if not room:
                yield _joined(held)
                held, room = [], size
    if held:
        yield _joined(held)


def _piece(block: ParticleBlock, start: int, stop: int) -> ParticleBlock:
    rows = slice(start, stop)
    columns = {name: values[rows] for name, values in block.columns.items()}
    return ParticleBlock(block.particles[rows], columns, lambda row: block.place(start + row))


def _joined(pieces: list[ParticleBlock]) -> ParticleBlock:
    if len(pieces) == 1:
        return pieces[0]
    firsts = np.cumsum([0, *(len(piece.particles) for piece in pieces)])

    def place(row: int) -> str:
        piece = int(np.searchsorted(firsts, row, side="right")) - 1
        return pieces[piece].place(row - int(firsts[piece]))

    columns = {name: np.concatenate([piece.columns[name] for piece in pieces]) for name in pieces[0].columns}
    return ParticleBlock(Particles.concatenate([piece.particles for piece in pieces]), columns, place)
