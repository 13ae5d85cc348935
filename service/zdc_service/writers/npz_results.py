"""Write responses to a NumPy archive (npz)."""

import numpy as np
from numpy.typing import NDArray
from zdc_detector.particles import CONDITIONS

from zdc_service.writers.results import ResultWriter
from zdc_service.writers.rows import Rows


class NpzWriter(ResultWriter):
    """Collects all rows in memory, and writes one compressed npz at the end; arrays are named as in the HDF5 file.

    ``calorimeter`` is the whole calorimeter as JSON text.
    """

    block_bytes = 1 << 62

    def _write(self, rows: Rows) -> None:
        arrays: dict[str, NDArray[np.generic]] = {
            "particles": rows.particles.conditions,
            "particles_names": np.array(CONDITIONS),
            "pdg": rows.particles.pdg,
            "particle_id": rows.particle_id,
            "channels": rows.channels,
            "channel_names": np.array(self._about.calorimeter.channel_names),
            "side": rows.side,
            "row": rows.row,
            "shape": np.array(self._about.calorimeter.shape),
            "calorimeter": np.array(self._about.calorimeter.model_dump_json()),
            **rows.columns,
        }
        if rows.response is not None:
            arrays["responses"] = rows.response
        if rows.hits is not None:
            arrays |= rows.hits.as_arrays()
        attributes = {**self._about.attributes, **self._flat_counts}
        arrays |= {name: np.array(value) for name, value in attributes.items()}
        with self._path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def _close(self) -> None:
        pass
