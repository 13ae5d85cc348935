"""Stand-ins for Geant4's data: the tables that are written, against published lengths."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from zdc_common.errors import ConfigError
from zdc_training.simulator.stand_in import write_stand_ins

AVOGADRO = 6.02214e23


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stand-ins")
    return {name: Path(place) for name, place in write_stand_ins(folder, ["W", "Fe", "Si"]).items()}


def vector(path: Path) -> NDArray[np.float64]:
    """Energies [MeV] and values of a table."""
    lines = path.read_text().splitlines()
    rows = np.array([[float(word) for word in line.split()] for line in lines[2:]])
    assert len(rows) == int(lines[1])
    return rows


# Radiation lengths of the Particle Data Group [g/cm2].
@pytest.mark.parametrize(("z", "mass", "length"), [(74, 183.84, 6.76), (26, 55.845, 13.84), (14, 28.085, 21.82)])
def test_bremsstrahlung_gives_the_radiation_length(files: dict[str, Path], z: int, mass: float, length: float) -> None:
    lines = (files["G4LEDATA"] / f"brem_SB/br{z}").read_text().splitlines()
    shares = np.array(lines[1].split(), dtype=float)
    energies = np.exp(np.array(lines[2].split(), dtype=float))
    table = np.array([line.split() for line in lines[3:]], dtype=float)
    assert table.shape == (len(energies), len(shares)) == (50, 48)
    # At 10 GeV the mean loss per length is the energy over the radiation length (to 2 %: its definition).
    loss = float(np.trapezoid(table[-1], shares)) * z**2 * 1e-27 * AVOGADRO / mass
    assert 1 / loss == pytest.approx(length, rel=0.04)


# Nuclear interaction lengths of the Particle Data Group [g/cm2].
@pytest.mark.parametrize(("z", "mass", "length"), [(74, 183.84, 191.9), (26, 55.845, 132.1), (14, 28.085, 108.4)])
def test_neutrons_have_the_interaction_length(files: dict[str, Path], z: int, mass: float, length: float) -> None:
    rows = vector(files["G4PARTICLEXSDATA"] / f"neutron/inel{z}")
    at_high_energy = rows[-1, 1] * 1e-2  # mm2 to cm2
    assert mass / (AVOGADRO * at_high_energy) == pytest.approx(length, rel=1e-3)
    fast = rows[(rows[:, 0] > 20) & (rows[:, 0] < 80), 1].max()
    assert 1.0 < fast / rows[-1, 1] < 1.7  # more at some tens of MeV (Letaw)


def test_photo_effect_falls_with_energy(files: dict[str, Path]) -> None:
    rows = vector(files["G4LEDATA"] / "epics2017/phot/pe-cs-74.dat")
    sigma = rows[:, 1] / rows[:, 0] ** 3
    assert (np.diff(sigma) < 0).all()
    # At 1 MeV, the lowest energy that set-ups follow, tungsten has some 4 barn (NIST XCOM): one shell gives the order.
    assert math.log(sigma[-1] / 4) == pytest.approx(0, abs=math.log(2))


def test_only_the_elements_that_are_needed(files: dict[str, Path]) -> None:
    written = {path.name for path in (files["G4LEDATA"] / "brem_SB").iterdir()}
    assert written == {f"br{z}" for z in (1, 6, 7, 8, 14, 18, 26, 74)}


def test_an_unknown_element_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'Xx' is not the symbol of an element"):
        write_stand_ins(tmp_path, ["W", "Xx"])
