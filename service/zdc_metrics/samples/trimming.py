"""The same number of simulations for every particle, from a file with different numbers."""

import re
from collections.abc import Mapping

import numpy as np
from zdc_detector.showers import Showers

from zdc_metrics.samples.grouping import RepeatedShowers, by_particle
from zdc_metrics.statistics.splits import SAMPLE

#: Simulation programs that are looked for in the title of a file.
_PROGRAMS = ("Geant4", "Geant3", "FLUKA")
#: Maximum share of the particles with enough simulations that are left out to keep more simulations of the others.
_LOST = 0.1


def even_repeats(showers: Showers, seed: int) -> tuple[RepeatedShowers, tuple[str, ...]]:
    """Showers grouped by particle with equal numbers of repeats, and sentences on the showers that are left out.

    The aim is four simulations of each particle, to compare two with two others. If fewer than half of the particles
    have four, the aim is two; if fewer than half have two, it is one, and there is no floor. At least 90 % of the
    particles that reach the aim are kept, each with the largest number of simulations that this allows. The simulations
    are drawn with the seed, since the order of the rows may have a meaning.
    """
    ids, particle, counts = np.unique(showers.particle_id, return_inverse=True, return_counts=True)
    if counts.min() == counts.max():
        return by_particle(showers), ()
    aim = next((aim for aim in (2 * SAMPLE, 2) if 2 * np.count_nonzero(counts >= aim) >= len(counts)), 1)
    repeats = int(np.quantile(counts[counts >= aim], _LOST, method="lower"))
    kept = counts >= repeats
    order = np.random.default_rng(seed).permutation(len(showers))
    order = order[np.argsort(np.ravel(particle)[order], kind="stable")]
    place = np.arange(len(showers)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.sort(order[(place < repeats) & kept[np.ravel(particle)[order]]])
    left = f"; the {np.count_nonzero(~kept)} with fewer are left out" if not kept.all() else ""
    note = (
        f"Particles have {counts.min()} to {counts.max()} simulations each: the figures are of the "
        f"{np.count_nonzero(kept)} of {len(ids)} particles with {repeats} or more, {repeats} of each, drawn by the "
        f"seed{left}."
    )
    return by_particle(showers[chosen]), (note,)


def simulation_of(attributes: Mapping[str, object]) -> str:
    """Name of the program or model that made the showers, from the attributes of the file, for tables and legends."""
    if "model" in attributes:
        return f"{attributes['model']} {attributes.get('version', '')}".strip()
    title = str(attributes.get("title", ""))
    named = (program for program in _PROGRAMS if re.search(rf"\b{program}\b", title, re.IGNORECASE))
    return next(named, "simulation")
