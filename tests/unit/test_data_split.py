from pathlib import Path

import numpy as np
import pytest
from shower_samples import DATA, toy_showers, write_showers
from zdc_detector.errors import ConfigError, FileFormatError
from zdc_training.data import load_split, split_by_particle


def test_no_particle_is_on_both_sides() -> None:
    showers = toy_showers(50, 4)
    training, validation = split_by_particle(showers, 0.2, seed=3)
    assert len(np.unique(validation.particle_id)) == 10
    assert len(validation) == 40
    assert not np.intersect1d(training.particle_id, validation.particle_id).size
    assert sorted([*training.particle_id, *validation.particle_id]) == sorted(showers.particle_id)


def test_the_split_is_a_function_of_seed_and_ids() -> None:
    showers = toy_showers(50, 2)
    chosen = np.unique(split_by_particle(showers, 0.2, seed=3)[1].particle_id)
    again = np.unique(split_by_particle(showers[::-1], 0.2, seed=3)[1].particle_id)
    assert chosen.tolist() == again.tolist()
    assert chosen.tolist() != np.unique(split_by_particle(showers, 0.2, seed=4)[1].particle_id).tolist()
    # Frozen: a card that names a seed must mean the same particles for ever.
    assert chosen.tolist() == FROZEN


FROZEN = [1018, 1027, 1028, 1029, 1030, 1036, 1039, 1040, 1041, 1045]


def test_the_shipped_training_file_splits() -> None:
    training, validation = load_split(DATA / "zn_geant4_train.h5", 0.1, seed=1)
    assert (len(training), len(validation)) == (10710, 1190)
    assert not np.intersect1d(training.particle_id, validation.particle_id).size


@pytest.mark.parametrize("share", [-0.1, 0.0, 0.01, 0.99, 1.0, float("nan")])
def test_both_sides_need_particles(share: float) -> None:
    with pytest.raises(ConfigError, match=r"validation_share = .* of 10 particles"):
        split_by_particle(toy_showers(10), share, seed=1)


def test_a_bad_file_is_not_split(tmp_path: Path) -> None:
    showers = toy_showers(10)
    showers.particles.conditions[4, 7] = 0.9396
    showers.particles.pdg[4] = 2112
    with pytest.raises(FileFormatError, match=r"row 4: mass = 0\.9396 MeV, the PDG table has 939\.565 MeV"):
        load_split(write_showers(tmp_path / "a.h5", showers), 0.2, seed=1)
