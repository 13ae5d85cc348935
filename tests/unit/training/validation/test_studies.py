"""Studies are simulated once; stand-in data can be scaled."""

from pathlib import Path

import numpy as np
import pytest
from zdc_training.simulator.data_files import find_data_files
from zdc_training.simulator.set_up import read_set_up
from zdc_training.simulator.stand_in import write_stand_ins
from zdc_training.validation.plan import PHOTON
from zdc_training.validation.scaled_data import scale_stand_ins
from zdc_training.validation.studies import Study, probed


def test_scaled_stand_ins_have_other_cross_sections_on_the_same_energies(tmp_path: Path) -> None:
    write_stand_ins(tmp_path, ["W"])
    files = [next(tmp_path.glob("emlow/brem_SB/br74")), next(tmp_path.glob("particlexs/neutron/inel74"))]
    before = [path.read_text().splitlines() for path in files]
    scale_stand_ins(tmp_path, 1.1, 1.05)
    after = [path.read_text().splitlines() for path in files]
    assert after[0][:3] == before[0][:3]
    assert float(after[0][20].split()[5]) == pytest.approx(1.1 * float(before[0][20].split()[5]), rel=1e-4)
    energy, value = before[1][100].split()
    assert after[1][100].split()[0] == energy
    assert float(after[1][100].split()[1]) == pytest.approx(float(value) / 1.05, rel=1e-6)


@pytest.mark.slow
def test_a_study_is_simulated_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study("few", read_set_up("zn"), PHOTON, 5.0, 3)
    data_files = find_data_files("stand-in")
    first = probed([study], tmp_path, 1, data_files)["few"]
    assert "few (3 showers of 5 GeV)" in capsys.readouterr().err
    again = probed([study], tmp_path, 1, data_files)["few"]
    assert not capsys.readouterr().err
    assert np.array_equal(first.light, again.light)
    assert first.photons.min() > 0
    # All light is within the block, in depth and around the particle.
    assert first.depth.sum(axis=1) == pytest.approx(first.photons, rel=1e-3)
    assert first.radius.sum(axis=1) == pytest.approx(first.photons, rel=1e-3)
