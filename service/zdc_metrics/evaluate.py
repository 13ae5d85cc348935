"""All figures of merit of generated responses against repeated simulations of the same particles."""

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.errors import InvalidInputError
from zdc_detector.particles import ENERGY, Particles, species_name

from zdc_metrics import figures
from zdc_metrics.bootstrap import Resampled, draw_particles
from zdc_metrics.classifier import Separation, separate
from zdc_metrics.report import Figure, Group, Report
from zdc_metrics.splits import Way, floor_ways, model_ways

#: Upper edges of the energy groups [GeV]; the last group is open.
ENERGY_EDGES = (100.0, 500.0)
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
    model and for the floor alike; MAE, CRPS and dispersion use all repeats, which changes their noise and not their
    expectation.

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
    _check(simulated, generated, particles, calorimeter)
    rng = np.random.default_rng(seed)
    repeats = simulated.shape[1], generated.shape[1]
    floors, ways = floor_ways(repeats[0], rng), model_ways(*repeats, rng)
    few = model_ways(*repeats, rng, CLASSIFIER_WAYS), floor_ways(repeats[0], rng, CLASSIFIER_WAYS)
    separation = separate(simulated, generated, particles, calorimeter, *few, seed)
    channels = _channels(simulated, calorimeter), _channels(generated, calorimeter)
    sums = simulated.sum(axis=(2, 3), dtype=np.int64), generated.sum(axis=(2, 3), dtype=np.int64)
    groups = []
    for name, rows in groups_of(particles).items():
        draws = draw_particles(len(rows), resamples, rng)
        found = _figures(
            (channels[0][rows], channels[1][rows]),
            (sums[0][rows], sums[1][rows]),
            draws,
            ways,
            floors,
            separation,
            rows,
        )
        entries = {key: Figure.from_resampled(key, value) for key, value in found.items()}
        groups.append(Group(name=name, particles=len(rows), figures=entries))
    return Report(
        finish=finish,
        simulated_repeats=repeats[0],
        generated_repeats=repeats[1],
        seed=seed,
        resamples=resamples,
        groups=tuple(groups),
    )


def groups_of(particles: Particles) -> dict[str, NDArray[np.intp]]:
    """Rows of all particles, of each species (most frequent first) and of each energy range that occurs."""
    groups = {"all": np.arange(len(particles))}
    codes, counts = np.unique(particles.pdg, return_counts=True)
    for code in codes[np.argsort(-counts, kind="stable")]:
        groups[f"{species_name(int(code))} ({code})"] = np.flatnonzero(particles.pdg == code)
    low = 0.0
    for high in (*ENERGY_EDGES, np.inf):
        energy = particles.conditions[:, ENERGY]
        rows = np.flatnonzero((energy >= low) & (energy < high))
        name = f"{low:g}-{high:g} GeV" if np.isfinite(high) else f"above {low:g} GeV"
        if len(rows):
            groups[name if low else f"below {high:g} GeV"] = rows
        low = high
    return groups


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


def _channels(responses: NDArray[np.generic], calorimeter: Calorimeter) -> figures.Sums:
    particles, repeats = responses.shape[:2]
    sums = calorimeter.channel_sums(responses.reshape(-1, *calorimeter.shape))
    return sums.reshape(particles, repeats, -1).astype(np.int64)


def _check(
    simulated: NDArray[np.generic], generated: NDArray[np.generic], particles: Particles, calorimeter: Calorimeter
) -> None:
    for name, responses in (("simulated", simulated), ("generated", generated)):
        if responses.ndim != 4 or len(responses) != len(particles) or responses.shape[2:] != calorimeter.shape:
            raise InvalidInputError(
                f"{name} responses have shape {responses.shape}; they need ({len(particles)}, repeats, "
                f"{calorimeter.shape[0]}, {calorimeter.shape[1]}): one row a particle, use by_particle"
            )
        if not np.issubdtype(responses.dtype, np.integer):
            raise InvalidInputError(f"{name} responses are {responses.dtype}; finish the rates to integer counts first")
