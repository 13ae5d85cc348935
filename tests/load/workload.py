"""Particles in the training range of any model."""

import numpy as np
from zdc_detector.card import ModelCard
from zdc_detector.particles import Particles
from zdc_detector.pdg_table import mass_and_charge

_MEV = 1e-3  # in GeV


def particles_for(card: ModelCard, count: int, seed: int = 0) -> Particles:
    """Particles of all species of a card; their straight lines meet the inner half of the face.

    Energies are log-uniform over the range of the species, vertices uniform over the middle tenth of their range.
    """
    rng = np.random.default_rng(seed)
    ranges = card.ranges
    chosen = rng.integers(len(ranges.species), size=count)
    pdg = np.array([species.pdg for species in ranges.species])[chosen]
    mass = np.array([mass_and_charge(species.pdg)[0] for species in ranges.species])[chosen] * _MEV
    low, high = np.array([species.energy for species in ranges.species])[chosen].T
    energy = low * (high / low) ** rng.uniform(0.01, 0.99, count)
    low, high = np.array(ranges.vertex).T
    vertex = (low + high) / 2 + 0.1 * (high - low) * rng.uniform(-0.5, 0.5, (count, 3))
    target = card.calorimeter.centre + rng.uniform(-0.5, 0.5, (count, 2)) * card.calorimeter.half_width
    slope = (target - vertex[:, :2]) / (card.calorimeter.face_z - vertex[:, 2:])
    pz = np.sqrt((energy**2 - mass**2) / (1 + np.sum(slope**2, axis=1)))
    columns = dict(zip(("px", "py", "vx", "vy", "vz"), np.hstack([slope * pz[:, None], vertex]).T, strict=True))
    return Particles.from_columns({"pdg": pdg, "pz": pz, **columns})
