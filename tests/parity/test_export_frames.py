"""A model of showers at the face, from the file to the server: check-data, fit, evaluate, export, simulate."""

from pathlib import Path

import numpy as np
import pytest
from helpers.calorimeters import ZN
from helpers.files.shower_samples import at_face, toy_showers, write_showers
from helpers.models.training_runs import finished, tiny_fast_config
from zdc_common.errors import OutOfRangeError
from zdc_detector.card import GOLDEN_FILE, ModelCard
from zdc_detector.frames import Frame
from zdc_detector.particles import PX, PZ, VX, VZ, Particles
from zdc_detector.random import normals
from zdc_detector.showers import Showers
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest
from zdc_training.data.check_data import check_data
from zdc_training.evaluation.evaluate import evaluate_model
from zdc_training.evaluation.generate import network
from zdc_training.evaluation.subjects import Subject
from zdc_training.export.service import export
from zdc_training.runs.provenance import read_provenance
from zdc_training.runs.ranges import trained_ranges
from zdc_training.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny fast generator of showers at the face."""
    folder = tmp_path_factory.mktemp("face")
    write_showers(folder / "train.h5", at_face(toy_showers(160, seed=1)))
    write_showers(folder / "test.h5", at_face(toy_showers(24, repeats=2, seed=2), every=2))
    return finished(folder / "run", tiny_fast_config(folder))


@pytest.fixture(scope="module")
def models(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported model; half of the particles that it was evaluated on are from a vertex."""
    model, config, record = run.load_model(), run.config(), read_provenance(run)
    assert config.data.test is not None
    assert record is not None
    subject = Subject(network(model), config.output.finish, config.data.test, run.folder, record.ranges)
    report = evaluate_model(subject, run.folder, repeats=2, resamples=2)
    assert not any("frame" in note for note in report.notes)
    folder = tmp_path_factory.mktemp("models")
    export(run, folder)
    return folder


def protons(showers: Showers) -> Showers:
    """The same showers, said to be of protons."""
    columns = {name: showers.particles.conditions[:, i] for i, name in ((4, "px"), (5, "py"), (6, "pz"))}
    particles = Particles.from_columns({"pdg": np.full(len(showers), 2212), **columns})
    return Showers(particles, showers.responses, showers.particle_id, ZN)


def test_check_data_says_the_frame(tmp_path: Path) -> None:
    report = check_data(write_showers(tmp_path / "a.h5", at_face(toy_showers(20), every=2)))
    assert report.exit_code == 0
    assert "frame         10 showers from a vertex, 10 showers at the face" in report.summary
    assert "off the face  0 showers" in report.summary


def test_charged_showers_from_a_vertex_are_a_warning(tmp_path: Path) -> None:
    showers = protons(toy_showers(20))
    warned = [text for text in check_data(write_showers(tmp_path / "a.h5", showers)).warnings if "charged" in text]
    assert [text.split(":")[0] for text in warned] == [
        "20 showers are of charged particles from a vertex, the first is row 0 (p)"
    ]
    report = check_data(write_showers(tmp_path / "b.h5", at_face(showers)))
    assert not any("charged" in text for text in report.warnings)


@pytest.mark.parametrize("scaling", ["linear", "face", "cell"])
def test_ranges_at_the_face_are_those_of_the_showers(scaling: str) -> None:
    showers = at_face(toy_showers(300))
    conditions = showers.particles.conditions.astype(np.float64)
    ranges = trained_ranges(showers, scaling)
    assert ranges.frames == (Frame.FACE,)
    assert ranges.face is not None
    assert not ranges.outside(showers.particles, ZN).any()
    for axis in (0, 1):
        position, slope = conditions[:, VX + axis], conditions[:, PX + axis] / conditions[:, PZ]
        for (low, high), seen, step in (
            (ranges.face.position[axis], position, 0.05),
            (ranges.face.slope[axis], slope, 1e-4),
        ):
            assert low <= seen.min() < low + step
            assert high - step < seen.max() <= high


def test_ranges_of_showers_of_both_frames() -> None:
    mixed = trained_ranges(at_face(toy_showers(300), every=2), "linear")
    assert mixed.frames == (Frame.VERTEX, Frame.FACE)
    assert mixed.face is not None
    assert max(abs(bound) for bound in mixed.vertex[2]) < 100  # the showers at the face do not count
    assert trained_ranges(toy_showers(300), "cell").face is None


@pytest.mark.slow
def test_the_card_and_the_page_of_the_model_say_the_frame(models: Path) -> None:
    folder = models / "toy-fast" / "1"
    card = ModelCard.read(folder)
    assert card.ranges.frames == (Frame.FACE,)
    text = (folder / "README.md").read_text()
    assert "Particles at the face (`frame = face`) [cm]: x -3.5" in text
    assert "px/pz -0.005 to 0.005" in text
    golden = np.load(folder / GOLDEN_FILE)["particles"]
    assert len(golden) >= 8
    assert ZN.at_face(golden).all()


@pytest.mark.slow
def test_the_service_answers_as_the_network(run: Run, models: Path) -> None:
    trained, record = at_face(toy_showers(160, seed=1)), read_provenance(run)
    assert record is not None
    showers = trained[np.flatnonzero(record.ranges.outside(trained.particles, ZN) == 0)[:40]]
    given = showers.particles.conditions.copy()
    given[:, VZ] = 0  # the service fills it in
    request = SimulationRequest(Particles(showers.particles.pdg, given), seed=3, rates=True, frame=Frame.FACE)
    source = network(run.load_model())
    expected = source.rates(showers.particles, normals(3, 0, 40, source.noise))
    assert (expected.sum(axis=(1, 2)) > 0).mean() > 0.5
    with Simulator(EngineSettings(models=models, threads=1)) as simulator:
        found = np.asarray(simulator.simulate(request).response)
        # float32 sums in another order, as in `check_parity`; at the edge of a cell a rate may jump
        worst = np.abs(found - expected).max(axis=(1, 2)) / expected.max()
        assert (worst < 1e-4).mean() > 0.9
        neutron = Particles.from_columns({"pdg": [2112], "px": [0.1], "py": [0.0], "pz": [1000.0]})
        answer = simulator.simulate(SimulationRequest(neutron, seed=3))
        assert (answer.skipped, answer.extrapolated) == ({}, {})
        steep = Particles.from_columns({"pdg": [2112], "px": [9.0], "py": [0.0], "pz": [1000.0]})
        with pytest.raises(OutOfRangeError, match="slope"):
            simulator.simulate(SimulationRequest(steep, seed=3, frame=Frame.FACE))
