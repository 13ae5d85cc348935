"""All figures of merit of generated responses against repeated simulations of the same particles."""

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import Particles

from zdc_metrics.scores import figures
from zdc_metrics.scores.bins import compare_bins
from zdc_metrics.scores.classifier import separate
from zdc_metrics.scores.coverage import coverage
from zdc_metrics.scores.frechet import frechet
from zdc_metrics.scores.groups import groups_of
from zdc_metrics.scores.neural import NeuralSeparation
from zdc_metrics.scores.physics import physics_features
from zdc_metrics.scores.report import Figure, Group, Report
from zdc_metrics.scores.separation import separation_powers
from zdc_metrics.scores.summaries import summarise
from zdc_metrics.statistics.bootstrap import draw_particles
from zdc_metrics.statistics.null_band import null_dispersion
from zdc_metrics.statistics.splits import floor_ways, model_ways

#: Default for costly figures: each way trains ten classifiers.
FEW_WAYS = 5


def evaluate(
    simulated: NDArray[np.generic],
    generated: NDArray[np.generic],
    particles: Particles,
    calorimeter: Calorimeter,
    *,
    finish: str,
    seed: int = 0,
    resamples: int = 200,
    few: int = FEW_WAYS,
    simulation: str = "simulation",
    notes: tuple[str, ...] = (),
) -> Report:
    """Compare generated with simulated responses of P particles.

    Distances of samples and classifiers compare two repeats against two, averaged over the ways of choosing them, for
    the model and for the floor. MAE, CRPS, dispersion and the empty share use all repeats; this changes their noise but
    not their expectation. Many generated repeats average out the random numbers of the generator.

    With two or three simulations of each particle, one is compared with one. With a single simulation there is no
    floor; then dispersion, coverage and separation powers, which need one, are left out.

    Parameters
    ----------
    simulated : Photons per fibre, shape (P, R, rows, columns).
    generated : The same from a generator, shape (P, G, rows, columns), G >= 2; independent random numbers for
        every row.
    particles : P particles.
    finish : The finish that made counts of rates; it is recorded in the report.
    seed : Seed of the bootstrap, the folds and the choice of ways.
    resamples : Number of bootstrap resamples of the particles.
    few : Maximum number of ways for costly figures: classifiers, Frechet distance, coverage, separation powers.
    simulation : Name of the simulation in tables.
    notes : Further sentences on the samples for the report.

    Raises
    ------
    InvalidInputError : the shapes do not fit each other, or there are fewer than two generated repeats.
    """
    real = summarise(simulated, particles, calorimeter, "simulated")
    made = summarise(generated, particles, calorimeter, "generated")
    rng = np.random.default_rng(seed)
    repeats = simulated.shape[1], generated.shape[1]
    floors, ways = floor_ways(repeats[0], rng), model_ways(*repeats, rng)
    chosen = model_ways(*repeats, rng, few), floor_ways(repeats[0], rng, few)
    boosted = separate(real.features, made.features, *chosen, seed)
    neural = NeuralSeparation(real.features, made.features, *chosen, seed)
    scaled = physics_features(real.features, made.features)
    null = null_dispersion(made.sums, repeats[0], rng)
    groups = []
    for name, rows in groups_of(particles).items():
        draws = draw_particles(len(rows), resamples, rng)
        found = {
            "wasserstein": figures.wasserstein(real.channels[rows], made.channels[rows], draws, ways, floors),
            "mae": figures.mae(real.channels[rows], made.channels[rows], draws),
            "crps": figures.crps(real.channels[rows], made.channels[rows], draws),
            **({"dispersion": figures.spread(real.sums[rows], made.sums[rows], draws, floors)} if floors else {}),
            "empty_share": figures.empty(real.sums[rows], made.sums[rows], draws),
            "auc": boosted.resampled(rows, draws),
            **neural.resampled(rows, draws),
        }
        distance = frechet(scaled[0][rows], scaled[1][rows], draws, *chosen, rng)
        if distance is not None:
            found["frechet"] = distance
        found |= coverage(scaled[0][rows], scaled[1][rows], draws, *chosen)
        powers = separation_powers(real.features[rows], made.features[rows], draws, *chosen)
        found |= {f"separation_{name}": power for name, power in powers.items()}
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
        bins=compare_bins(real.sums, made.sums, particles, floors, resamples, rng, simulation),
        simulation=simulation,
        notes=notes,
    )
