"""What Geant4 shoots for each kind of particle."""

import numpy as np
import pytest
from zdc_common.errors import InvalidInputError, OutOfRangeError
from zdc_detector.calorimeters import find_calorimeter
from zdc_detector.particles import Particles
from zdc_training.simulator.primaries import primaries

ZN, ZP = find_calorimeter("ZN"), find_calorimeter("ZP")


def particles(**columns: float) -> Particles:
    return Particles.from_columns(
        {name: [value] for name, value in ({"pdg": 2112, "px": 0, "py": 0} | columns).items()}
    )


def test_a_particle_at_the_face_starts_just_before_it() -> None:
    given = particles(pdg=2212, px=3, py=-1, pz=1000, vx=1.5, vy=-0.25, vz=ZN.face_z)
    (shot,) = primaries(given, ZN)
    assert shot.pdg == 2212
    momentum = np.sqrt(9 + 1 + 1e6)
    assert shot.kinetic_energy == pytest.approx(1e3 * (np.hypot(momentum, 0.938272) - 0.938272), rel=1e-7)
    assert shot.direction == pytest.approx(np.array([3, -1, 1000]) / momentum)
    # 0.1 mm before the point, on its line.
    assert shot.position == pytest.approx((15 - 3e-4, -2.5 + 1e-4, -0.1), abs=1e-6)


def test_a_slow_particle_keeps_its_kinetic_energy() -> None:
    (shot,) = primaries(particles(pz=1e-3, vz=ZN.face_z), ZN)
    assert shot.kinetic_energy == pytest.approx(1e-6 / (2 * 0.93956542) * 1e3, rel=1e-5)  # p^2 / 2m


def test_a_neutral_particle_starts_at_its_vertex() -> None:
    (shot,) = primaries(particles(pz=100, vx=0.5, vz=-3), ZN)
    assert shot.position == pytest.approx((5, 0, -112628), abs=0.01)


def test_a_particle_toward_c_is_mirrored() -> None:
    (shot,) = primaries(particles(pz=-100, px=1, vz=-ZN.face_z), ZN)
    assert shot.direction[0] > 0
    assert shot.direction[2] > 0
    assert shot.position[2] == pytest.approx(-0.1)


def test_positions_are_relative_to_the_centre_of_the_face() -> None:
    (shot,) = primaries(particles(pz=100, vx=24.35, vz=ZP.face_z), ZP)
    assert shot.position == pytest.approx((0, 0, -0.1), abs=1e-5)


def test_a_charged_particle_before_the_face_is_refused() -> None:
    with pytest.raises(OutOfRangeError, match=r"particle\[0\]: p has the charge 1 e .* give charged particles at the"):
        primaries(particles(pdg=2212, pz=100), ZN)


def test_a_particle_behind_the_face_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"particle\[0\]: vz = 11300 cm is 40.2\d* cm behind the face"):
        primaries(particles(pz=100, vz=11300), ZN)
