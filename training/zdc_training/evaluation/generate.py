"""Generated responses of a network or an exported graph, with the service's rules for rows, noise and finish."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from zdc_detector.card import GRAPH_FILE, ModelCard
from zdc_detector.finish import Finish, finish_rates
from zdc_detector.particles import Particles
from zdc_detector.random import normals

from zdc_training.nn.learner import Generator

_BLOCK = 1000


@dataclass(frozen=True)
class RateSource:
    """A function for the rates of particles.

    Attributes
    ----------
    noise : Dimension of the noise.
    rates : Function of particles that fly to +z and of noise (N, noise); returns photons per fibre, shape
        (N, rows, columns).
    """

    noise: int
    rates: Callable[[Particles, NDArray[np.float32]], NDArray[np.float32]]


def network(model: Generator) -> RateSource:
    """A network in memory, in evaluation mode."""
    device = next(model.parameters()).device

    @torch.no_grad()
    def rates(particles: Particles, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        conditions = torch.from_numpy(particles.conditions).to(device)
        species = [torch.from_numpy(particles.pdg.astype(np.int64)).to(device)] if model.takes_pdg else []
        found: NDArray[np.float32] = model.rates(conditions, torch.from_numpy(noise).to(device), *species).cpu().numpy()
        return found

    return RateSource(model.noise, rates)


def exported_graph(folder: Path, card: ModelCard) -> RateSource:
    """The ONNX graph of a model folder."""
    session = ort.InferenceSession(folder / GRAPH_FILE, providers=["CPUExecutionProvider"])

    def rates(particles: Particles, noise: NDArray[np.float32]) -> NDArray[np.float32]:
        species = {"pdg": particles.pdg} if card.takes_pdg else {}
        found: NDArray[np.float32] = session.run(None, {"particles": particles.conditions, "noise": noise, **species})[
            0
        ]
        return found

    return RateSource(card.noise.dimension, rates)


def generate(source: RateSource, particles: Particles, repeats: int, seed: int, finish: Finish) -> NDArray[np.uint16]:
    """Photon counts, shape (P, repeats, rows, columns), after the finish.

    The row of a response is particle * repeats + repeat. `_BLOCK` rows are computed at a time, to limit the memory.
    """
    toward_a = particles.toward_a()
    rows = len(particles) * repeats
    blocks = []
    for start in range(0, rows, _BLOCK):
        index = np.arange(start, min(start + _BLOCK, rows)) // repeats
        rates = source.rates(toward_a[index], normals(seed, start, len(index), source.noise))
        blocks.append(finish_rates(rates, finish, seed, start).astype(np.uint16, copy=False))
    flat = np.concatenate(blocks)
    return flat.reshape(len(particles), repeats, *flat.shape[1:])
