"""Generated responses from a network in memory, by the service's own rules for rows, noise and finish."""

import numpy as np
import torch
from numpy.typing import NDArray
from zdc_detector.finish import Finish, finish_rates
from zdc_detector.particles import Particles
from zdc_detector.random import normals

from zdc_training.model import SinkhornAutoencoder

_BLOCK = 1000


@torch.no_grad()
def generate_rates(
    model: SinkhornAutoencoder, particles: Particles, seed: int, first_row: int = 0
) -> NDArray[np.float32]:
    """Rates of one response for each particle, shape (N, rows, columns); rows count from `first_row`."""
    device = next(model.parameters()).device
    noise = normals(seed, first_row, len(particles), model.noise)
    conditions = torch.from_numpy(particles.toward_a().conditions).to(device)
    rates: NDArray[np.float32] = model.rates(conditions, torch.from_numpy(noise).to(device)).cpu().numpy()
    return rates


def generate(
    model: SinkhornAutoencoder, particles: Particles, repeats: int, seed: int, finish: Finish
) -> NDArray[np.uint16]:
    """Finished counts, shape (P, repeats, rows, columns), of a model in evaluation mode.

    Row = particle * repeats + repeat; `_BLOCK` rows at a time, to bound the memory of the networks.
    """
    rows = len(particles) * repeats
    blocks = []
    for start in range(0, rows, _BLOCK):
        index = np.arange(start, min(start + _BLOCK, rows)) // repeats
        rates = generate_rates(model, particles[index], seed, start)
        blocks.append(finish_rates(rates, finish, seed, start).astype(np.uint16, copy=False))
    flat = np.concatenate(blocks)
    return flat.reshape(len(particles), repeats, *flat.shape[1:])
