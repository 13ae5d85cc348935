"""Particles as columns: nine conditions and a PDG code per row.

The conditions have the order and the units of ALICE O2's fast simulation (`CONDITIONS`, `UNITS`), except for charges:
O2 gives them in units of e/3. Momenta and vertices are rounded to float32 *before* energy, mass and charge are derived,
so that a particle has the same conditions whether it is sent as JSON or as float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from particle import InvalidParticle, ParticleNotFound
from particle import Particle as PdgEntry
from zdc_common.errors import InvalidInputError, OutOfRangeError, cut, excerpt
from zdc_common.words import counted

from zdc_detector.columns import as_column
from zdc_detector.mass_shell import energies_agree, masses_agree, total_energy
from zdc_detector.pdg_table import as_nucleons, look_up, mass_and_charge, pdg_table

CONDITIONS = ("energy", "vx", "vy", "vz", "px", "py", "pz", "mass", "charge")
UNITS = ("GeV", "cm", "cm", "cm", "GeV/c", "GeV/c", "GeV/c", "MeV", "e")
ENERGY, VX, VY, VZ, PX, PY, PZ, MASS, CHARGE = range(9)
KINEMATICS = ("px", "py", "pz", "vx", "vy", "vz")

#: Bounds of all numbers, each in its own unit. They are far beyond any accelerator, and no float32 computation within
#: them (E^2, the line to the face) overflows.
LARGEST = 1e9
SMALLEST_PZ = 1e-9

_SIDE_A, _SIDE_C = np.uint8(ord("A")), np.uint8(ord("C"))
_GIVEN = {"energy", "mass", "charge"}


def species_name(pdg: int) -> str:
    """Name of a PDG code in the PDG table, e.g. ``n`` for 2112; the code itself if it is not in the table."""
    try:
        return str(PdgEntry.from_pdgid(pdg).name)
    except (ParticleNotFound, InvalidParticle):
        return str(pdg)


def by_frequency(pdg: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The PDG codes that occur, most frequent first, and their numbers of occurrences."""
    codes, counts = np.unique(pdg, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return codes[order], counts[order]


@dataclass(frozen=True)
class Particles:
    """A block of particles.

    Attributes
    ----------
    pdg : PDG codes, int64, shape (N,).
    conditions : float32, C-contiguous, shape (N, 9), columns `CONDITIONS` in `UNITS`.
    """

    pdg: NDArray[np.int64]
    conditions: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pdg)

    def __getitem__(self, rows: slice | NDArray[np.generic]) -> "Particles":
        """Rows by slice, index array or mask."""
        return Particles(self.pdg[rows], np.ascontiguousarray(self.conditions[rows]))

    @property
    def side(self) -> NDArray[np.bytes_]:
        """``A`` for particles with pz > 0, ``C`` for pz < 0, S1, shape (N,)."""
        codes = np.where(self.conditions[:, PZ] < 0, _SIDE_C, _SIDE_A)
        return codes.view("S1")

    def toward_a(self) -> "Particles":
        """The same particles, those with pz < 0 mirrored (vz, pz -> -vz, -pz)."""
        backward = self.conditions[:, PZ] < 0
        if not backward.any():
            return self
        conditions = self.conditions.copy()
        conditions[backward, VZ] *= -1
        conditions[backward, PZ] *= -1
        return Particles(self.pdg, conditions)

    @classmethod
    def concatenate(cls, blocks: "list[Particles]") -> "Particles":
        """All rows of the blocks, in order."""
        return cls(np.concatenate([b.pdg for b in blocks]), np.concatenate([b.conditions for b in blocks]))

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> "Particles":
        """Particles from named columns; missing conditions are derived.

        Parameters
        ----------
        columns : Required are ``pdg`` and ``px``, ``py``, ``pz`` [GeV/c], each of shape (N,). ``vx``, ``vy``, ``vz``
            [cm] default to 0. ``energy`` [GeV], ``mass`` [MeV] and ``charge`` [e] default to the values of the PDG
            table; given values must agree with it (`zdc_detector.mass_shell`). The ion code of a single nucleon is
            replaced by the code of the nucleon. A column has any type that `as_column` accepts.

        Raises
        ------
        InvalidInputError : a column or a value is missing, unknown, of another length, not finite or in contradiction
            to the PDG table; names the row, the value and the remedy.
        OutOfRangeError : a PDG code is not in the table, and its mass and charge are not given.
        """
        unknown = set(columns) - {"pdg", *CONDITIONS}
        if unknown:
            raise InvalidInputError(
                f"unknown columns {excerpt(sorted(unknown))}; a particle has pdg, {', '.join(CONDITIONS)}"
            )
        missing = {"pdg", "px", "py", "pz"} - set(columns)
        if missing:
            raise InvalidInputError(f"missing columns {sorted(missing)}; pdg, px, py and pz [GeV/c] are required")
        pdg = _pdg_column(columns["pdg"])
        kinematics = np.zeros((len(pdg), len(KINEMATICS)), dtype=np.float32)
        with np.errstate(over="ignore"):  # infinity is refused below
            for i, name in enumerate(KINEMATICS):
                if name in columns:
                    kinematics[:, i] = _float_column(name, columns[name], len(pdg))
        return cls._derived(pdg, kinematics, columns)

    @classmethod
    def from_rows(cls, pdg: NDArray[np.int64], kinematics: NDArray[np.float32]) -> "Particles":
        """Particles from arrays; energy, mass and charge are derived from the PDG table.

        Parameters
        ----------
        pdg : Codes, shape (N,).
        kinematics : Columns `KINEMATICS`: px, py, pz [GeV/c], vx, vy, vz [cm], float32, shape (N, 6).

        Raises
        ------
        InvalidInputError, OutOfRangeError : As `from_columns`.
        """
        return cls._derived(pdg, kinematics, {})

    @classmethod
    def _derived(
        cls, pdg: NDArray[np.int64], kinematics: NDArray[np.float32], columns: Mapping[str, ArrayLike]
    ) -> "Particles":
        """Check the numbers and derive the conditions; `columns` may hold given energies, masses and charges."""
        out = np.empty((len(pdg), len(CONDITIONS)), dtype=np.float32)
        if not _GIVEN & columns.keys():
            from zdc_detector.kernels import condition_rows

            if condition_rows(pdg, kinematics, *pdg_table(), LARGEST, SMALLEST_PZ, out):
                return cls(pdg, out)
        # The fast way does not apply: given values must be compared, or a wrong value needs a message, or a code is the
        # ion code of a nucleon.
        pdg = as_nucleons(pdg)
        n = len(pdg)
        for i, name in enumerate(KINEMATICS):
            _check_bounds(name, np.asarray(columns.get(name, kinematics[:, i]), dtype=np.float64))
            out[:, CONDITIONS.index(name)] = kinematics[:, i]
        along_z = np.abs(out[:, PZ]) >= SMALLEST_PZ
        _require(
            along_z,
            "pz",
            out[:, PZ],
            f"GeV/c must not be 0 or below {SMALLEST_PZ:g} in size; calorimeters are at +z and -z only",
        )

        mass, charge = _from_table(pdg, columns, n)
        out[:, MASS], out[:, CHARGE] = mass, charge
        energy = total_energy(out[:, PX : PZ + 1].astype(np.float64), mass)
        if "energy" in columns:
            given = _float_column("energy", columns["energy"], n)
            _check_bounds("energy", given)
            _require(
                energies_agree(given, energy),
                "energy",
                given,
                "GeV disagrees with sqrt(p^2 + m^2) = {}; energies are total energies in GeV, momenta in GeV/c",
                energy,
            )
        out[:, ENERGY] = energy
        return cls(pdg, out)


