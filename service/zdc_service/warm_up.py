"""Makes an engine do once what its first requests would otherwise wait for."""

import numpy as np
from zdc_detector.finish import Finish, finish_rows
from zdc_detector.particles import CONDITIONS
from zdc_detector.random import normals_of

from zdc_service.engine import Engine
from zdc_service.simulation import to_hits


def warm_up(engine: Engine) -> None:
    """Run the smallest and the largest batch: onnxruntime allocates, and numba compiles every kernel of a batch."""
    card = engine.card
    for rows in (1, engine.max_batch_rows):
        numbers = np.arange(rows, dtype=np.uint64)
        seeds = np.zeros_like(numbers)
        noise = normals_of(seeds, numbers, card.noise.dimension)
        rates = engine.run(np.ones((rows, len(CONDITIONS)), np.float32), noise, np.zeros(rows, dtype=np.int64))
    for finish in {Finish.NONE, card.finish}:
        images = finish_rows(rates[:1], finish, seeds[:1], numbers[:1])
        card.calorimeter.channel_sums(images)
        to_hits(images)
