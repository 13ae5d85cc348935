"""Showers in a small npz, as hits: what the package ships.

Arrays: ``particles``, ``pdg`` and ``particle_id`` as in `zdc_detector.showers`, ``lit`` (number of fibres with photons
in each row, uint16), ``fibre`` and ``photons`` (as in `zdc_detector.hits.Hits`), ``calorimeter`` (JSON).
"""

from pathlib import Path

import numpy as np

from zdc_detector.calorimeter import Calorimeter
from zdc_detector.hits import Hits, to_hits
from zdc_detector.particles import Particles
from zdc_detector.showers import Showers


def write_packed(showers: Showers, path: Path) -> None:
    """Write showers, without their further columns, compressed."""
    hits = to_hits(showers.responses)
    np.savez_compressed(
        path,
        calorimeter=np.array(showers.calorimeter.model_dump_json()),
        particles=showers.particles.conditions,
        pdg=showers.particles.pdg.astype(np.int32),
        particle_id=showers.particle_id,
        lit=np.diff(hits.offsets).astype(np.uint16),
        fibre=hits.fibre,
        photons=hits.photons,
    )


def read_packed(path: Path) -> Showers:
    """Read what `write_packed` wrote."""
    with np.load(path) as file:
        calorimeter = Calorimeter.model_validate_json(str(file["calorimeter"]))
        offsets = np.append(0, np.cumsum(file["lit"], dtype=np.uint64)).astype(np.uint64)
        return Showers(
            Particles(file["pdg"].astype(np.int64), file["particles"]),
            Hits(offsets, file["fibre"], file["photons"]).to_images(calorimeter.shape),
            file["particle_id"],
            calorimeter,
        )