def _pdg_column(values: ArrayLike) -> NDArray[np.int64]:
    raw = np.atleast_1d(as_column("pdg", values))
    if raw.size == 0:
        raise InvalidInputError("no particles; send at least one")
    if raw.ndim != 1 or raw.dtype.kind not in "iuf":
        raise InvalidInputError(f"pdg must be a column of integers; received {raw.dtype} of shape {raw.shape}")
    if raw.dtype == np.int32:  # the type of gRPC messages: every value is valid
        return raw.astype(np.int64)
    if raw.dtype.kind == "f" and (bits := int(np.finfo(raw.dtype).nmant) + 1) < 31:
        rounded = np.abs(raw) > 2.0**bits
        if rounded.any():
            row = int(np.argmax(rounded))
            raise InvalidInputError(
                f"particle[{row}]: pdg = {float(raw[row]):.10g} is beyond 2^{bits}, where {raw.dtype.name} rounds; "
                "send codes as integers, or all as float64 or JSON"
            )
    with np.errstate(invalid="ignore"):
        pdg = raw.astype(np.int64)
    _require(
        (pdg == raw) & (pdg > -(2**31)) & (pdg < 2**31),
        "pdg",
        raw,
        "must be an integer PDG code, at most 10 digits (int32)",
    )
    return pdg


