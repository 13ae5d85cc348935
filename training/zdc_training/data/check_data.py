"""Summary and problems of a file of showers (`train-zdc check-data`)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.checks import REQUIRED, Problem, UncheckedShowers, find_problems, layout_problems
from zdc_detector.mass_shell import total_energy
from zdc_detector.particles import ENERGY, MASS, PX, PZ, species_name
from zdc_detector.showers import read_unchecked

from zdc_training.config.config import load_config
from zdc_training.data.oddities import count_copies, data_warnings

_SPECIES_LINE = "  {:>6}  {:<10} {:>8} {:>9} {:>18} {:>9} {:>7}"


_SHOWN = 12  # data sets in the summary


@dataclass(frozen=True)
class DataReport:
    """Findings on one file.

    Attributes
    ----------
    path : The file.
    summary : Content of the file as text; empty if its layout is wrong.
    problems : One entry for each kind of problem.
    warnings : See `data_warnings`; empty for a file with problems.
    """

    path: Path
    summary: str
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 if there is any problem, else 0."""
        return 1 if self.problems else 0

    def __str__(self) -> str:
        found = [f"  - {problem}" for problem in self.problems]
        verdict = f"{len(found)} kinds of problem:" if found else "no problems found"
        warned = [f"warning: {text}" for text in self.warnings]
        return "\n".join([f"{self.path}", *([self.summary] if self.summary else []), *warned, verdict, *found])


def check_data(path: Path, config: str = "zn-fast") -> DataReport:
    """Check one file in the project's layout.

    Parameters
    ----------
    config : Configuration, a TOML file or the name of a shipped one, whose species are compared with those of the file.

    Raises
    ------
    FileFormatError : the file cannot be read as HDF5.
    ConfigError : there is no such configuration.
    """
    species = load_config(config).species
    showers = read_unchecked(path)
    calorimeter = showers.calorimeter
    if layout_problems(showers) or isinstance(calorimeter, str):
        return DataReport(path, "", tuple(find_problems(showers)))
    summary, problems = summarise(showers, calorimeter), find_problems(showers)
    warnings: list[str] = []
    if not problems:
        conditions, pdg = showers.data["particles"].astype(np.float32), showers.data["pdg"].astype(np.int64)
        responses = showers.data["responses"]
        warnings = data_warnings(conditions, pdg, responses, calorimeter, species=species, configuration=config)
    return DataReport(path, summary, tuple(problems), tuple(warnings))


def summarise(showers: UncheckedShowers, calorimeter: Calorimeter) -> str:
    """Rows, particles, light and species of a file as text; its layout must be correct, its values may be wrong."""
    conditions = showers.data["particles"].astype(np.float32)
    pdg, particle_id = showers.data["pdg"], showers.data["particle_id"]
    responses = showers.data["responses"]
    sums = np.asarray(responses.sum(axis=(1, 2), dtype=np.float64))
    repeats = np.unique(particle_id, return_counts=True)[1]
    with np.errstate(all="ignore"):  # wrong values are reported as problems
        missing = int(np.count_nonzero(~calorimeter.hits_face(conditions)))
        deviation = _energy_deviation(conditions)
        lines = [
            f"  calorimeter   {calorimeter.name}, {calorimeter.shape[0]} x {calorimeter.shape[1]} fibres",
            f"  showers       {len(pdg)} of {len(repeats)} particles, {_range(repeats)} simulations of each",
            f"  photon sum    mean {sums.mean():.4g}, largest {sums.max():.6g}; brightest fibre {responses.max():g}",
            f"  empty         {np.mean(sums == 0):.2%} of the responses",
            f"  frame         {_frames(conditions, calorimeter)}",
            f"  off the face  {missing} showers whose straight line misses it",
            f"  duplicates    {count_copies(responses, sums)} responses with photons equal to an earlier one",
            f"  energy        differs from sqrt(p^2 + m^2) by at most {deviation:.1e} of itself",
            *_other_data(showers),
            _SPECIES_LINE.format("pdg", "name", "showers", "particles", "energy [GeV]", "mean sum", "empty"),
        ]
        for code in np.unique(pdg):
            rows = pdg == code
            energy = f"{conditions[rows, ENERGY].min():.1f} .. {conditions[rows, ENERGY].max():.1f}"
            particles = len(np.unique(particle_id[rows]))
            light = f"{sums[rows].mean():.4g}", f"{np.mean(sums[rows] == 0):.2%}"
            lines.append(_SPECIES_LINE.format(code, species_name(int(code)), rows.sum(), particles, energy, *light))
    return "\n".join(lines)


def _frames(conditions: NDArray[np.float32], calorimeter: Calorimeter) -> str:
    """How many showers are of particles from a vertex, and how many of particles at the face."""
    at_face = int(np.count_nonzero(calorimeter.at_face(conditions)))
    parts = [(len(conditions) - at_face, "from a vertex"), (at_face, "at the face (vz = face_z)")]
    return ", ".join(f"{count} showers {where}" for count, where in parts if count)


def _other_data(showers: UncheckedShowers) -> list[str]:
    unread = [name for name in showers.data if name not in REQUIRED]
    return [f"  other data    {', '.join(unread[:_SHOWN])}: not read by training"] if unread else []


def _range(values: NDArray[np.integer]) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def _energy_deviation(conditions: NDArray[np.float32]) -> float:
    c = conditions.astype(np.float64)
    energy = total_energy(c[:, PX : PZ + 1], c[:, MASS])
    return float(np.max(np.abs(energy / c[:, ENERGY] - 1)))
