"""All figures of merit of generated responses against repeated simulations of the same particles."""

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import Particles

from zdc_metrics import figures
from zdc_metrics.bins import compare_bins
from zdc_metrics.bootstrap import Resampled, draw_particles
from zdc_metrics.classifier import Separation, separate
from zdc_metrics.groups import groups_of
from zdc_metrics.null_band import null_dispersion
from zdc_metrics.report import Figure, Group, Report
from zdc_metrics.splits import Way, floor_ways, model_ways
from zdc_metrics.summaries import summarise

#: Each way of choosing repeats trains `classifier.FOLDS` classifiers.
CLASSIFIER_WAYS = 5


def evaluate(
    simulated: NDArray[np.generic],
    generated: NDArray[np.generic],
    particles: Particles,
    calorimeter: Calorimeter,
    *,
    finish: str,
    seed: int = 0,
    resamples: int = 200,
) -> Report:
    """Compare generated with simulated responses of P particles.

    Wasserstein and the classifier compare two repeats against two, averaged over the ways of choosing them, for the
    model and for the floor alike; MAE, CRPS, dispersion and the empty share use all repeats, which changes their
    noise and not their expectation. So many generated repeats take the generator's random numbers out of them.

    Parameters
    ----------
    simulated : Photons per fibre, shape (P, R, rows, columns), R >= 4.
    generated : The same from a generator, shape (P, G, rows, columns), G >= 2; independent random numbers for
        every row.
    particles : P particles.
    finish : How rates became counts, for the record.
    seed : Of the bootstrap, the folds and, where there are many, the choice of ways.
    resamples : Bootstrap resamples of the particles.

    Raises
    ------
    InvalidInputError : shapes that do not fit each other, or too few repeats.
    """
    real = summarise(simulated, particles, calorimeter, "simulated")
    made = summarise(generated, particles, calorimeter, "generated")
    rng = np.random.default_rng(seed)
    repeats = simulated.shape[1], generated.shape[1]
    floors, ways = floor_ways(repeats[0], rng), model_ways(*repeats, rng)
    few = model_ways(*repeats, rng, CLASSIFIER_WAYS), floor_ways(repeats[0], rng, CLASSIFIER_WAYS)
    separation = separate(real.features, made.features, *few, seed)
    null = null_dispersion(made.sums, repeats[0], rng)
    groups = []
    for name, rows in groups_of(particles).items():
        draws = draw_particles(len(rows), resamples, rng)
        found = _figures(
            (real.channels[rows], made.channels[rows]),
            (real.sums[rows], made.sums[rows]),
            draws,
            ways,
            floors,
            separation,
            rows,
        )
        entries = {key: Figure.from_resampled(key, value) for key, value in found.items()}
        if null is not None:
            if_right = null.interval(rows)
            entries["dispersion"] = entries["dispersion"].model_copy(update={"if_right": if_right})
        groups.append(Group(name=name, particles=len(rows), figures=entries))
    return Report(
        finish=finish,
        simulated_repeats=repeats[0],
        generated_repeats=repeats[1],
        seed=seed,
        resamples=resamples,
        groups=tuple(groups),
        bins=compare_bins(real.sums, made.sums, particles, floors, resamples, rng),
    )


def _figures(
    channels: tuple[figures.Sums, figures.Sums],
    sums: tuple[figures.Sums, figures.Sums],
    draws: NDArray[np.intp],
    ways: list[Way],
    floors: list[Way],
    separation: Separation,
    rows: NDArray[np.intp],
) -> dict[str, Resampled]:
    return {
        "wasserstein": figures.wasserstein(*channels, draws, ways, floors),
        "mae": figures.mae(*channels, draws),
        "crps": figures.crps(*channels, draws),
        "dispersion": figures.spread(*sums, draws, floors),
        "empty_share": figures.empty(*sums, draws),
        "auc": separation.resampled(rows, draws),
    }
