"""The learner of the fast generator."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.showers import Showers

from zdc_training.config.fast import FastConfig
from zdc_training.fast.losses import FastBatch, FastObjective, poisson_deviance
from zdc_training.fast.model import FastAutoencoder
from zdc_training.nn.distributed import own_rows, private, shared
from zdc_training.nn.learner import ObjectiveTerms, Player
from zdc_training.nn.method import Method

_BLOCK = 500  # showers that are transformed at the same time; limits the memory


class FastLearner:
    """Transforms all showers to the coarse frame once; the frame has the symmetries, so no augmentation is needed."""

    def __init__(self, config: FastConfig, model: FastAutoencoder, training: Showers, device: torch.device) -> None:
        self.config = config
        self.showers = turned(model, training)
        visible = self.showers.fibres.sum(dim=2, dtype=torch.float32)
        exposure = (visible * self.showers.log_energy.exp()).sum(dim=0)
        # 0.3 photons are added, so that a unit without light in training still has a rate above 0.
        model.mean_rate.copy_(torch.log((self.showers.photons.sum(dim=0) + 0.3) / exposure.clamp(min=1.0)))
        objective = FastObjective(config.loss, model.frame)
        objective.scores.fit(self.showers.photons, visible)
        self.showers = _moved(self.showers, device)
        self.model = model.to(device)
        self.objective = objective.to(device)
        self.joint = shared(partial(self.objective, self.model), [self.model])
        self.players = (Player(list(model.parameters())),)

    def turns(
        self, rows: NDArray[np.intp], rng: np.random.Generator, noise: torch.Generator
    ) -> Iterator[ObjectiveTerms]:
        """See `Learner`."""
        del rng  # the frame has the symmetries
        mine = torch.from_numpy(rows[own_rows(len(rows))])
        yield self.joint(_rows(self.showers, mine), private(noise))

    def figures(self, model: FastAutoencoder, showers: Showers) -> dict[str, float]:
        """The weighted reconstruction term, without noise on the latents."""
        device = model.mean_rate.device
        batch = _moved(turned(model.cpu(), showers), device)
        model.to(device)
        decoded = model.decode(
            model.conditions(batch.features), model.encode(batch.photons, batch.features), batch.log_energy
        )
        lit = batch.photons.sum(dim=1) > 0
        deviance = poisson_deviance(decoded * batch.fibres.sum(dim=2), batch.photons)
        return {"reconstruction": self.config.loss.reconstruction_weight * float((deviance * lit).mean())}


@torch.no_grad()
def turned(model: FastAutoencoder, showers: Showers) -> FastBatch:
    """Showers in the coarse frame of a model, on the CPU; `fibres` as int16."""
    blocks = [_turned(model, showers[slice(i, i + _BLOCK)]) for i in range(0, len(showers), _BLOCK)]
    columns = zip(*([getattr(block, name) for name in FastBatch.__dataclass_fields__] for block in blocks), strict=True)
    return FastBatch(*(torch.cat(column) for column in columns))


def _turned(model: FastAutoencoder, showers: Showers) -> FastBatch:
    particles = torch.from_numpy(showers.particles.conditions)
    entry, log_energy, features = model.read(particles, torch.from_numpy(showers.particles.pdg.astype(np.int64)))
    units = model.frame.units_on_face(entry)
    size, width = len(units), model.frame.width
    responses = torch.from_numpy(showers.responses.astype(np.float32)).flatten(1)
    photons = torch.zeros(size, width).scatter_add_(1, units, responses)
    calorimeter = showers.calorimeter
    channel = torch.from_numpy(calorimeter.channel_index.ravel())
    channels = len(calorimeter.channel_names)
    # Fibres without a channel form one more channel, so that all light is scored.
    count = channels + int((channel < 0).any())
    place = units * count + torch.where(channel < 0, channels, channel)
    fibres = torch.zeros(size, width * count).scatter_add_(1, place, torch.ones_like(responses))
    sums = torch.stack([(responses * (place % count == c)).sum(dim=1) for c in range(count)], dim=1)
    return FastBatch(features, log_energy, photons, fibres.reshape(size, width, count).to(torch.int16), sums)


def _moved(batch: FastBatch, device: torch.device) -> FastBatch:
    return FastBatch(*(getattr(batch, name).to(device) for name in FastBatch.__dataclass_fields__))


def _rows(batch: FastBatch, rows: Tensor) -> FastBatch:
    picked = (getattr(batch, name)[rows.to(batch.photons.device)] for name in FastBatch.__dataclass_fields__)
    features, log_energy, photons, fibres, channels = picked
    return FastBatch(features, log_energy, photons, fibres.to(photons.dtype), channels)


def _build_model(config: FastConfig, calorimeter: Calorimeter) -> FastAutoencoder:
    return FastAutoencoder(config.model, calorimeter)


METHOD = Method(_build_model, FastLearner)
