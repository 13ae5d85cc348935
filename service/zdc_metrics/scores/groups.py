"""Groups of particles whose figures are computed separately: species and energy ranges."""

import numpy as np
from numpy.typing import NDArray
from zdc_detector.particles import ENERGY, Particles, by_frequency, species_name

#: Upper edges of the energy groups [GeV]; the last group is open.
ENERGY_EDGES = (100.0, 500.0)


def groups_of(particles: Particles) -> dict[str, NDArray[np.intp]]:
    """Rows of all particles, of each species (most frequent first) and of each energy range that occurs."""
    everything = np.arange(len(particles))
    return {"all": everything, **species_groups(particles), **energy_groups(particles, everything, ENERGY_EDGES)}


def species_groups(particles: Particles) -> dict[str, NDArray[np.intp]]:
    """Rows of each species, most frequent first."""
    codes, _ = by_frequency(particles.pdg)
    return {f"{species_name(int(code))} ({code})": np.flatnonzero(particles.pdg == code) for code in codes}


def energy_groups(
    particles: Particles, rows: NDArray[np.intp], edges: tuple[float, ...]
) -> dict[str, NDArray[np.intp]]:
    """The `rows` in each energy range that occurs; `edges` [GeV] separate the ranges."""
    energy = particles.conditions[rows, ENERGY]
    groups = {}
    for low, high in zip((0.0, *edges), (*edges, np.inf), strict=True):
        inside = rows[(energy >= low) & (energy < high)]
        name = f"{low:g}-{high:g} GeV" if np.isfinite(high) else f"above {low:g} GeV"
        if len(inside):
            groups[name if low else f"below {high:g} GeV"] = inside
    return groups
