"""Warms up an engine: does everything once for which its first requests would otherwise wait."""

import time

import numpy as np
from zdc_detector.finish import Finish, finish_rows
from zdc_detector.hits import to_hits
from zdc_detector.particles import KINEMATICS, Particles
from zdc_detector.random import normals_of

from zdc_service.engine.engine import Engine


def warm_up(engine: Engine) -> None:
    """Run the smallest and the largest batch, so that onnxruntime allocates memory, and call every compiled kernel.

    Sets `Engine.row_seconds`.
    """
    card = engine.card
    for rows in (1, engine.max_batch_rows):
        particles = _particles(engine, rows)
        card.ranges.outside(particles, card.calorimeter)
        numbers = np.arange(rows, dtype=np.uint64)
        seeds = np.zeros_like(numbers)
        noise = normals_of(seeds, numbers, card.noise.dimension)
        for _ in range(2):  # the first one allocates
            began = time.perf_counter()
            rates = engine.run(particles.conditions, noise, particles.pdg)
        engine.row_seconds = (time.perf_counter() - began) / rows
    for finish in {Finish.NONE, card.finish}:
        images = finish_rows(rates[:1], finish, seeds[:1], numbers[:1])
        card.calorimeter.channel_sums(images)
        to_hits(images)
    _read_rows()


def _read_rows() -> None:
    """Compile the kernel that reads rows of numbers, for read-only bytes of a body and for a writeable array."""
    from zdc_detector.kernels import split_rows

    rows = np.zeros((1, 1 + len(KINEMATICS)), dtype=np.float32)
    for writeable in (True, False):
        rows.flags.writeable = writeable
        split_rows(rows, 1.0, np.empty(1, dtype=np.int64), np.empty((1, len(KINEMATICS)), dtype=np.float32))


def _particles(engine: Engine, rows: int) -> Particles:
    """Copies of one particle along the beam, with an energy in the middle of the trained range."""
    species = engine.card.ranges.species[0]
    columns = {"pdg": species.pdg, "px": 0.0, "py": 0.0, "pz": sum(species.energy) / 2}
    return Particles.from_columns({name: np.full(rows, value) for name, value in columns.items()})
