"""Equally many simulations of each particle, from a file that has unequally many."""

import re
from collections.abc import Mapping

import numpy as np
from zdc_detector.showers import Showers

from zdc_metrics.samples.grouping import RepeatedShowers, by_particle
from zdc_metrics.statistics.splits import SAMPLE

#: Simulation programs that a file's title may name.
_PROGRAMS = ("Geant4", "Geant3", "FLUKA")
#: Share of the particles with enough simulations that may be left out to keep more simulations of the others.
_LOST = 0.1


def even_repeats(showers: Showers, seed: int) -> tuple[RepeatedShowers, tuple[str, ...]]:
    """Showers grouped by particle, and sentences on what was left out to have equally many of each.

    The aim is four simulations of each particle, so that two can be compared with two others. If fewer than half of
    the particles have four, it is two, and if fewer than half have two, one: then there is no floor. Of the particles
    with so many at least nine tenths are kept, with as many simulations as that allows, drawn by the seed: the order
    of a file may mean something.
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
    """What the showers of a file were made with, as tables and legends call it, from what the file says of itself."""
    if "model" in attributes:
        return f"{attributes['model']} {attributes.get('version', '')}".strip()
    title = str(attributes.get("title", ""))
    named = (program for program in _PROGRAMS if re.search(rf"\b{program}\b", title, re.IGNORECASE))
    return next(named, "simulation")
