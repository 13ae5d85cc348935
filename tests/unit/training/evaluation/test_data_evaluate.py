from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.files.shower_samples import draw_responses, toy_showers, write_showers
from matplotlib.image import imread
from numpy.typing import NDArray
from zdc_common.file_content import sha256_of
from zdc_detector.particles import ENERGY, Particles
from zdc_metrics import Report, by_particle, mean_absolute_error
from zdc_metrics.reports.face_pictures import choose_examples
from zdc_training.evaluation.evaluate import evaluate_responses
from zdc_training.runs.ranges import trained_ranges


def generate(particles: Particles, repeats: int, seed: int) -> NDArray[np.uint16]:
    return draw_responses(particles, repeats, seed, light=1.2)


@pytest.mark.slow
def test_report_tables_and_pictures_are_written(tmp_path: Path) -> None:
    showers = toy_showers(40, 4)
    folder = tmp_path / "run"
    path = write_showers(tmp_path / "test.h5", showers)
    report = evaluate_responses(generate, path, folder, finish="poisson", repeats=7, seed=5, resamples=20)
    assert sorted(file.name for file in folder.iterdir()) == [
        "distributions.png",
        "metrics.json",
        "metrics.md",
        "responses.png",
    ]
    assert Report.model_validate_json((folder / "metrics.json").read_text()) == report
    assert (folder / "metrics.md").read_text() == report.to_markdown()
    test = by_particle(showers)
    simulated, generated = (
        test.calorimeter.channel_sums(responses.reshape(-1, 44, 44)).reshape(40, -1, 5)
        for responses in (test.responses, generate(test.particles, 7, 5))
    )
    assert (report.simulated_repeats, report.generated_repeats) == (4, 7)
    assert report.overall.figures["mae"].value == pytest.approx(mean_absolute_error(simulated, generated))
    for name in ("responses.png", "distributions.png"):
        picture = imread(folder / name)
        assert min(picture.shape[:2]) > 400
        assert picture[..., :3].std() > 0.05


def test_a_file_of_single_showers_says_what_it_can(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "test.h5", toy_showers(30))
    report = evaluate_responses(generate, path, tmp_path / "run", finish="poisson", repeats=4, resamples=10)
    assert (report.simulated_repeats, report.overall.particles) == (1, 30)
    assert report.overall.figures["crps"].floor is None
    assert "There is no floor" in (tmp_path / "run" / "metrics.md").read_text()


@pytest.mark.slow
def test_unequal_repeats_are_trimmed_and_said(tmp_path: Path) -> None:
    showers = toy_showers(40, 6)
    path = write_showers(tmp_path / "test.h5", showers[np.random.default_rng(1).random(len(showers)) < 0.8])
    report = evaluate_responses(generate, path, tmp_path / "run", finish="poisson", repeats=4, resamples=10)
    assert report.simulated_repeats == 4
    assert report.notes[0].startswith("Particles have 2 to 6 simulations each: the figures are of the ")
    assert report.notes[0] in report.to_markdown()
    assert report.overall.figures["crps"].floor is not None
    assert (report.test_file, report.test_sha256, report.simulation) == ("test.h5", sha256_of(path), "simulation")


@pytest.mark.slow
def test_what_the_file_and_the_model_leave_out_is_said(tmp_path: Path) -> None:
    path = write_showers(tmp_path / "test.h5", toy_showers(30, 4))
    with h5py.File(path, "r+") as file:
        file.attrs["minimum_photons"] = 10
        file.attrs["title"] = "Geant4 showers"
    ranges = trained_ranges(toy_showers(30), "cell")
    ranges = ranges.model_copy(update={"species": tuple(each for each in ranges.species if each.pdg != 22)})
    report = evaluate_responses(generate, path, tmp_path, finish="none", ranges=ranges, repeats=4, resamples=5)
    dropped, outside = report.notes
    assert dropped.startswith("Simulated responses with fewer than 10 photons were dropped from the test file")
    photons = np.count_nonzero(toy_showers(30).particles.pdg == 22)
    assert outside.startswith(f"{photons} of the 30 test particles are outside what the model was trained on")
    assert "species: pdg 22 was not in the training set" in outside
    assert report.simulation == "Geant4"


def test_examples_show_every_species_from_low_to_high_energy() -> None:
    showers = by_particle(toy_showers(60, 2))
    sums = showers.responses.sum(axis=(2, 3))
    rows = choose_examples(showers.particles, sums)
    assert len(rows) == len(set(rows.tolist())) == 10
    assert set(showers.particles.pdg[rows]) == {22, 310, 2112}
    assert (np.median(sums[rows], axis=1) > 0).all()
    for code in (22, 310, 2112):
        energy = showers.particles.conditions[rows[showers.particles.pdg[rows] == code], ENERGY]
        assert len(energy) >= 2
        assert (np.diff(energy) > 0).all()


def test_few_places_go_to_the_most_frequent_species() -> None:
    particles = toy_showers(60).particles
    codes, counts = np.unique(particles.pdg, return_counts=True)
    rows = choose_examples(particles, np.ones((60, 2), dtype=np.int64), most=1)
    assert particles.pdg[rows].tolist() == [codes[np.argmax(counts)]]
