"""Physics features of showers on a common scale, for distances between showers."""

import numpy as np
from numpy.typing import NDArray
from zdc_detector.particles import CONDITIONS

from zdc_metrics.scores.classifier import FEATURES

#: The classifier's features without the conditions, which are the same on both sides.
PHYSICS = FEATURES[: -len(CONDITIONS)]
_CENTROIDS = [k for k, name in enumerate(PHYSICS) if name.startswith("centroid")]
_COUNTS = [k for k, name in enumerate(PHYSICS) if name.startswith(("photon_sum", "lit", "single", "brightest"))]


def physics_features(
    simulated: NDArray[np.float32], generated: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns `PHYSICS` in standard deviations of the simulated showers, shapes (P, R, D) and (P, G, D).

    Long tails are compressed. Counts n become log(1 + n). Distances c of the centroid from the impact point become
    asinh(c / m), where m is their median over the simulated showers: particles that decay in flight give light far from
    the impact point. The centroid of an empty response is at the impact point, and its widths are 0.

    Parameters
    ----------
    simulated, generated : Columns `FEATURES`, shapes (P, R, F) and (P, G, F).
    """
    centroids = np.abs(simulated[..., _CENTROIDS].astype(np.float64)).reshape(-1, len(_CENTROIDS))
    lit = centroids[np.isfinite(centroids).all(axis=1)]
    typical = np.median(lit, axis=0) if len(lit) else np.zeros(len(_CENTROIDS))
    typical[typical == 0] = 1.0
    real, made = (_transformed(features[..., : len(PHYSICS)], typical) for features in (simulated, generated))
    flat = real.reshape(-1, real.shape[-1])
    mean, deviation = flat.mean(axis=0), flat.std(axis=0)
    deviation[deviation == 0] = 1.0
    return (real - mean) / deviation, (made - mean) / deviation


def _transformed(features: NDArray[np.float32], typical: NDArray[np.float64]) -> NDArray[np.float64]:
    columns = np.nan_to_num(features.astype(np.float64), nan=0.0)
    columns[..., _CENTROIDS] = np.arcsinh(columns[..., _CENTROIDS] / typical)
    columns[..., _COUNTS] = np.log1p(columns[..., _COUNTS])
    return columns
