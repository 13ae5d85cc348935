"""Write responses to ROOT, as a TTree."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.optional_packages import hep_package
from zdc_detector.particles import CONDITIONS

from zdc_service.writers.results import ResultWriter
from zdc_service.writers.rows import Rows

TREE, ABOUT = "showers", "about"


class RootWriter(ResultWriter):
    """Writes the tree `TREE`, with one entry per response.

    Branches are the nine conditions (Float_t), ``pdg`` (Int_t), ``particle_id`` and ``row`` (Long64_t), ``side``
    (Char_t, A or C), ``channels[C]`` (UInt_t), ``event`` and ``barcode`` if the source has them, and
    ``responses[rows][columns]`` (UShort_t) or ``nhits`` with ``hits_fibre[nhits]`` and ``hits_photons[nhits]``
    (UShort_t); rates are Float_t. The string `ABOUT` has the model, version, seed, calorimeter, units and counts as
    JSON.
    """

    packages, purpose = ("uproot", "awkward"), "ROOT files"

    _file: Any = None

    def _write(self, rows: Rows) -> None:
        if self._file is None:
            self._create()
        branches: dict[str, Any] = {
            name: np.ascontiguousarray(rows.particles.conditions[:, i]) for i, name in enumerate(CONDITIONS)
        }
        branches |= {
            "pdg": rows.particles.pdg.astype(np.int32),
            "particle_id": rows.particle_id,
            "row": rows.row,
            "side": rows.side.view(np.int8),
            "channels": rows.channels,
            **rows.columns,
        }
        if rows.response is not None:
            branches["responses"] = rows.response
        if rows.hits is not None:
            awkward = hep_package("awkward", self.purpose)
            counts = np.diff(rows.hits.offsets).astype(np.int64)
            numbers: dict[str, NDArray[np.generic]] = {"fibre": rows.hits.fibre, "photons": rows.hits.photons}
            branches["hits"] = awkward.zip({name: awkward.unflatten(each, counts) for name, each in numbers.items()})
        if TREE not in self._file:
            self._file.mktree(TREE, {name: _type(values) for name, values in branches.items()})
        if len(rows):
            self._file[TREE].extend(branches)

    def _create(self) -> None:
        uproot = hep_package("uproot", self.purpose)
        self._file = uproot.recreate(self._path, compression=uproot.ZSTD(1))

    def _close(self) -> None:
        if self._file is not None:
            self._file[ABOUT] = self._about.as_json(self._counts)
            self._file.close()


def _type(values: Any) -> Any:
    """The type of a branch, for uproot."""
    if isinstance(values, np.ndarray):
        return np.dtype((values.dtype, values.shape[1:]))
    return values.type.content
