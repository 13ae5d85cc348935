"""Figures on showers that were not trained on, and what they warn of."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from zdc_detector.finish import Finish
from zdc_detector.showers import Showers
from zdc_metrics import channel_wasserstein, empty_share, fair_crps, mean_absolute_error
from zdc_metrics.statistics.distances import crps_floor

from zdc_training.config.sections import Experiment
from zdc_training.evaluation.generate import generate, network
from zdc_training.nn.learner import Generator, Learner

_SEED = 20_201  # the same noise at every validation, so that epochs compare
_REPEATS = 4
_SHOWN, _ZOOM = 8, 2  # showers in a picture, and pixels of a fibre along a side
#: A cloud of latents should be so many blurs wide at least, see `zdc_training.images.losses`.
CLEAR = 10.0
_FAR = 10.0  # times too much or too little light


@torch.no_grad()
def validate(model: Generator, learner: Learner[Any], showers: Showers, config: Experiment) -> dict[str, float]:
    """Figures on showers that were not trained on, each simulated once, against four generated responses.

    The method adds what it alone can say: ``reconstruction`` is the weighted term of the objective, as in training.
    ``crps_of_model`` is what the CRPS would be if the generated responses were the truth: below ``crps`` where they
    miss it or spread too little.
    """
    model.eval()
    calorimeter = showers.calorimeter
    generated = generate(network(model), showers.particles, _REPEATS, _SEED, config.output.finish)
    flat = generated.reshape(-1, *calorimeter.shape)
    sums = calorimeter.channel_sums(flat).reshape(len(showers), _REPEATS, -1)
    truth = calorimeter.channel_sums(showers.responses)
    return {
        "crps": float(fair_crps(truth[:, None], sums).mean()),
        "crps_of_model": float(crps_floor(sums).mean()),
        "mae": mean_absolute_error(truth[:, None], sums),
        "wasserstein": float(np.mean([channel_wasserstein(truth, sums[:, i]) for i in range(_REPEATS)])),
        "photon_sum_ratio": float(sums.sum(dtype=np.float64) / _REPEATS / max(truth.sum(dtype=np.float64), 1)),
        "empty_share": empty_share(sums.sum(axis=-1)),
        **learner.figures(model, showers),
    }


@torch.no_grad()
def response_strip(model: Generator, showers: Showers, finish: Finish) -> NDArray[np.uint8]:
    """A picture of some showers, from faint to bright: above as simulated, below a generated response of each.

    Grey by the logarithm of the photons, with a scale for each column; shape (height, width).
    """
    sums = showers.responses.sum(axis=(1, 2))
    lit = np.flatnonzero(sums)
    order = lit[np.argsort(sums[lit], kind="stable")] if len(lit) else np.arange(len(showers))
    some = showers[order[np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).astype(np.intp)]]
    model.eval()
    generated = generate(network(model), some.particles, 1, _SEED, finish)[:, 0]
    lines = np.log1p(np.stack([some.responses, generated]).astype(np.float32))
    lines /= np.maximum(lines.max(axis=(0, 2, 3), keepdims=True), 1e-6)
    upright = lines.swapaxes(2, 3)[:, :, ::-1]  # x to the right, y upwards
    framed = np.pad(upright, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.5)
    across = framed.transpose(0, 2, 1, 3).reshape(-1, framed.shape[1] * framed.shape[3])
    return (255 * across).astype(np.uint8).repeat(_ZOOM, 0).repeat(_ZOOM, 1)


def doubts(config: Experiment, figures: dict[str, float]) -> list[str]:
    """What to say of a validation whose figures no good training has."""
    found = []
    light = figures["photon_sum_ratio"]
    if not 1 / _FAR <= light <= _FAR:
        rounding = ', or finish = "round" makes 0 of rates below 0.5' if config.output.finish is Finish.ROUND else ""
        found.append(
            f"the model gives {light:.2g} times the light of the simulated showers; if it stays so, the learning rate "
            f"is too high, or the epochs are too few{rounding}"
        )
    diameter = figures.get("latent_diameter")
    if config.blur is not None and diameter is not None and diameter < CLEAR * config.blur:
        # The Sinkhorn term cannot see the latents, see `losses`.
        found.append(
            f"the latents are {diameter:.2g} wide, less than {CLEAR:g} times loss.blur = {config.blur:g}: below "
            "its blur the Sinkhorn term compares means alone; if it stays so, lower loss.blur or raise "
            "loss.reconstruction_weight"
        )
    return found
