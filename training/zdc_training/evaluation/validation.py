"""Validation figures, and warnings about them."""

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

_SEED = 20_201  # the same noise in every validation, so that epochs can be compared
_REPEATS = 4
_SHOWN, _ZOOM = 8, 2  # showers in a picture, and pixels of a fibre along a side
#: Smallest diameter of the encoded latents in units of the blur, see `zdc_training.images.losses`.
CLEAR = 10.0
_FAR = 10.0  # factor on the light, up or down, that causes a warning


@torch.no_grad()
def validate(model: Generator, learner: Learner[Any], showers: Showers, config: Experiment) -> dict[str, float]:
    """Figures on the validation showers, with one simulation and four generated responses of each particle.

    ``crps_of_model`` is the CRPS that the model would have if its own responses were the truth. It is below ``crps`` if
    the responses are biased or have too little spread. The method adds its own figures, see `Learner.figures`, for
    example ``reconstruction``, the weighted term of the objective.

    References
    ----------
    Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 102, 2007 (CRPS).
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
    """A picture of some validation showers, from faint to bright: simulated above, generated below.

    Grey levels are logarithms of the photons, with one scale per column; shape (height, width).
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
    """Warnings for validation figures that show a failed training."""
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
        # The Sinkhorn term cannot distinguish the latents, see `zdc_training.images.losses`.
        found.append(
            f"the latents are {diameter:.2g} wide, less than {CLEAR:g} times loss.blur = {config.blur:g}: below "
            "its blur the Sinkhorn term compares means alone; if it stays so, lower loss.blur or raise "
            "loss.reconstruction_weight"
        )
    return found
