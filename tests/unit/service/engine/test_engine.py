"""The engine: models that it refuses, and rows that do not depend on each other."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.models.stored_models import stored_models
from helpers.models.tiny_model import NOISE, STRIPS, TinyModel, some_particles, write_model
from zdc_common.errors import ConfigError, ModelError
from zdc_common.file_content import sha256_of
from zdc_detector.card import CARD_FILE, GOLDEN_FILE, GRAPH_FILE
from zdc_service.engine.engine import Engine
from zdc_service.engine.model_store import shipped_models
from zdc_service.engine.providers import CPU, CUDA, GPU_BATCH_ROWS, ON_CPU, Placement, open_session, place
from zdc_service.engine.warm_up import warm_up
from zdc_service.settings import EngineSettings

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 255, 256, 257, 1000)
ROWS = 1000


def load(folder: Path) -> Engine:
    (model,) = stored_models(folder.parent.parent)
    return Engine(model)


def rates(engine: Engine, start: int, stop: int) -> np.ndarray:
    particles = some_particles(ROWS, seed=3).toward_a()
    noise = np.random.default_rng(4).normal(size=(ROWS, engine.card.noise.dimension)).astype(np.float32)
    rows = slice(start, stop)
    return engine.run(particles.conditions[rows], noise[rows], particles.pdg[rows])


@pytest.fixture(
    scope="module",
    params=[
        TinyModel(),
        TinyModel(name="strips", calorimeter=STRIPS, takes_pdg=True),
        TinyModel(name="narrow", narrow_log=True),
        "shipped",
    ],
    ids=lambda model: model if isinstance(model, str) else model.name,
)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    if isinstance(request.param, TinyModel):
        return load(write_model(tmp_path_factory.mktemp("models"), request.param))
    shipped = shipped_models()
    assert shipped is not None
    return Engine(stored_models(shipped)[0])


@pytest.mark.parametrize("size", SIZES)
def test_a_row_keeps_its_bytes_in_batches_of_any_size(engine: Engine, size: int) -> None:
    together = rates(engine, 0, ROWS)
    for start in {0, 1, 7, 500, ROWS - size}:
        part = rates(engine, start, min(start + size, ROWS))
        np.testing.assert_array_equal(part, together[start : start + len(part)])


def test_every_row_alone(engine: Engine) -> None:
    together = rates(engine, 0, 100)
    alone = np.concatenate([rates(engine, i, i + 1) for i in range(100)])
    np.testing.assert_array_equal(alone, together)


def test_only_a_graph_that_needs_it_is_padded(tmp_path: Path) -> None:
    assert load(write_model(tmp_path / "wide")).row_multiple == 1
    assert load(write_model(tmp_path / "narrow", TinyModel(narrow_log=True))).row_multiple > 1


def test_rates_vary_and_are_zero_off_the_face(engine: Engine) -> None:
    found = rates(engine, 0, ROWS)
    on_face = engine.card.calorimeter.hits_face(some_particles(ROWS, seed=3).conditions)
    assert 0.2 < on_face.mean() < 0.9
    assert not found[~on_face].any()
    assert len(np.unique(found[on_face].sum(axis=(1, 2)))) > on_face.sum() / 2


def test_a_changed_graph_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    with (folder / GRAPH_FILE).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match=r"sha256 is .* the card says"):
        load(folder)


def put_card(folder: Path, **changes: object) -> None:
    card = json.loads((folder / CARD_FILE).read_text())
    card["graph_sha256"] = sha256_of(folder / GRAPH_FILE)
    (folder / CARD_FILE).write_text(json.dumps(card | changes))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"noise": {"dimension": NOISE + 1}}, r"inputs are .*'noise'"),
        ({"takes_pdg": True}, "inputs are"),
        ({"calorimeter": STRIPS.model_dump()}, "outputs are"),
        ({"version": 2}, "rename the folder"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_card_of_another_model_is_refused(tmp_path: Path, changes: dict[str, object], text: str) -> None:
    folder = write_model(tmp_path)
    put_card(folder, **changes)
    with pytest.raises(ModelError, match=text):
        load(folder)


def test_a_fixed_batch_size_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    graph = onnx.load(folder / GRAPH_FILE)
    for tensor in graph.graph.input:
        tensor.type.tensor_type.shape.dim[0].dim_value = 48
    onnx.save(graph, folder / GRAPH_FILE)
    put_card(folder)
    with pytest.raises(ModelError, match="fixed batch size"):
        load(folder)


def test_an_invalid_graph_file_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (folder / GRAPH_FILE).write_bytes(b"not onnx")
    put_card(folder)
    with pytest.raises(ModelError, match="not an ONNX graph"):
        load(folder)


def test_wrong_golden_rates_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    with np.load(folder / GOLDEN_FILE) as file:
        golden = dict(file)
    golden["rates"][5, 3, 3] += golden["rates"].max() * 0.01
    np.savez(folder / GOLDEN_FILE, **golden)
    with pytest.raises(ModelError, match=r"differ by 0\.01 of the largest pixel"):
        load(folder)


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_missing_or_damaged_golden_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    folder = write_model(tmp_path)
    (folder / GOLDEN_FILE).unlink()
    if content is not None:
        (folder / GOLDEN_FILE).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{GOLDEN_FILE}: cannot be read"):
        load(folder)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_an_unavailable_gpu_is_refused(models_folder: Path, device: Any) -> None:
    """With an onnxruntime without CUDA, and with one with CUDA on a machine without a GPU."""

    def open_on_gpu() -> None:
        model = stored_models(models_folder)[0]
        open_session(model, place(EngineSettings(device=device), model))
        pytest.skip(f"this machine has {device}")

    with pytest.raises(ConfigError, match=rf"^--device {device}: .*, or use --device cpu$"):
        open_on_gpu()


def test_auto_logs_its_choice(models_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="zdc_service.engine.providers"):
        placement = place(EngineSettings(device="auto"), stored_models(models_folder)[0])
    assert placement.provider in (CPU, CUDA)
    assert f"device auto: using {placement.provider}" in caplog.text


def test_batches_are_larger_on_a_gpu_unless_set(models_folder: Path) -> None:
    model = stored_models(models_folder)[0]
    assert place(EngineSettings(), model) == ON_CPU
    assert place(EngineSettings(max_batch_rows=7), model).max_batch_rows == 7
    assert ON_CPU.max_batch_rows < GPU_BATCH_ROWS


def test_a_warm_engine_has_run_its_largest_batch(tmp_path: Path) -> None:
    (model,) = stored_models(write_model(tmp_path).parent.parent)
    engine = Engine(model, Placement(max_batch_rows=300))
    warm_up(engine)
    assert not engine.statistics.totals().executions  # no request, no count


def test_folders_without_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        stored_models(tmp_path / "nowhere")
    write_model(tmp_path).rename(tmp_path / "tiny" / "1.part")  # not a version
    with pytest.raises(ConfigError, match="no model found"):
        stored_models(tmp_path)
