"""Spectra: distributions, rows that depend on seed and number alone, and errors."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from zdc_common.errors import ConfigError
from zdc_detector.calorimeters import find_calorimeter
from zdc_detector.particles import ENERGY, PX, PY, PZ, VX, VY
from zdc_training.simulator.spectrum import Energies, read_spectrum, shipped_spectra

ZN, ZP = find_calorimeter("ZN"), find_calorimeter("ZP")


@pytest.mark.parametrize("name", ["zn-face", "zp-face"])
def test_shipped_spectra_start_at_the_face(name: str) -> None:
    calorimeter = find_calorimeter(name[:2])
    particles = read_spectrum(name).draw(calorimeter, 3, 0, 20_000)
    assert calorimeter.at_face(particles.conditions).all()
    beyond = np.abs(particles.conditions[:, VX : VX + 2] - calorimeter.centre) - calorimeter.half_width
    assert 0.14 < beyond.max() <= 0.15 + 1e-5
    slope = np.hypot(particles.conditions[:, PX], particles.conditions[:, PY]) / particles.conditions[:, PZ]
    # A tenth of log10(5e-3 / 2e-5) = 2.4 decades is below 3.5e-5; 0.01 is four standard deviations of the share.
    assert np.mean(slope < 2e-5 * 250**0.1) == pytest.approx(0.1, abs=0.01)
    assert particles.conditions[:, ENERGY].min() >= 1
    assert particles.conditions[:, ENERGY].max() <= 7000.01


def test_species_have_their_shares() -> None:
    spectrum = read_spectrum("zn-face")
    pdg = spectrum.draw(ZN, 1, 0, 40_000).pdg
    total = sum(spectrum.species.values())
    for code, share in spectrum.species.items():
        assert np.mean(pdg == code) == pytest.approx(share / total, abs=0.009)  # four standard deviations


def test_a_particle_depends_on_seed_and_number_alone() -> None:
    spectrum = read_spectrum("zn-face")
    whole = spectrum.draw(ZN, 5, 0, 100)
    part = spectrum.draw(ZN, 5, 60, 40)
    assert np.array_equal(whole.conditions[60:], part.conditions)
    assert np.array_equal(whole.pdg[60:], part.pdg)
    assert not np.array_equal(whole.conditions, spectrum.draw(ZN, 6, 0, 100).conditions)


def test_energies_follow_the_density() -> None:
    energies = Energies(lowest=1, highest=1000, knee=10, slope=0.5)
    drawn = np.log(energies.draw((np.arange(100_000) + 0.5) / 100_000))
    edges = np.log([1, 3, 10, 30, 100, 300, 1000])
    found, _ = np.histogram(drawn, edges)

    def area(low: float, high: float) -> float:
        """Integral of the density in ln E."""
        fine = np.linspace(low, high, 2001)
        return float(np.trapezoid(np.minimum(1, np.exp(-0.5 * (fine - np.log(10)))), fine))

    expected = np.array([area(low, high) for low, high in pairwise(edges)])
    assert found / found.sum() == pytest.approx(expected / expected.sum(), rel=2e-3)


def test_without_a_knee_energies_are_log_uniform() -> None:
    drawn = Energies(lowest=2, highest=200).draw(np.array([0.25, 0.5, 0.75]))
    assert drawn == pytest.approx(2 * 100 ** np.array([0.25, 0.5, 0.75]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lowest = 1.0", "lowest = 0.5", "energy.lowest = 0.5 GeV is not above the mass of 2112, 0.939565 GeV"),
        ("highest = 7000.0", "highest = 0.9", "energy: lowest = 1 GeV must be below highest = 0.9 GeV"),
        ("knee = 300.0", "knee = 9000.0", "energy: knee = 9000 GeV must be between lowest and highest"),
        ("smallest = 2e-5", "smallest = 2e-2", "angle: smallest = 0.02 must be below largest = 0.005"),
        ("22 = 0.22", "99999 = 0.22", "species: 99999 is not in the PDG table"),
        ("22 = 0.22", "22 = -1", "species.22 = -1: Input should be greater than 0"),
        ("slope = 0.5", "slop = 0.5", "energy.slop = 0.5: Extra inputs are not permitted"),
    ],
)
def test_errors_name_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "own.toml"
    text = shipped_spectra()["zn-face"].read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=r"own\.toml") as error:
        read_spectrum(str(path))
    assert message in str(error.value)


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match="zn-fase: no such spectrum; give the path of a TOML file, or one of zn-face"):
        read_spectrum("zn-fase")
    assert ZP.centre != ZN.centre
    assert abs(read_spectrum("zp-face").draw(ZP, 1, 0, 10).conditions[:, VY]).max() < 6.2