def _float_column(name: str, values: ArrayLike, n: int) -> NDArray[np.float64]:
    try:
        raw = np.asarray(as_column(name, values))
        if raw.dtype.kind not in "iufO":  # NumPy would convert texts, booleans and complex numbers
            raise TypeError(f"received {raw.dtype}")
        column = np.atleast_1d(raw.astype(np.float64))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"{name} must be a column of numbers: {cut(str(error))}") from error
    if column.shape != (n,):
        raise InvalidInputError(
            f"{name} has shape {column.shape}; pdg has {counted(n, 'row')}, send one value for each"
        )
    return column


def _check_bounds(name: str, column: NDArray[np.float64]) -> None:
    unit = UNITS[CONDITIONS.index(name)]
    _require(np.abs(column) <= LARGEST, name, column, f"{unit} must be finite and within +-{LARGEST:g} {unit}")


def _from_table(
    pdg: NDArray[np.int64], columns: Mapping[str, ArrayLike], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    given = {name: _float_column(name, columns[name], n) for name in ("mass", "charge") if name in columns}
    for name, column in given.items():
        _check_bounds(name, column)
    table, in_table = look_up(pdg)
    mass, charge = table.T
    if len(given) < 2 and not in_table.all():
        row = int(np.argmin(in_table))
        try:
            mass_and_charge(int(pdg[row]))
        except OutOfRangeError as error:
            raise OutOfRangeError(
                f"particle[{row}]: {error}; send its mass [MeV] and charge [e], or a species the model knows"
            ) from error
    if "mass" in given:
        remedy = "MeV; the PDG table has {} MeV: masses are in MeV, did you send GeV?"
        _require(masses_agree(given["mass"], mass) | ~in_table, "mass", given["mass"], remedy, mass)
        _require(given["mass"] >= 0, "mass", given["mass"], "MeV must not be negative")
        mass = np.where(in_table, mass, given["mass"])
    if "charge" in given:
        remedy = "e; the PDG table has {} e: ROOT's TParticlePDG::Charge() is in |e|/3, ours is in e"
        _require((given["charge"] == charge) | ~in_table, "charge", given["charge"], remedy, charge)
        charge = np.where(in_table, charge, given["charge"])
    return mass, charge


def _require(
    ok: NDArray[np.bool_],
    name: str,
    values: NDArray[np.generic],
    remedy: str,
    bound: NDArray[np.float64] | None = None,
) -> None:
    """Raise InvalidInputError for the first row that is not `ok`; a ``{}`` in `remedy` is replaced by its `bound`."""
    if ok.all():
        return
    row = int(np.argmin(ok))
    text = remedy if bound is None else remedy.format(f"{bound[row]:.6g}")
    more = int(np.count_nonzero(~ok)) - 1
    also = f" (and {counted(more, 'more row')})" if more else ""
    raise InvalidInputError(f"particle[{row}]: {name} = {values[row]:g} {text}{also}")
