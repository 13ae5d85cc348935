"""Select the particles of whole events that reach a calorimeter."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError, OutOfRangeError
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.frames import Frame
from zdc_detector.particles import CONDITIONS, SMALLEST_PZ
from zdc_detector.pdg_table import mass_and_charge

from zdc_readers.blocks import ParticleBlock, Placing

CHARGED, UNKNOWN, MISSES = "charged", "not in the PDG table", "misses the face"

_Columns = Mapping[str, NDArray[np.generic]]


class Selection:
    """Selects neutral particles whose straight line reaches the calorimeter's face at +z or at -z.

    Charged particles are left out, because the separation dipole deflects them away from the face. Of particles that
    are given at the face, only unknown species are left out, and those that do not fly along the beam: whether a model
    knows their place is not for a reader to say.

    Parameters
    ----------
    skipped : Counter that gets the number of particles left out, by reason.
    calorimeter : The calorimeter.
    frame : Where the particles are given; None is their vertex.
    """

    def __init__(self, skipped: Counter[str], calorimeter: Calorimeter, frame: Frame | None):
        self._skipped = skipped
        self._calorimeter = calorimeter
        self._at_face = frame is Frame.FACE

    def possible(self, pdg: NDArray[np.generic]) -> NDArray[np.intp]:
        """Indices of the species among N PDG codes that may reach the face; counts the others in `skipped`."""
        codes, inverse, counts = np.unique(pdg, return_inverse=True, return_counts=True)
        reasons = [_left_out(int(code)) for code in codes]
        if self._at_face:
            reasons = [None if reason == CHARGED else reason for reason in reasons]
        for reason, count in zip(reasons, counts.tolist(), strict=True):
            if reason is not None:
                self._skipped[reason] += count
        return np.flatnonzero(np.array([reason is None for reason in reasons], dtype=bool)[inverse])

    def reaching(self, source: object, columns: _Columns, placing: Placing, rows: int) -> Iterator[ParticleBlock]:
        """Blocks of the particles that reach the face; counts the others in `skipped`.

        Parameters
        ----------
        source : Name of the source in messages.
        columns : Columns of particles that `possible` accepts, as for `ParticleBlock.from_columns`.
        placing : Makes, from columns, a function that names row i as the source does.
        rows : Maximum number of particles per block.

        Raises
        ------
        FileFormatError : a value is not finite, or otherwise invalid. The message names the particle.
        """
        for name in CONDITIONS:
            if name in columns:
                finite = np.isfinite(columns[name].astype(np.float64))
                if not finite.all():
                    row = int(np.argmin(finite))
                    raise FileFormatError(
                        f"{source}: {placing(columns)(row)}: {name} = {columns[name][row]} must be finite; repair the "
                        "file or leave the particle out"
                    )
        flies = np.abs(columns["pz"]) >= SMALLEST_PZ
        self._left_out(MISSES, int(np.count_nonzero(~flies)))
        columns = {name: values[flies] for name, values in columns.items()}
        if not len(columns["pdg"]):
            return
        block = ParticleBlock.from_columns(source, columns, placing(columns))
        everything = np.ones(len(block.particles), dtype=bool)
        hits = np.flatnonzero(everything if self._at_face else self._calorimeter.hits_face(block.particles.conditions))
        self._left_out(MISSES, len(block.particles) - len(hits))
        for start in range(0, len(hits), rows):
            chosen = hits[start : start + rows]
            kept = {name: values[chosen] for name, values in block.columns.items()}
            yield ParticleBlock(block.particles[chosen], kept, placing(kept))

    def _left_out(self, reason: str, count: int) -> None:
        if count:
            self._skipped[reason] += count


@lru_cache(maxsize=4096)
def _left_out(pdg: int) -> str | None:
    """The reason to leave out particles with this PDG code, or None."""
    try:
        _, charge = mass_and_charge(pdg)
    except OutOfRangeError:
        return UNKNOWN
    return CHARGED if charge else None
