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
        fit_profile(model, training)
        self.showers = turned(model, training)
        visible = self.showers.fibres.sum(dim=2, dtype=torch.float32)
        fit_mean_rate(model, self.showers, visible)
        objective = FastObjective(config.loss, model.frame)
        objective.scores.fit(self.showers.photons, visible, _levels(model, config, self.showers))
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
        expected = model.expected(batch.features, batch.log_energy)
        decoded = model.decode(model.conditions(batch.features), model.encode(batch.photons, batch.features), expected)
        lit = batch.photons.sum(dim=1) > 0
        deviance = poisson_deviance(decoded * batch.fibres.sum(dim=2), batch.photons)
        return {"reconstruction": self.config.loss.reconstruction_weight * float((deviance * lit).mean())}


@torch.no_grad()
def fit_mean_rate(model: FastAutoencoder, showers: FastBatch, visible: Tensor) -> None:
    """Set the `mean_rate` of a model from showers in its frame, and their visible fibres per unit, shape (N, U)."""
    exposure = visible * showers.log_energy.exp()
    photons, energy = showers.photons.sum(dim=0), exposure.sum(dim=0)
    # 0.3 photons are added, so that a unit without light in training still has a rate above 0.
    whole = torch.log((photons + 0.3) / energy.clamp(min=1.0))
    if model.profile is None:
        model.mean_rate.copy_(whole)
        return
    for kind in range(2):
        rows = model.electromagnetic(showers.features)[:, 0] == kind
        # Some photons at the rate of all showers are added: for a kind that training lacks, this rate is kept.
        light, seen = showers.photons[rows].sum(dim=0) + 3.0, exposure[rows].sum(dim=0) + 3.0 * torch.exp(-whole)
        model.mean_rate[kind].copy_(torch.log(light / seen))


@torch.no_grad()
def fit_profile(model: FastAutoencoder, showers: Showers) -> None:
    """Set the profile of a model, if it has one, from training showers."""
    if model.profile is None:
        return
    size = model.profile.size
    light, exposure = torch.zeros(2, size), torch.zeros(2, size)
    for start in range(0, len(showers), _BLOCK):
        block = showers[slice(start, start + _BLOCK)]
        particles, pdg = _inputs(block)
        entry, log_energy, features = model.read(particles, pdg)
        kind, places = model.electromagnetic(features).to(torch.int64), model.profile.places(entry)
        places = (places + kind * size).flatten()
        photons = torch.from_numpy(block.responses.astype(np.float32)).flatten(1)
        light.view(-1).index_add_(0, places, photons.flatten())
        exposure.view(-1).index_add_(0, places, log_energy.exp().expand(-1, photons.shape[1]).flatten())
    model.profile.fit(light, exposure, model.frame, showers.calorimeter)


def _levels(model: FastAutoencoder, config: FastConfig, showers: FastBatch) -> Tensor | None:
    """Functions of energy and kind, shape (N, L), whose fit is the mean of shower shapes; None: the mean of all."""
    if config.loss.feature_scale == "all":
        return None
    level = showers.log_energy / 3
    powers = torch.cat([torch.ones_like(level), level, level.square(), level**3], dim=1)
    return powers if model.profile is None else torch.cat([powers, powers * model.electromagnetic(showers.features)], 1)


@torch.no_grad()
def turned(model: FastAutoencoder, showers: Showers) -> FastBatch:
    """Showers in the coarse frame of a model, on the CPU; `fibres` as float16."""
    blocks = [_turned(model, showers[slice(i, i + _BLOCK)]) for i in range(0, len(showers), _BLOCK)]
    columns = zip(*([getattr(block, name) for name in FastBatch.__dataclass_fields__] for block in blocks), strict=True)
    return FastBatch(*(torch.cat(column) for column in columns))


def _turned(model: FastAutoencoder, showers: Showers) -> FastBatch:
    entry, log_energy, features = model.read(*_inputs(showers))
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
    share = torch.ones_like(responses)
    if model.profile is not None:
        share = model.profile(entry, model.electromagnetic(features)).flatten(1)
    fibres = torch.zeros(size, width * count).scatter_add_(1, place, share)
    sums = torch.stack([(responses * (place % count == c)).sum(dim=1) for c in range(count)], dim=1)
    return FastBatch(features, log_energy, photons, fibres.reshape(size, width, count).half(), sums)


def _inputs(showers: Showers) -> tuple[Tensor, Tensor]:
    """Conditions and PDG codes."""
    particles = showers.particles
    return torch.from_numpy(particles.conditions), torch.from_numpy(particles.pdg.astype(np.int64))


def _moved(batch: FastBatch, device: torch.device) -> FastBatch:
    return FastBatch(*(getattr(batch, name).to(device) for name in FastBatch.__dataclass_fields__))


def _rows(batch: FastBatch, rows: Tensor) -> FastBatch:
    picked = (getattr(batch, name)[rows.to(batch.photons.device)] for name in FastBatch.__dataclass_fields__)
    features, log_energy, photons, fibres, channels = picked
    return FastBatch(features, log_energy, photons, fibres.to(photons.dtype), channels)


def _build_model(config: FastConfig, calorimeter: Calorimeter) -> FastAutoencoder:
    return FastAutoencoder(config.model, calorimeter)


METHOD = Method(_build_model, FastLearner)
