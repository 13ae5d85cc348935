"""Showers for tests: the shipped Geant4 files, and small ones from a known distribution."""

from pathlib import Path

import numpy as np
from helpers.calorimeters import ZN
from helpers.models.tiny_model import some_particles
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CONDITIONS, ENERGY, KINEMATICS, PX, PZ, VX, VZ, Particles
from zdc_detector.showers import Showers, ShowerWriter

DATA = Path(__file__).parents[3] / "training" / "data"


def face_particles(n: int, seed: int = 0) -> Particles:
    """Particles that fly to +z and meet ZN's face."""
    many = some_particles(4 * n + 20, seed, sides=False)
    return many[np.flatnonzero(ZN.hits_face(many.conditions))[:n]]


def draw_responses(
    particles: Particles,
    repeats: int,
    seed: int,
    light: float = 1.0,
    spread: float = 0.3,
    calorimeter: Calorimeter = ZN,
) -> NDArray[np.uint16]:
    """Photons around each impact point, shape (P, repeats, rows, columns); a tenth of the responses is empty."""
    rng = np.random.default_rng(seed)
    centres = calorimeter.impact_points(particles.conditions)
    axes = []
    for axis in (0, 1):
        half, n = calorimeter.half_width[axis], calorimeter.shape[axis]
        place = (np.arange(n) + 0.5) * (2 * half / n) - half
        axes.append(np.exp(-0.5 * ((place - centres[:, axis, None]) / 0.3) ** 2))
    shape = axes[0][:, :, None] * axes[1][:, None, :]
    shape /= shape.sum(axis=(1, 2), keepdims=True)
    factor = rng.gamma(1 / spread**2, spread**2, (len(particles), repeats)) * (
        rng.random((len(particles), repeats)) > 0.1
    )
    rate = light * 0.3 * particles.conditions[:, ENERGY, None] * factor
    photons: NDArray[np.uint16] = rng.poisson(rate[:, :, None, None] * shape[:, None]).astype(np.uint16)
    return photons


def toy_showers(n: int = 30, repeats: int = 1, seed: int = 0) -> Showers:
    """`n` particles with `repeats` simulations each, rows in a mixed order."""
    particles = face_particles(n, seed)
    responses = draw_responses(particles, repeats, seed + 1).reshape(-1, *ZN.shape)
    row = np.repeat(np.arange(n), repeats)
    order = np.random.default_rng(seed).permutation(len(row))
    return Showers(particles[row[order]], responses[order], (1000 + row[order]).astype(np.int32), ZN)


def at_face(showers: Showers, every: int = 1) -> Showers:
    """The same showers, every n-th particle given at the face, at an angle of up to 5 mrad."""
    conditions = showers.particles.conditions.copy()
    number = np.unique(showers.particle_id, return_inverse=True)[1]
    slopes = np.random.default_rng(9).uniform(-0.005, 0.005, (number.max() + 1, 2))[number]
    moved = number % every == 0
    pz = conditions[:, PZ].copy()
    conditions[moved, VX:VZ] = ZN.impact_points(conditions)[moved]
    conditions[moved, VZ] = ZN.face_z
    conditions[moved, PX:PZ] = (slopes * pz[:, None])[moved]
    columns = {name: conditions[:, CONDITIONS.index(name)] for name in KINEMATICS}
    particles = Particles.from_columns({"pdg": showers.particles.pdg, **columns})
    return Showers(particles, showers.responses, showers.particle_id, showers.calorimeter)


def write_showers(path: Path, showers: Showers) -> Path:
    """Write a file in the project's layout."""
    with ShowerWriter(path, showers.calorimeter, "toy showers") as writer:
        writer.append(showers.particles, showers.responses, showers.particle_id, showers.extra)
    return path
