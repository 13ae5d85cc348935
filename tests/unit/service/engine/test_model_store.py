"""Reading of a model's folder: each file only once, and nothing that the hash does not cover."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers.models.tiny_model import NOISE, TinyModel, some_particles, write_model
from onnx import TensorProto, helper, numpy_helper
from zdc_common.errors import ModelError
from zdc_common.file_content import sha256_of
from zdc_detector.card import CARD_FILE, GOLDEN_FILE, GRAPH_FILE
from zdc_service.engine.engine import Engine
from zdc_service.engine.model_store import read_model, shipped_models
from zdc_service.engine.onnx_weights import check_self_contained

WEIGHTS = "weights.bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``tiny`` version 1."""
    return write_model(tmp_path)


def rehash(folder: Path) -> None:
    """Update the hash in the card for the graph."""
    card = (folder / CARD_FILE).read_text()
    old = card.split('"graph_sha256": "')[1].split('"')[0]
    (folder / CARD_FILE).write_text(card.replace(old, sha256_of(folder / GRAPH_FILE)))


def put_weights_aside(folder: Path) -> None:
    graph = onnx.load(folder / GRAPH_FILE)
    onnx.save(graph, folder / GRAPH_FILE, save_as_external_data=True, location=WEIGHTS, size_threshold=0)
    rehash(folder)


def rates(engine: Engine) -> np.ndarray:
    particles = some_particles(20, seed=3).toward_a()
    return engine.run(particles.conditions, np.zeros((20, NOISE), dtype=np.float32), particles.pdg)


def test_weights_in_another_file_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_weights_aside(folder)
    for place in (folder, folder.parent):  # onnxruntime looks for them in the working directory as well
        monkeypatch.chdir(place)
        with pytest.raises(ModelError, match=r"model\.onnx: stores weights in other files.*save it as one file"):
            read_model(folder)


def _elsewhere(tensor: TensorProto) -> TensorProto:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=WEIGHTS)
    return tensor


def _graph(*nodes: onnx.NodeProto, **fields: object) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "g", [], [], **fields)  # type: ignore[arg-type]


def _models() -> dict[str, onnx.ModelProto]:
    weights = _elsewhere(numpy_helper.from_array(np.ones(3, dtype=np.float32), "w"))
    constant = helper.make_node("Constant", [], ["c"], value=weights)
    sparse = helper.make_sparse_tensor(weights, numpy_helper.from_array(np.arange(3), "i"), [9])
    branch = helper.make_node("If", ["x"], ["y"], then_branch=_graph(constant), else_branch=_graph())
    function = helper.make_function("own", "F", [], ["c"], [constant], [helper.make_opsetid("", 17)])
    named = numpy_helper.from_array(np.ones(3, dtype=np.float32), "w")
    named.external_data.add(key="location", value=WEIGHTS)
    return {
        "initializer": helper.make_model(_graph(initializer=[weights])),
        "sparse": helper.make_model(_graph(sparse_initializer=[sparse])),
        "constant": helper.make_model(_graph(constant)),
        "branch": helper.make_model(_graph(branch)),
        "function": helper.make_model(_graph(), functions=[function]),
        "named only": helper.make_model(_graph(initializer=[named])),
        "compiled": helper.make_model(_graph(helper.make_node("EPContext", [], ["y"], domain="com.microsoft"))),
    }


@pytest.mark.parametrize("model", _models().values(), ids=_models().keys())
def test_weights_in_other_files_are_found_everywhere(model: onnx.ModelProto) -> None:
    with pytest.raises(ModelError, match="stores weights in other files"):
        check_self_contained(model.SerializeToString(), "model.onnx")


def test_graphs_with_their_own_weights_pass(folder: Path) -> None:
    shipped = shipped_models()
    assert shipped is not None
    for path in (folder / GRAPH_FILE, *shipped.glob(f"*/*/{GRAPH_FILE}")):
        check_self_contained(path.read_bytes(), str(path))


@pytest.mark.parametrize("content", [b"not onnx", b"\0" * 8, b"\x00\x00\x00\x00ORTM"])
def test_invalid_graphs_are_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="not an ONNX graph"):
        check_self_contained(content, "model.onnx")


def test_files_that_change_after_the_check_are_not_loaded(folder: Path, tmp_path: Path) -> None:
    model = read_model(folder)
    wanted = rates(Engine(model))
    other = write_model(tmp_path / "other", TinyModel(seed=9))
    for name in (GRAPH_FILE, GOLDEN_FILE, CARD_FILE):
        (folder / name).write_bytes((other / name).read_bytes())  # in place
    np.testing.assert_array_equal(rates(Engine(model)), wanted)


def test_a_graph_overwritten_or_cut_in_place_leaves_a_loaded_model_alone(folder: Path) -> None:
    engine = Engine(read_model(folder))
    wanted = rates(engine)
    with (folder / GRAPH_FILE).open("r+b") as file:
        file.write(bytes((folder / GRAPH_FILE).stat().st_size))
    np.testing.assert_array_equal(rates(engine), wanted)
    os.truncate(folder / GRAPH_FILE, 0)
    np.testing.assert_array_equal(rates(engine), wanted)


def test_links_are_followed_as_volumes_of_kubernetes_need(folder: Path, tmp_path: Path) -> None:
    aside = tmp_path / "..data"
    aside.mkdir()
    for name in (CARD_FILE, GRAPH_FILE, GOLDEN_FILE):
        (folder / name).rename(aside / name)
        (folder / name).symlink_to(aside / name)
    engine = Engine(read_model(folder))
    (aside / GRAPH_FILE).write_bytes(b"another")
    assert rates(engine).any()
    with pytest.raises(ModelError, match="the card says"):
        read_model(folder)


@pytest.mark.parametrize("name", [CARD_FILE, GRAPH_FILE, GOLDEN_FILE])
def test_pipes_and_devices_are_no_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)  # opening it would wait for a writer for ever
    with pytest.raises(ModelError, match=rf"{name}.*is not a regular file"):
        read_model(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=rf"{name}.*is not a regular file"):
        read_model(folder)
