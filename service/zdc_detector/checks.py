"""Checks of files of showers, for readers, which stop at the first problem, and for reports, which list all."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.mass_shell import ENERGY_TOLERANCE, energies_agree, masses_agree, total_energy
from zdc_detector.particles import (
    CHARGE,
    CONDITIONS,
    ENERGY,
    MASS,
    PX,
    PZ,
)
from zdc_detector.pdg_table import look_up

#: Data sets that every file needs, and their numbers of dimensions.
REQUIRED = {"particles": 2, "pdg": 1, "responses": 3, "particle_id": 1}
MAXIMUM_COUNT = int(np.iinfo(np.uint16).max)

_BLOCK = 1000  # rows checked at a time: limits the memory for a copy in float64


@dataclass(frozen=True)
class UncheckedShowers:
    """The data sets of a file of showers before any check.

    Attributes
    ----------
    data : Data sets by name.
    calorimeter : The calorimeter of the file, or what is wrong with it.
    particle_names : Names of the columns of ``particles`` in the file; None if it has none.
    """

    data: Mapping[str, NDArray[np.generic]]
    calorimeter: Calorimeter | str
    particle_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Problem:
    """One kind of problem in a file.

    Attributes
    ----------
    text : The value, the bound and the remedy.
    row : The first bad row; None if the problem concerns the whole file.
    rows : Number of rows with this problem.
    """

    text: str
    row: int | None = None
    rows: int = field(default=0, kw_only=True)

    def __str__(self) -> str:
        if self.row is None:
            return self.text
        more = f" (and {self.rows - 1} more rows)" if self.rows > 1 else ""
        return f"row {self.row}: {self.text}{more}"


def find_problems(showers: UncheckedShowers) -> list[Problem]:
    """All kinds of problems in a file, each with its first bad row; empty for a valid file.

    Checks: data sets, shapes and lengths; counts are integers from 0 to 65535; conditions are finite; masses [MeV] and
    charges [e] are those of the PDG table; E^2 = p^2 + m^2; pz != 0; one particle for each `particle_id` and one
    `particle_id` for each particle. Values are checked if the shapes are right. Responses must have the shape of
    the calorimeter.
    """
    problems = layout_problems(showers)
    data = showers.data
    lengths = {name: len(data[name]) for name in REQUIRED if not list(_shape_problems(showers, name))}
    if "responses" in lengths:
        problems += _count_problems(data["responses"])
    if lengths.get("pdg", -1) == lengths.get("particles"):
        problems += _particle_problems(data["particles"].astype(np.float64), data["pdg"].astype(np.int64))
        if lengths.get("particle_id") == lengths["pdg"]:
            problems += _identity_problems(data["particles"], data["pdg"], data["particle_id"])
    return problems


def layout_problems(showers: UncheckedShowers) -> list[Problem]:
    """Problems of the data sets and their shapes; values are not checked."""
    problems = [problem for name in REQUIRED for problem in _shape_problems(showers, name)]
    responses = showers.data.get("responses")
    if responses is not None and responses.ndim == REQUIRED["responses"]:
        problems += _face_problems(showers.calorimeter, responses.shape[1:])
    lengths = {name: len(showers.data[name]) for name in REQUIRED if name in showers.data}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        problems.append(Problem(f"numbers of rows differ: {counted}; every data set needs one row per shower"))
    elif lengths and not max(lengths.values()):
        problems.append(Problem("there are no rows; a file needs at least one shower"))
    return problems


def _shape_problems(showers: UncheckedShowers, name: str) -> Iterator[Problem]:
    if name not in showers.data:
        yield Problem(f"data set {name!r} is missing; the layout needs {', '.join(REQUIRED)}")
        return
    values = showers.data[name]
    if values.ndim != REQUIRED[name]:
        yield Problem(f"data set {name!r} has shape {values.shape}; it needs {REQUIRED[name]} dimensions")
        return
    integers = name in ("pdg", "particle_id")
    if values.dtype.kind not in ("iu" if integers else "iuf"):
        yield Problem(f"data set {name!r} has type {values.dtype}; it needs {'integers' if integers else 'numbers'}")
    if name == "particles" and values.shape[1] != len(CONDITIONS):
        yield Problem(f"particles has {values.shape[1]} columns; it needs {', '.join(CONDITIONS)}")
    elif name == "particles" and showers.particle_names not in (None, CONDITIONS):
        yield Problem(f"particles has columns {list(showers.particle_names or ())}; it needs {', '.join(CONDITIONS)}")


def _face_problems(calorimeter: Calorimeter | str, shape: tuple[int, ...]) -> Iterator[Problem]:
    if isinstance(calorimeter, str):
        yield Problem(calorimeter)
    elif shape != calorimeter.shape:
        yield Problem(f"responses are {shape}, {calorimeter.name} is {calorimeter.shape}; row = x, column = y")


def _count_problems(responses: NDArray[np.generic]) -> list[Problem]:
    if responses.dtype == np.uint16:
        return []
    tests: tuple[tuple[str, Callable[[NDArray[np.float64]], NDArray[np.bool_]]], ...] = (
        ("is not finite; remove the row", lambda v: ~np.isfinite(v)),
        ("is negative; photon counts start at 0", lambda v: v < 0),
        (f"is above {MAXIMUM_COUNT}, the largest uint16", lambda v: np.isfinite(v) & (v > MAXIMUM_COUNT)),
        (
            "is not a whole number of photons; round or draw rates first, turn log(1 + count) images back",
            lambda v: np.isfinite(v) & (v != np.rint(v)),
        ),
    )
    bad: list[list[int]] = [[] for _ in tests]
    first: list[float] = [0.0] * len(tests)
    for start in range(0, len(responses), _BLOCK):
        values = (
            responses[start : start + _BLOCK].astype(np.float64).reshape(len(responses[start : start + _BLOCK]), -1)
        )
        for i, (_, test) in enumerate(tests):
            wrong = test(values)
            rows = np.flatnonzero(wrong.any(axis=1))
            if len(rows) and not bad[i]:
                first[i] = float(values[rows[0], np.argmax(wrong[rows[0]])])
            bad[i] += (start + rows).tolist()
    return [
        Problem(f"a photon count of {value:g} {text}", rows[0], rows=len(rows))
        for (text, _), rows, value in zip(tests, bad, first, strict=True)
        if rows
    ]


def _particle_problems(conditions: NDArray[np.float64], pdg: NDArray[np.int64]) -> list[Problem]:
    finite = np.isfinite(conditions)
    whole = np.logical_and.reduce(finite, axis=1)
    codes, first, place = np.unique(pdg, return_index=True, return_inverse=True)
    table, unknown = _table_of(codes)
    mass, charge = table[place].T
    energy = total_energy(conditions[:, PX : PZ + 1], conditions[:, MASS])
    known = whole & np.isfinite(mass)
    off_mass = known & ~masses_agree(conditions[:, MASS], mass)
    off_energy = whole & ~off_mass & ~energies_agree(conditions[:, ENERGY], energy)

    def column(row: int) -> int:
        return int(np.argmin(finite[row]))

    checks: tuple[tuple[NDArray[np.bool_], Callable[[int], str]], ...] = (
        (~whole, lambda r: f"{CONDITIONS[column(r)]} is {conditions[r, column(r)]}; remove or repair the row"),
        (
            off_mass,
            lambda r: (
                f"mass = {conditions[r, MASS]:g} MeV, the PDG table has {mass[r]:g} MeV for {pdg[r]}; "
                "masses are in MeV, are these GeV?"
            ),
        ),
        (
            known & (conditions[:, CHARGE] != charge),
            lambda r: (
                f"charge = {conditions[r, CHARGE]:g} e, the PDG table has {charge[r]:g} e for {pdg[r]}; "
                "ROOT's TParticlePDG::Charge() is in |e|/3, ours is in e"
            ),
        ),
        (
            off_energy,
            lambda r: (
                f"energy = {conditions[r, ENERGY]:g} GeV disagrees with sqrt(p^2 + m^2) = {energy[r]:g} GeV by "
                f"more than {ENERGY_TOLERANCE:.0%}; energies are total energies in GeV, momenta in GeV/c, masses in MeV"
            ),
        ),
        (whole & (conditions[:, PZ] == 0), lambda _: "pz = 0 GeV/c must not be 0; calorimeters are at +z and -z only"),
    )
    problems = [
        Problem(f"pdg {codes[i]} has no mass and charge in the PDG table", int(first[i]), rows=int((place == i).sum()))
        for i in np.flatnonzero(unknown)
    ]
    for wrong, text in checks:
        if wrong.any():
            row = int(np.argmax(wrong))
            problems.append(Problem(text(row), row, rows=int(wrong.sum())))
    return problems


def _table_of(codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Mass [MeV] and charge [e] of each code, nan if the PDG table has none, and which codes are unknown."""
    table, known = look_up(codes)
    table[~known] = np.nan
    return table, ~known


