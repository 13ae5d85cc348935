"""Particles drawn from a spectrum: species, energies, impact points and angles at the face."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from zdc_common.frozen import Frozen
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import Particles
from zdc_detector.pdg_table import look_up
from zdc_detector.random import SPECTRUM_STREAM, raw_words

from zdc_training.simulator.set_up import Positive, describe, read_toml

_WORDS = 6  # per particle: species, energy, x, y, angle, azimuth


class Energies(Frozen):
    """Total energies: log-uniform up to the knee; above it, the density in ln E falls like E^-slope."""

    lowest: Positive = Field(description="[GeV]")
    highest: Positive = Field(description="[GeV]")
    knee: Positive | None = Field(None, description="[GeV]; without it, all energies are log-uniform")
    slope: Positive = Field(0.5, description="how fast the density in ln E falls above the knee")

    @model_validator(mode="after")
    def _in_order(self) -> "Energies":
        if not self.lowest < self.highest:
            raise ValueError(f"lowest = {self.lowest:g} GeV must be below highest = {self.highest:g} GeV")
        if self.knee is not None and not self.lowest <= self.knee <= self.highest:
            raise ValueError(f"knee = {self.knee:g} GeV must be between lowest and highest")
        return self

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
        """Energies [GeV] by inversion of the distribution, in the shape of `uniform` in (0, 1)."""
        knee = self.highest if self.knee is None else self.knee
        below = np.log(knee / self.lowest)
        above = (1 - (self.highest / knee) ** -self.slope) / self.slope
        at = uniform * (below + above)
        fallen = np.clip(1 - self.slope * (at - below), 1e-12, 1)
        energies: NDArray[np.float64] = np.where(
            at < below, self.lowest * np.exp(np.minimum(at, below)), knee * fallen ** (-1 / self.slope)
        )
        return np.clip(energies, self.lowest, self.highest)


class Positions(Frozen):
    """Impact points, uniform over the face and a margin."""

    beyond_edge: float = Field(0.0, ge=0, description="margin beyond the edge of the face [cm]")


class Angles(Frozen):
    """Slope of the direction, sqrt(px^2 + py^2) / pz: log-uniform, any azimuth."""

    smallest: Positive
    largest: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _in_order(self) -> "Angles":
        if not self.smallest < self.largest:
            raise ValueError(f"smallest = {self.smallest:g} must be below largest = {self.largest:g}")
        return self


class Spectrum(Frozen):
    """What arrives at the face."""

    species: dict[int, Positive] = Field(min_length=1, description="share of the showers, by PDG code")
    energy: Energies
    position: Positions
    angle: Angles

    @model_validator(mode="after")
    def _energies_above_masses(self) -> "Spectrum":
        for code, mass in zip(self.species, self._masses(), strict=True):
            if not np.isfinite(mass):
                raise ValueError(f"species: {code} is not in the PDG table")
            if mass >= self.energy.lowest:
                raise ValueError(
                    f"energy.lowest = {self.energy.lowest:g} GeV is not above the mass of {code}, {mass:.6g} GeV"
                )
        return self

    def _masses(self) -> NDArray[np.float64]:
        """[GeV]; nan for a code that is not in the PDG table."""
        values, known = look_up(np.array(list(self.species), dtype=np.int64))
        return np.where(known, values[:, 0] * 1e-3, np.nan)

    def draw(self, calorimeter: Calorimeter, seed: int, first: int, number: int) -> Particles:
        """Particles `first` to `first + number` of a seed: each depends on the seed and its own number alone.

        Returns
        -------
        Particles in the plane of the face, vz = face_z, toward +z.
        """
        words = raw_words(seed, SPECTRUM_STREAM, first, number, _WORDS)
        u = ((words >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
        shares = np.cumsum(list(self.species.values()))
        chosen = np.minimum(np.searchsorted(shares, u[:, 0] * shares[-1], side="right"), len(shares) - 1)
        energy = self.energy.draw(u[:, 1])
        half_x, half_y = (half + self.position.beyond_edge for half in calorimeter.half_width)
        centre_x, centre_y = calorimeter.centre
        slope = self.angle.smallest * (self.angle.largest / self.angle.smallest) ** u[:, 4]
        azimuth = 2 * np.pi * u[:, 5]
        x, y = slope * np.cos(azimuth), slope * np.sin(azimuth)
        momentum = np.sqrt(energy**2 - self._masses()[chosen] ** 2)
        pz = momentum / np.sqrt(1 + x**2 + y**2)
        return Particles.from_columns(
            {
                "pdg": np.array(list(self.species), dtype=np.int64)[chosen],
                "px": x * pz,
                "py": y * pz,
                "pz": pz,
                "vx": centre_x + (2 * u[:, 2] - 1) * half_x,
                "vy": centre_y + (2 * u[:, 3] - 1) * half_y,
                "vz": np.full(number, calorimeter.face_plane),
            }
        )


def shipped_spectra() -> dict[str, Path]:
    """Name and path of each spectrum in the package."""
    folder = Path(str(files("zdc_training") / "simulator" / "spectra"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_spectrum(source: str) -> Spectrum:
    """Read a TOML file, or a shipped spectrum by its name.

    Raises
    ------
    ConfigError : no such file, not TOML, an unknown or missing key, or a value out of bounds; names the key.
    """
    path, values = read_toml(source, shipped_spectra(), "spectrum")
    try:
        return Spectrum.model_validate(values)
    except ValidationError as error:
        raise describe(path, error) from error
