"""Files for ALICE O2, read and run as O2's ZDC fast simulation does: raw floats, inputs by position, flat output."""

import os
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from helpers.calorimeters import ZN
from helpers.files.shower_samples import face_particles
from helpers.models.tiny_model import some_particles
from helpers.models.training_runs import NETWORKS, brighten, finished, tiny_config, tiny_fast_config, trained
from numpy.typing import NDArray
from torch import Tensor, nn
from zdc_detector.finish import MAX_COUNT
from zdc_detector.particles import CHARGE, PX, PY, PZ, VX, VY, VZ, Particles
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest
from zdc_training.cli import main
from zdc_training.config.config import override_config
from zdc_training.export.o2 import IR_VERSION
from zdc_training.export.o2_graph import O2Conditions, log_counts
from zdc_training.nn.geometry import FaceGeometry
from zdc_training.nn.graph import write_onnx
from zdc_training.runs.run import Run

pytestmark = pytest.mark.slow

#: Drawn once from a normal distribution.
NOISE = np.array([0.52, -1.31, 0.08, 1.77, -0.44, -0.93, 0.21, 1.06, -2.02, 0.35], dtype=np.float32)
PARTICLES = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = trained(tmp_path_factory.mktemp("training"), loss={}, output={"name": "toy", "finish": "round"})
    brighten(run)
    return run


@pytest.fixture(scope="module")
def files(run: Run) -> Path:
    main(["export", str(run.folder), "--format", "o2"])
    return run.folder / "o2"


def block(path: Path, marker: str) -> list[float]:
    """Text between a marker and the next empty line, as O2's parser reads it."""
    lines = iter(path.read_text().split("\n"))
    for line in lines:
        if line == marker:
            break
    found = []
    for line in lines:
        if not line:
            break
        found.append(float(line))
    return found


