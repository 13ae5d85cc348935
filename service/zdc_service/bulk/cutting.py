"""From blocks of particles, as a reader gives them, to the parts of a job, which depend on the job alone."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import numpy as np
from zdc_detector.particles import Particles

from zdc_service.bulk.part import Part
from zdc_service.files import ParticleBlock


def cut(blocks: Iterable[ParticleBlock], repeats: int, rows: int) -> Iterator[tuple[Part, Callable[[int], str]]]:
    """Parts of at most `rows` rows, each with what the source calls its particles.

    A part has whole particles; a particle of more repeats than `rows` is cut into parts of its own.
    """
    number = particle = 0
    bounds = list(range(0, repeats, rows)) if repeats > rows else [0]
    for block in _of_size(blocks, max(1, rows // repeats)):
        for start, stop in pairwise([*bounds, repeats]):
            yield Part(number, block.particles, block.columns, particle, start, stop - start), block.place
            number += 1
        particle += len(block.particles)


def _of_size(blocks: Iterable[ParticleBlock], size: int) -> Iterator[ParticleBlock]:
    """The same particles in blocks of `size`, but for the last."""
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
