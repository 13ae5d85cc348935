"""The simulator against showers of another simulation of the same particles."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import InvalidInputError
from zdc_common.file_content import sha256_of
from zdc_detector.particles import Particles
from zdc_detector.showers import read_showers
from zdc_metrics import Report, evaluate
from zdc_metrics.samples.grouping import RepeatedShowers, by_particle
from zdc_metrics.samples.trimming import even_repeats
from zdc_metrics.scores.classifier import FEATURES
from zdc_metrics.scores.groups import energy_groups, species_groups
from zdc_metrics.scores.summaries import Summary, summarise
from zdc_metrics.statistics.bootstrap import draw_particles

from zdc_training.simulator.data_files import DataFiles
from zdc_training.simulator.job import Job, run_job
from zdc_training.simulator.set_up import SetUp
from zdc_training.validation.response import Value

#: Species with at least this many particles are also shown by energy.
_BY_ENERGY = 40
_EDGES = (60.0, 400.0)  # energy groups [GeV]
_RESAMPLES = 400
_SEED = 1


@dataclass(frozen=True)
class Pair:
    """The same P particles in both simulations.

    Attributes
    ----------
    reference, ours : Showers by particle, R and G of each.
    of_reference, of_ours : Their sums and features.
    """

    reference: RepeatedShowers
    ours: RepeatedShowers
    of_reference: Summary
    of_ours: Summary


def simulate_again(
    path: Path, folder: Path, set_up: SetUp, repeats: int, share: float, workers: int, data_files: DataFiles
) -> Pair:
    """Simulate the particles of a file again, or continue; the result is ``<name>-again.h5`` in the folder.

    Parameters
    ----------
    path : Repeated simulations, with neutral particles from the interaction point.
    repeats : Showers of each particle.
    share : Share of the particles to take, evenly over the file.

    Raises
    ------
    InvalidInputError : the file's calorimeter is another one.
    """
    stored = read_showers(path)
    if stored.calorimeter.shape != set_up.calorimeter.shape:
        raise InvalidInputError(
            f"{path} has showers of {stored.calorimeter.name}, the set-up is of {set_up.calorimeter.name}; give a file "
            "of the same calorimeter"
        )
    reference, _ = even_repeats(stored, _SEED)
    chosen = np.unique(
        np.linspace(0, len(reference.particles) - 1, max(2, round(share * len(reference.particles)))).astype(np.intp)
    )
    reference = RepeatedShowers(
        reference.particles[chosen], reference.responses[chosen], reference.particle_id[chosen], reference.calorimeter
    )
    source: dict[str, object] = {"file": path.name, "sha256": sha256_of(path), "particles": len(chosen)}
    job = Job(set_up, reference.particles, source, repeats, _SEED, data_files)
    output = folder / f"{path.stem}-again.h5"
    run_job(job, output, workers)
    ours = by_particle(read_showers(output))
    return Pair(
        reference,
        ours,
        summarise(reference.responses, reference.particles, reference.calorimeter, "reference"),
        summarise(ours.responses, ours.particles, reference.calorimeter, "simulated"),
    )


def report_of(pair: Pair) -> Report:
    """All figures of merit with the reference's own floors, our showers in the place of generated ones."""
    return evaluate(
        pair.reference.responses,
        pair.ours.responses,
        pair.reference.particles,
        pair.reference.calorimeter,
        finish="poisson",
        simulation="the shipped showers",
    )


@dataclass(frozen=True)
class Compared:
    """A group of particles: ours over the reference's, with the error of a bootstrap over particles.

    Attributes
    ----------
    group : Its name.
    particles : Its number of particles.
    photons : Ratio of the photon sums.
    spread : Ratio of the standard deviations of a particle's photon sums over its repeats.
    width : Ratio of the mean width of a response.
    lit : Ratio of the mean numbers of fibres with light.
    empty, reference_empty : Shares of empty responses.
    """

    group: str
    particles: int
    photons: Value
    spread: Value
    width: Value
    lit: Value
    empty: Value
    reference_empty: Value


def groups(particles: Particles) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """All particles, species, and energies of frequent species: names and rows."""
    yield "all", np.arange(len(particles))
    for name, rows in species_groups(particles).items():
        yield name, rows
        if len(rows) >= _BY_ENERGY:
            for energies, inside in energy_groups(particles, rows, _EDGES).items():
                yield f"{name}, {energies}", inside


def compared(pair: Pair) -> list[Compared]:
    """The comparison of each group."""
    ours, reference = pair.of_ours, pair.of_reference
    means = {
        "photons": tuple(each.sums.mean(axis=1) for each in (ours, reference)),
        "spread": tuple(each.sums.var(axis=1, ddof=1) for each in (ours, reference)),
        "lit": tuple(each.features[..., FEATURES.index("lit_fibres")].mean(axis=1) for each in (ours, reference)),
        "empty": tuple((each.sums == 0).mean(axis=1) for each in (ours, reference)),
    }
    widths = [_width(each) for each in (ours, reference)]
    found = []
    for name, rows in groups(pair.reference.particles):
        draws = np.vstack([rows, rows[draw_particles(len(rows), _RESAMPLES, np.random.default_rng(_SEED))]])

        def ratio(key: str, power: float = 1.0, draws: NDArray[np.intp] = draws) -> Value:
            top, bottom = (side[draws].sum(axis=1) for side in means[key])
            return _value((top / bottom) ** power)

        def share(side: int, draws: NDArray[np.intp] = draws) -> Value:
            return _value(means["empty"][side][draws].mean(axis=1))

        with np.errstate(divide="ignore", invalid="ignore"):
            width = _value(np.nanmean(widths[0][draws], axis=1) / np.nanmean(widths[1][draws], axis=1))
            found.append(
                Compared(
                    name, len(rows), ratio("photons"), ratio("spread", 0.5), width, ratio("lit"), share(0), share(1)
                )
            )
    return found


def _width(summary: Summary) -> NDArray[np.float64]:
    """Mean over a particle's responses with light of sqrt(width_x^2 + width_y^2) [cm], shape (P,)."""
    x, y = (summary.features[..., FEATURES.index(name)].astype(np.float64) for name in ("width_x", "width_y"))
    both = np.hypot(x, y)
    lit = np.isfinite(both)
    count = lit.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: NDArray[np.float64] = np.where(lit, both, 0).sum(axis=1) / count
    return mean


def _value(figures: NDArray[np.float64]) -> Value:
    """The first figure, and the standard deviation of the others."""
    return Value(float(figures[0]), float(np.std(figures[1:][np.isfinite(figures[1:])])))