def _identity_problems(
    particles: NDArray[np.generic], pdg: NDArray[np.generic], particle_id: NDArray[np.generic]
) -> list[Problem]:
    identity = particle_numbers(particles, pdg)
    problems = []
    for one, other, text in (
        (particle_id, identity, "is another particle than row {} with the same particle_id {}; repeats share all nine "
         "conditions and pdg"),
        (identity, particle_id, "has the particle of row {}, whose particle_id is {}, and another one; a split "
         "by particle would leak"),
    ):  # fmt: skip
        _, first, place = np.unique(one, return_index=True, return_inverse=True)
        start = first[place]
        wrong = other != other[start]
        if wrong.any():
            row = int(np.argmax(wrong))
            text = text.format(start[row], particle_id[start[row]])
            problems.append(Problem(text, row, rows=int(wrong.sum())))
    return problems


def particle_numbers(particles: NDArray[np.generic], pdg: NDArray[np.generic]) -> NDArray[np.int64]:
    """Number the distinct particles from 0 in the order of their first rows, shape (N,).

    Two particles are the same if their PDG codes and all nine conditions, as float32, are equal.
    """
    key = np.column_stack([particles.astype(np.float32).view(np.int32), pdg.astype(np.int32)])
    _, first, place = np.unique(key, axis=0, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[np.ravel(place)]