def run_as_o2(graph: Path, inputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One particle: inputs by position, dynamic axes as 1, the output flat."""
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    known = session.get_inputs()
    shapes = [[1 if isinstance(size, str) else size for size in each.shape] for each in known]
    tensors = {
        each.name: np.ascontiguousarray(data, np.float32).reshape(shape)
        for each, data, shape in zip(known, inputs, shapes, strict=True)
    }
    image: NDArray[np.float32] = session.run(None, tensors)[0]
    return image.ravel()


def scaled_as_o2(folder: Path, row: NDArray[np.float32]) -> NDArray[np.float32]:
    means, scales = (np.array(block(folder / "toy_scales.txt", marker), np.float32) for marker in ("#means", "#scales"))
    scaled: NDArray[np.float32] = (row - means) / scales
    return scaled


def logs_in_o2(folder: Path, raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """The flat output, shape (N, 44 * 44), for particles in O2's units."""
    return np.stack([run_as_o2(folder / "toy.onnx", [NOISE, scaled_as_o2(folder, row)]) for row in raw])


def hits_in_o2(logs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Photons by x and y as in O2's hits: expm1 of a float, truncated; the fibre (x, y) has the index 44 y + x."""
    photons = np.expm1(logs).astype(np.int64)
    places = 44 * np.arange(44)[None, :] + np.arange(44)[:, None]
    return photons[:, places]


def sums_in_o2(logs: NDArray[np.float32]) -> NDArray[np.int64]:
    """O2's five sums, rounded, with its indices into the flat output."""
    sums = np.zeros((len(logs), 5))
    for i in range(44):
        for j in range(44):
            tower = 4 if i % 2 != j % 2 else 2 * (i >= 22) + (j >= 22)
            sums[:, tower] += np.expm1(logs[:, i * 44 + j])
    return np.rint(sums).astype(np.int64)


def o2_rows(particles: Particles) -> NDArray[np.float32]:
    raw = particles.conditions.copy()
    raw[:, CHARGE] = 3 * raw[:, CHARGE]  # TParticlePDG::Charge()
    return raw


def served(run: Run, particles: Particles, folder: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Responses and channels of the same model from the service, with the same noise."""
    main(["evaluate", str(run.folder), "--resamples", "5", "--repeats", "2"])
    main(["export", str(run.folder), "--output", str(folder)])
    with Simulator(EngineSettings(models=folder)) as simulator:
        noise = np.tile(NOISE, (len(particles), 1))
        result = simulator.simulate(SimulationRequest(particles, noise=noise))
    assert result.response is not None
    return result.response.astype(np.int64), result.channels.astype(np.int64)


def test_o2_gets_what_the_service_answers(run: Run, files: Path, tmp_path: Path) -> None:
    particles = face_particles(PARTICLES, seed=3)
    logs = logs_in_o2(files, o2_rows(particles))
    response, channels = served(run, particles, tmp_path)
    assert response.max() > 3
    assert not np.array_equal(response, response.transpose(0, 2, 1))
    np.testing.assert_array_equal(hits_in_o2(logs), response)
    # O2's second tower is the service's third.
    np.testing.assert_array_equal(sums_in_o2(logs), channels[:, [0, 2, 1, 3, 4]])


def test_light_is_in_the_fibres_that_o2_reads(files: Path) -> None:
    """A particle at large x gives light at large x."""
    there = o2_rows(face_particles(1, seed=3)).repeat(2, axis=0)
    there[:, [VX, VY, VZ]] = 0
    there[:, [PX, PY]] = np.array([[2.5, 0], [0, 2.5]]) / ZN.face_z * there[:, [PZ]]
    right, up = hits_in_o2(logs_in_o2(files, there))
    assert right.sum() > 0
    assert right[22:].sum() > right[:22].sum()
    assert up[:, 22:].sum() > up[:, :22].sum()


def test_every_count_survives_the_cast_and_the_rounding_of_o2(tmp_path: Path) -> None:
    class Logs(nn.Module):
        def forward(self, counts: Tensor) -> Tensor:
            return log_counts(counts)

    counts = np.tile(np.arange(MAX_COUNT + 1, dtype=np.float32), (2, 1))
    write_onnx(Logs().eval(), tmp_path / "logs.onnx", {"counts": torch.from_numpy(counts)}, "logs", IR_VERSION)
    (logs,) = ort.InferenceSession(tmp_path / "logs.onnx").run(None, {"counts": counts})
    photons = np.expm1(logs)
    np.testing.assert_array_equal(photons.astype(np.int64), counts)
    np.testing.assert_array_equal(np.rint(photons), counts)


def test_the_scales_are_those_of_the_training_showers_in_the_units_of_o2(files: Path) -> None:
    text = (files / "toy_scales.txt").read_bytes().decode().split("\n")
    assert (text[0], text[10], text[11], text[21:]) == ("#means", "", "#scales", [""])
    means, scales = block(files / "toy_scales.txt", "#means"), block(files / "toy_scales.txt", "#scales")
    assert len(means) == len(scales) == 9
    assert (means[CHARGE], scales[CHARGE]) == (0.0, 1.0)  # all are neutral
    assert min(scales) > 0


def test_inputs_and_output_are_in_the_order_and_the_shape_that_o2_knows(files: Path) -> None:
    session = ort.InferenceSession(files / "toy.onnx", providers=["CPUExecutionProvider"])
    assert [each.shape[1:] for each in session.get_inputs()] == [[10], [9]]
    assert session.get_outputs()[0].shape[1:] == [44, 44, 1]
    rows = {"noise": np.tile(NOISE, (7, 1)), "conditions": np.zeros((7, 9), np.float32)}
    assert session.run(None, rows)[0].shape == (7, 44, 44, 1)
    every = [*session.get_inputs(), *session.get_outputs()]
    assert {each.type for each in every} == {"tensor(float)"}


def test_an_onnxruntime_of_o2s_age_reads_the_graphs(files: Path) -> None:
    for path in sorted(files.glob("*.onnx")):
        graph = onnx.load(path)
        assert graph.ir_version <= 8
        assert [(each.domain, each.version <= 18) for each in graph.opset_import] == [("", True)]


def test_a_particle_that_flies_to_the_other_side_gets_the_mirror_images_response(files: Path) -> None:
    there = o2_rows(face_particles(PARTICLES, seed=4))
    back = there.copy()
    back[:, [VZ, PZ]] *= -1
    # The means of vz and pz are not mirror images: the unscaled numbers differ in the last bits.
    differ = np.abs(hits_in_o2(logs_in_o2(files, back)) - hits_in_o2(logs_in_o2(files, there)))
    assert differ.max() <= 1
    assert np.mean(differ > 0) < 1e-3


def test_the_classifier_lets_those_through_that_may_give_light(files: Path) -> None:
    particles = some_particles(PARTICLES, seed=5)
    rows = o2_rows(particles)
    rows[::4, CHARGE] = 3.0
    rows[1, [PX, PZ]] = 0.0  # straight up: no line to the face
    expected = ZN.hits_face(particles.conditions) & (rows[:, CHARGE] == 0)
    expected[1] = False
    assert 0 < expected.sum() < len(expected)
    answers = [run_as_o2(files / "toy_classifier.onnx", [scaled_as_o2(files, row)]) for row in rows]
    np.testing.assert_array_equal(np.rint(answers), expected[:, None])
    logs = logs_in_o2(files, rows)
    assert np.isfinite(logs).all()
    assert not logs[~expected].any()


@pytest.mark.parametrize("charged", [False, True])
def test_charged_particles_get_light_where_some_were_trained_on(charged: bool) -> None:
    rows = torch.from_numpy(o2_rows(face_particles(4, seed=3)))
    rows[1, CHARGE], rows[2, CHARGE] = 3.0, -3.0  # a proton, an electron
    zeros, ones = np.zeros(9, np.float32), np.ones(9, np.float32)
    particles, lit = O2Conditions(FaceGeometry(ZN), zeros, ones, charged)(rows)
    assert particles[:, CHARGE].tolist() == pytest.approx([0, 1, -1, 0])
    assert lit.tolist() == [True, charged, charged, True]


def test_the_readme_names_files_and_settings_of_this_model(files: Path) -> None:
    text = (files / "README.md").read_text()
    for name in ("toy.onnx", "toy_classifier.onnx", "toy_scales.txt"):
        assert name in text
        assert (files / name).is_file()
    assert re.search(r"\bn \d+ to \d+ GeV", text)
    assert not re.search(r"<[a-z ]+>", text)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (
            {"model": NETWORKS | {"noise": 12}, "output": {"name": "toy", "finish": "round"}},
            "12 numbers of noise; O2 draws 10",
        ),
        ({}, "Poisson counts .*train with output.finish = round"),
    ],
)
def test_what_o2_cannot_run_is_refused(
    overrides: dict[str, object], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(tmp_path, optimiser={"epochs": 1, "batch_size": 30}, **overrides)
    run = finished(tmp_path / "run", config)
    assert_refused(run, reason, capsys)


def test_a_model_that_takes_pdg_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = override_config(tiny_fast_config(tmp_path), ["model.noise=10"])
    run = finished(tmp_path / "run", config)
    assert_refused(run, "takes PDG codes", capsys)


def assert_refused(run: Run, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", str(run.folder), "--format", "o2"])
    error = capsys.readouterr().err
    assert re.search(reason, error), error
    assert not (run.folder / "o2").exists()


def test_files_are_not_overwritten_unasked(files: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", str(run.folder), "--format", "o2"])
    assert "--overwrite" in capsys.readouterr().err
    main(["export", str(run.folder), "--format", "o2", "--overwrite"])
    names = ["README.md", "toy.onnx", "toy_classifier.onnx", "toy_scales.txt"]
    assert sorted(path.name for path in files.iterdir()) == names


def test_nothing_else_is_deleted(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(SystemExit):
        main(["export", str(run.folder), "--format", "o2", "-o", str(tmp_path), "--overwrite"])
    assert "holds notes.txt, which no export of toy wrote" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", str(run.folder), "--format", "o2", "-o", str(notes), "--overwrite"])
    assert "is a file" in capsys.readouterr().err
    assert notes.read_text() == "mine"


def test_a_folder_that_may_not_be_written_to_is_refused_first(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)  # also if the tests run as root
    for parent, output in ((tmp_path, tmp_path / "new" / "o2"), (tmp_path / "file", tmp_path / "file" / "o2")):
        with pytest.raises(SystemExit):
            main(["export", str(run.folder), "--format", "o2", "-o", str(output)])
        assert f"{output} cannot be made, because {parent} is not a writable folder" in capsys.readouterr().err
