"""Pack Geant4 showers for the page of ``zdc serve``, which compares them with generated responses.

python -m zdc_training.data.page_examples training/data/zn_geant4_test.h5 \
        service/zdc_service/serving/geant4_examples.npz
"""

import argparse
from pathlib import Path

import numpy as np
from zdc_common.errors import FileFormatError
from zdc_detector.packed_showers import write_packed
from zdc_detector.showers import read_showers


def pack_examples(source: Path, output: Path) -> None:
    """Write the showers of a file as the page's examples.

    Parameters
    ----------
    source : HDF5 in the project's layout.
    output : npz in the layout of `zdc_detector.packed_showers`.

    Raises
    ------
    FileFormatError : the source is not in the project's layout, its particles have different numbers of rows, or the
        rows of a particle are not consecutive.
    """
    showers = read_showers(source)
    ids, counts = np.unique(showers.particle_id, return_counts=True)
    if len(set(counts)) != 1 or np.count_nonzero(np.diff(showers.particle_id)) != len(ids) - 1:
        raise FileFormatError(
            f"{source}: all particles must have the same number of rows, and the rows of a particle must be consecutive"
        )
    write_packed(showers, output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pack a file of Geant4 showers for the page of `zdc serve`.")
    parser.add_argument("source", type=Path, help="HDF5 file of showers, e.g. training/data/zn_geant4_test.h5")
    parser.add_argument("output", type=Path, help="npz; the page's is service/zdc_service/serving/geant4_examples.npz")
    named = parser.parse_args()
    pack_examples(named.source, named.output)
