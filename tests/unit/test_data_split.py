from pathlib import Path

import numpy as np
import pytest
from shower_samples import DATA, toy_showers, write_showers
from zdc_detector.errors import ConfigError, FileFormatError
from zdc_detector.particles import ENERGY, PZ, VZ
from zdc_training.data import check_unseen, load_split, split_by_particle
from zdc_training.sections import DataConfig


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
    training, validation = load_split(DataConfig(train=DATA / "zn_geant4_train.h5"))
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
        load_split(DataConfig(train=write_showers(tmp_path / "a.h5", showers)))


def test_a_limit_draws_showers_and_a_larger_one_contains_a_smaller_one() -> None:
    showers = toy_showers(60)
    by_energy = showers[np.argsort(showers.particles.conditions[:, ENERGY])]
    training, validation = split_by_particle(by_energy, 0.2, seed=3)
    found = [split_by_particle(by_energy, 0.2, seed=3, limit=limit) for limit in (10, 30, 1000)]
    few, more, all_of_them = (set(limited.particle_id.tolist()) for limited, _ in found)
    assert (len(few), len(more)) == (10, 30)
    assert few < more < all_of_them == set(training.particle_id.tolist())
    assert {tuple(held.particle_id) for _, held in found} == {tuple(validation.particle_id)}
    # The file is sorted by energy: its first rows would all be below the median.
    assert 2 < sum(number in few for number in by_energy.particle_id[30:]) < 8


def test_particles_that_fly_to_the_other_side_are_mirrored(tmp_path: Path) -> None:
    showers = toy_showers(30)
    there = load_split(DataConfig(train=write_showers(tmp_path / "a.h5", showers)))
    showers.particles.conditions[::2, [VZ, PZ]] *= -1
    back = load_split(DataConfig(train=write_showers(tmp_path / "c.h5", showers)))
    for one, other in zip(there, back, strict=True):
        assert one.particles.conditions.tobytes() == other.particles.conditions.tobytes()
        assert one.responses.tobytes() == other.responses.tobytes()


def test_a_test_file_may_hold_no_particle_of_the_training_file(tmp_path: Path) -> None:
    seen, unseen = toy_showers(20, seed=1), toy_showers(20, 4, seed=2)
    train, test = write_showers(tmp_path / "train.h5", seen), write_showers(tmp_path / "test.h5", unseen)
    check_unseen(DataConfig(train=train, test=test))
    unseen.particles.conditions[5], unseen.particles.pdg[5] = seen.particles.conditions[9], seen.particles.pdg[9]
    unseen.particle_id[5] = 7
    config = DataConfig(train=train, test=write_showers(tmp_path / "leak.h5", unseen))
    with pytest.raises(ConfigError, match=r"leak\.h5: row 5 and 0 more are of particles that .*train\.h5 holds too"):
        check_unseen(config)
