from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.files.shower_samples import toy_showers, write_showers
from helpers.models.tiny_model import STRIPS
from zdc_common.errors import FileFormatError, InvalidInputError
from zdc_detector.particles import ENERGY, VX, Particles
from zdc_detector.showers import Showers
from zdc_metrics.samples.samples import compare, read_sample, repeated


def shuffled(showers: Showers, seed: int = 1) -> Showers:
    """The same rows in another order, each with a different particle_id."""
    order = np.random.default_rng(seed).permutation(len(showers))
    return replace(showers[order], particle_id=np.arange(len(showers), dtype=np.int32))


def test_particles_are_paired_by_what_they_are() -> None:
    reference = toy_showers(20, 4)
    generated = shuffled(reference)
    compared = compare(reference, generated)
    assert compared.paired
    assert compared.same_particles == 20
    assert compared.left_out == ()
    simulated, made = repeated(compared)
    assert simulated.responses.shape == made.responses.shape == (20, 4, 44, 44)
    assert simulated.particles.conditions.tobytes() == made.particles.conditions.tobytes()
    sums = [np.sort(one.responses.sum(axis=(2, 3)), axis=1).tolist() for one in (simulated, made)]
    assert sums[0] == sums[1]


def test_rounding_of_the_energy_and_signs_of_zero_make_no_other_particle() -> None:
    reference, generated = toy_showers(10, 4), toy_showers(10, 4)
    for sample, zero in ((reference, 0.0), (generated, -0.0)):
        sample.particles.conditions[:, VX] = zero
    generated.particles.conditions[:, ENERGY] *= 1 + 1e-6
    assert compare(reference, generated).same_particles == 10


def test_particles_of_one_file_only_are_left_out() -> None:
    reference = toy_showers(20, 4)
    gone = np.isin(reference.particle_id, np.unique(reference.particle_id)[:5])
    compared = compare(reference, shuffled(reference[~gone]))
    assert compared.paired
    assert compared.same_particles == 15
    assert compared.left_out == (
        "20 of the 80 responses of the reference are left out: of particles that the other file has not",
    )
    assert len(compared.reference) == len(compared.generated) == 60


def test_other_particles_are_compared_by_species() -> None:
    reference, generated = toy_showers(30, 4, seed=0), toy_showers(30, 4, seed=5)
    generated = generated[generated.particles.pdg != 22]
    compared = compare(reference, generated)
    assert not compared.paired
    assert compared.same_particles == 0
    assert 22 not in compared.reference.particles.pdg
    assert "of species that the other file has not" in compared.left_out[0]
    with pytest.raises(InvalidInputError, match=r"zdc simulate --input geant\.h5 --repeats 50"):
        repeated(compared)


def test_too_few_repeats_are_counted() -> None:
    reference = toy_showers(10, 3)
    with pytest.raises(InvalidInputError, match=r"need 4 simulations of a particle.*at most 3 and 3"):
        repeated(compare(reference, shuffled(reference)))


def test_particles_with_enough_repeats_are_taken_with_equally_many() -> None:
    reference, generated = toy_showers(10, 6), shuffled(toy_showers(10, 6))
    ids = np.unique(reference.particle_id)
    rows = [np.flatnonzero(reference.particle_id == i) for i in ids]
    kept = np.concatenate([rows[0][:2], rows[1][:5], *rows[2:]])
    simulated, made = repeated(compare(reference[kept], generated))
    assert simulated.responses.shape == (9, 5, 44, 44)
    assert made.responses.shape == (9, 6, 44, 44)


def test_nothing_in_common_is_refused() -> None:
    reference, generated = toy_showers(20), toy_showers(20, seed=3)
    generated = generated[generated.particles.pdg == 22]
    with pytest.raises(InvalidInputError, match=r"no species is in both files: the reference has .*\(2112\).*gamma"):
        compare(reference[reference.particles.pdg != 22], generated)
    strips = replace(generated, calorimeter=STRIPS, responses=generated.responses[:, :8, :6])
    with pytest.raises(InvalidInputError, match=r"ZN \(44 x 44 fibres\), the other file of STRIPS \(8 x 6 fibres\)"):
        compare(reference, strips)


def test_a_file_may_number_one_particle_often(tmp_path: Path) -> None:
    showers = shuffled(toy_showers(5, 4))
    sample = read_sample(write_showers(tmp_path / "toy.h5", showers), "some")
    assert sample.name == "some"
    assert sample.attributes["title"] == "toy showers"
    assert len(np.unique(sample.showers.particle_id)) == 5
    np.testing.assert_array_equal(sample.showers.responses, showers.responses)


def test_the_model_names_the_sample(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "toy.h5", toy_showers(5))
    with h5py.File(path, "a") as file:
        file.attrs["model"], file.attrs["version"] = "zn-toy", 3
    assert read_sample(path, "generated").name == "zn-toy 3"


def test_rates_and_empty_files_are_refused(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "toy.h5", toy_showers(5))
    with h5py.File(path, "a") as file:
        responses = file["responses"][()] + np.float32(0.5)
        del file["responses"]
        file["responses"] = responses
    with pytest.raises(FileFormatError, match=r"toy\.h5: row 0: a photon count of 0\.5 is not a whole number"):
        read_sample(path, "generated")
    empty = write_showers(tmp_path / "empty.h5", toy_showers(5)[np.zeros(0, dtype=int)])
    with pytest.raises(FileFormatError, match=r"empty\.h5: there are no rows"):
        read_sample(empty, "generated")


def test_particles_of_a_sample_need_their_physics(tmp_path: Path) -> None:
    showers = toy_showers(5)
    conditions = showers.particles.conditions.copy()
    conditions[2, ENERGY] *= 2
    path = write_showers(tmp_path / "toy.h5", replace(showers, particles=Particles(showers.particles.pdg, conditions)))
    with pytest.raises(FileFormatError, match=r"row 2: energy = .* disagrees"):
        read_sample(path, "generated")
