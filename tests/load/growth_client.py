"""The client of `growth.py`, a separate process: one job, chunk by chunk. Prints a line of JSON.

Usage: growth_client.py URL OUTPUT PARTICLES MODEL_FOLDER
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from usage import peak_bytes
from workload import particles_for
from zdc_detector.card import ModelCard
from zdc_detector.particles import Particles
from zdc_service.client import connect
from zdc_service.simulation import Output

_BLOCK = 16384


def blocks(card: ModelCard, count: int) -> Iterator[Particles]:
    """Blocks of particles, as a reader of files yields them."""
    for start in range(0, count, _BLOCK):
        yield particles_for(card, min(_BLOCK, count - start), seed=start)


def main() -> None:
    """Simulate the job, and check that each row arrives once."""
    url, output, count, folder = sys.argv[1], Output(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    card = ModelCard.read(folder)
    rows, photons = 0, 0
    with connect(url) as client:
        for _ in client.simulate(next(blocks(card, 1)), seed=1, output=output, model=card.name):
            pass  # connection, compiled functions
        began = time.perf_counter()
        for chunk in client.simulate(blocks(card, count), seed=1, output=output, model=card.name):
            if not np.array_equal(chunk.row, np.arange(rows, rows + len(chunk.row))):
                raise RuntimeError(f"rows {chunk.row[:3]}... came after {rows} rows")
            rows += len(chunk.row)
            photons += int(chunk.channels.sum())
        seconds = time.perf_counter() - began
    if rows != count:
        raise RuntimeError(f"{rows} rows came for {count} particles")
    print(json.dumps({"seconds": seconds, "photons": photons, "peak": peak_bytes(os.getpid())}))


if __name__ == "__main__":
    main()
