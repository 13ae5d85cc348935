"""The command that packs Geant4 showers for the server's page."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from zdc_common.errors import FileFormatError
from zdc_detector.showers import ShowerWriter, read_showers
from zdc_service.serving.examples import EXAMPLES_FILE
from zdc_training.data.page_examples import pack_examples

DATA = Path(__file__).parents[4] / "training" / "data" / "zn_geant4_test.h5"


def test_the_shipped_file_is_what_the_command_makes_of_the_test_set(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zdc_training.data.page_examples", str(DATA), str(tmp_path / "again.npz")]
    subprocess.run(command, check=True, timeout=120)
    with np.load(EXAMPLES_FILE) as shipped, np.load(tmp_path / "again.npz") as again:
        assert set(shipped) == set(again)
        for name in shipped:
            np.testing.assert_array_equal(shipped[name], again[name])


def test_particles_with_different_numbers_of_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mixed.h5"
    few = read_showers(DATA)[np.array([0, 1, 5])]
    with ShowerWriter(path, few.calorimeter, "mixed") as writer:
        writer.append(few.particles, few.responses, few.particle_id)
    with pytest.raises(
        FileFormatError, match="the same number of rows, and the rows of a particle must be consecutive"
    ):
        pack_examples(path, tmp_path / "none.npz")
