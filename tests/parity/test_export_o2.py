"""Files for ALICE O2, read and run as O2's ZDC fast simulation does: raw floats, inputs by position, flat output."""

import re
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from shower_samples import face_particles
from training_runs import NETWORKS, finished, tiny_config, tiny_fast_config, trained
from zdc_detector.particles import CHARGE, PZ, VZ, Particles
from zdc_service.settings import EngineSettings
from zdc_service.simulation import SimulationRequest
from zdc_service.simulator import Simulator
from zdc_training.cli import main
from zdc_training.config import override_config
from zdc_training.run import Run

#: Drawn once from a normal distribution.
NOISE = np.array([0.52, -1.31, 0.08, 1.77, -0.44, -0.93, 0.21, 1.06, -2.02, 0.35], dtype=np.float32)
PARTICLES = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = trained(tmp_path_factory.mktemp("training"), loss={}, output={"name": "toy", "finish": "round"})
    saved = run.load(run.best)
    weights = dict(saved["model"])
    bias = next(name for name in reversed(weights) if name.startswith("decoder.") and name.endswith("bias"))
    weights[bias] = weights[bias] + 0.5  # a toy leaves all fibres below half a photon
    run.save(run.best, saved | {"model": weights})
    return run


@pytest.fixture(scope="module")
def files(run: Run) -> Path:
    main(["export", str(run.folder), "--format", "o2"])
    return run.folder / "o2"


def block(path: Path, marker: str) -> list[float]:
    """What stands between a marker and the next empty line, as O2's parser finds it."""
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


def as_o2_runs_it(folder: Path, raw: NDArray[np.float32]) -> NDArray[np.float64]:
    """Photons, shape (N, 44 * 44), of particles in O2's units, one run each, as O2's C++ code gets at them."""
    session = ort.InferenceSession(folder / "toy.onnx", providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    shapes = [[1 if isinstance(size, str) else size for size in each.shape] for each in session.get_inputs()]
    means, scales = (np.array(block(folder / "toy_scales.txt", marker), np.float32) for marker in ("#means", "#scales"))
    found = []
    for row in raw:
        flat = [NOISE, (row - means) / scales]
        tensors = [
            np.ascontiguousarray(data, np.float32).reshape(shape) for data, shape in zip(flat, shapes, strict=True)
        ]
        (image,) = session.run(None, dict(zip(names, tensors, strict=True)))
        found.append(np.expm1(image.ravel().astype(np.float64)))
    return np.stack(found)


def o2_rows(particles: Particles) -> NDArray[np.float32]:
    raw = particles.conditions.copy()
    raw[:, CHARGE] = 3 * raw[:, CHARGE]  # TParticlePDG::Charge()
    return raw


def served(run: Run, particles: Particles, folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Responses and channels of the same model from the service, with the same noise."""
    main(["evaluate", str(run.folder), "--resamples", "5", "--repeats", "5"])
    main(["export", str(run.folder), "--output", str(folder)])
    with Simulator(EngineSettings(models=folder)) as simulator:
        noise = np.tile(NOISE, (len(particles), 1))
        result = simulator.simulate(SimulationRequest(particles, noise=noise))
    assert result.response is not None
    return result.response.astype(np.float64), result.channels.astype(np.float64)


def test_o2_gets_what_the_service_answers(run: Run, files: Path, tmp_path: Path) -> None:
    particles = face_particles(PARTICLES, seed=3)
    photons = as_o2_runs_it(files, o2_rows(particles))
    response, channels = served(run, particles, tmp_path)
    assert response.any()
    # Rounded photons: log and expm1 in 32 bits leave each within a millionth of its integer.
    np.testing.assert_allclose(photons.reshape(response.shape), response, rtol=2e-6, atol=1e-6)
    sums = np.zeros((PARTICLES, 5))
    for i in range(44):
        for j in range(44):
            tower = 4 if i % 2 != j % 2 else 2 * (i >= 22) + (j >= 22)
            sums[:, tower] += photons[:, i * 44 + j]
    np.testing.assert_allclose(sums, channels, rtol=1e-5, atol=1e-4)


def test_the_scales_are_those_of_the_training_showers_in_the_units_of_o2(files: Path) -> None:
    text = (files / "toy_scales.txt").read_text().split("\n")
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


def test_a_particle_that_flies_to_the_other_side_gets_the_mirror_images_response(files: Path) -> None:
    there = o2_rows(face_particles(PARTICLES, seed=4))
    back = there.copy()
    back[:, [VZ, PZ]] *= -1
    # Means of vz and pz are no mirror images: the unscaled numbers differ in the last bits.
    np.testing.assert_allclose(as_o2_runs_it(files, back), as_o2_runs_it(files, there), atol=1.0)
    assert np.mean(np.abs(as_o2_runs_it(files, back) - as_o2_runs_it(files, there)) > 1e-3) < 1e-3


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
    assert sorted(path.name for path in files.iterdir()) == ["README.md", "toy.onnx", "toy_scales.txt"]
