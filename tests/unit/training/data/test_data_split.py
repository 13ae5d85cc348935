from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.files.shower_samples import DATA, toy_showers, write_showers
from zdc_common.errors import ConfigError, FileFormatError
from zdc_detector.particles import ENERGY, PZ, VX, VZ
from zdc_detector.shower_rows import read_rows
from zdc_detector.showers import Showers, read_showers
from zdc_training.config.sections import DataConfig
from zdc_training.data.datasets import check_unseen, load_split, split_by_particle
from zdc_training.data.split import split_file


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
    check_unseen(train, test)
    conditions = seen.particles.conditions[9].copy()
    conditions[[VZ, PZ]] *= -1  # the same problem in the mirror
    conditions[ENERGY] = np.nextafter(conditions[ENERGY], np.float32(0))
    unseen.particles.conditions[5], unseen.particles.pdg[5] = conditions, seen.particles.pdg[9]
    unseen.particle_id[5] = 7
    leak = write_showers(tmp_path / "leak.h5", unseen)
    with pytest.raises(ConfigError, match=r"leak\.h5: row 5 and 0 more are of particles that .*train\.h5 holds too"):
        check_unseen(train, leak)


def test_one_particle_under_several_numbers_is_not_divided(tmp_path: Path) -> None:
    showers = toy_showers(40, 4)
    twice = showers.particle_id == showers.particle_id[0]
    showers.particles.conditions[twice, VX] = 0.0
    other = np.flatnonzero(twice)[2:]  # the last digit of an energy, and -0, make another number of it
    showers.particles.conditions[other, VX] = -0.0
    showers.particle_id[other] = 7
    for seed in range(1, 9):
        data = DataConfig(train=write_showers(tmp_path / "a.h5", showers), validation_share=0.5, split_seed=seed)
        sides = [set(np.unique(part.particle_id).tolist()) for part in load_split(data)]
        assert sum(7 in side for side in sides) == 1
        assert not any(int(showers.particle_id[0]) in side for side in sides)


@pytest.fixture
def divided(tmp_path: Path) -> tuple[Showers, Showers, Showers, Path]:
    """Showers with 1 to 6 repeats of a particle, and their training and test part."""
    showers = toy_showers(40, 6)
    rng = np.random.default_rng(3)
    wanted = rng.integers(1, 7, 40)
    rank = np.array([np.count_nonzero(showers.particle_id[:i] == showers.particle_id[i]) for i in range(len(showers))])
    showers = showers[rank < wanted[showers.particle_id - 1000]]
    showers = replace(showers, extra={"cpu_seconds": rng.random(len(showers))})
    path = write_showers(tmp_path / "a.h5", showers)
    done = split_file(path, tmp_path / "new" / "train.h5", tmp_path / "test.h5", share=0.25, seed=5)
    assert str(done).splitlines()[0].endswith("showers of 30 particles to " + str(tmp_path / "new" / "train.h5"))
    return showers, read_showers(tmp_path / "new" / "train.h5"), read_showers(tmp_path / "test.h5"), path


def test_a_file_is_divided_by_particle(divided: tuple[Showers, Showers, Showers, Path]) -> None:
    showers, training, test, path = divided
    assert len(np.unique(test.particle_id)) == 10
    check_unseen(path.parent / "new" / "train.h5", path.parent / "test.h5")
    assert len(training) + len(test) == len(showers)
    for part in (training, test):
        rows = np.flatnonzero(np.isin(showers.particle_id, part.particle_id))
        assert part.responses.tobytes() == showers.responses[rows].tobytes()
        assert part.extra["cpu_seconds"].tolist() == showers.extra["cpu_seconds"][rows].tolist()
    attributes = read_rows(path.parent / "test.h5").attributes
    assert (attributes["title"], attributes["split"]) == ("toy showers", "test part of a.h5, share 0.25, seed 5")


def test_the_seed_chooses_the_test_particles(divided: tuple[Showers, Showers, Showers, Path]) -> None:
    _, _, test, path = divided

    def again(seed: int) -> list[int]:
        done = split_file(path, path.with_name("b.h5"), path.with_name("c.h5"), share=0.25, seed=seed, overwrite=True)
        found: list[int] = done.test[1].particle_id.tolist()
        return found

    assert again(5) == test.particle_id.tolist() != again(6)


def test_a_division_replaces_nothing_by_chance(divided: tuple[Showers, Showers, Showers, Path]) -> None:
    path = divided[3]
    train, test = path.parent / "new" / "train.h5", path.with_name("test.h5")
    for outputs, share, message in (
        ((train, test), 0.5, "train.h5 exists; add --overwrite, or name another file"),
        ((path, test), 0.5, "a.h5: is the file to read; name another one"),
        ((path.with_name("b.h5"), path.with_name("b.h5")), 0.5, "b.h5: is the file to read"),
        ((path.with_name("b.h5"), path.with_name("c.h5")), 0.001, "a.h5: share = 0.001 of 40 particles must leave at"),
    ):
        with pytest.raises(ConfigError, match=message):
            split_file(path, *outputs, share=share, seed=1)
    np.savez(path.with_name("a.npz"), [1])
    with pytest.raises(FileFormatError, match="convert it first: train-zdc convert"):
        split_file(path.with_name("a.npz"), path.with_name("b.h5"), path.with_name("c.h5"), share=0.5, seed=1)
