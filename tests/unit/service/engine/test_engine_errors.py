"""onnxruntime fails during a run: which requests fail, what is counted, and which requests succeed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers.models.tiny_model import STRIPS, TinyModel, some_particles, write_model
from onnx import helper, numpy_helper
from zdc_common.errors import ModelError
from zdc_common.file_content import sha256_of
from zdc_detector.card import CARD_FILE, GRAPH_FILE
from zdc_detector.particles import Particles
from zdc_service.settings import EngineSettings
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import OutOfRange, SimulationRequest

#: Size of the table in which the model below looks up energies.
_ROWS = 3000
FAST = Particles.from_columns({"pdg": [2112], "px": [0.0], "py": [0.0], "pz": [5000.0]})


def look_energies_up(folder: Path) -> None:
    """Add a lookup of energies [GeV] in a table of `_ROWS` zeros to a graph: onnxruntime fails at higher energies."""
    model = onnx.load(folder / GRAPH_FILE)
    graph = model.graph
    (last,) = (node for node in graph.node if node.output[0] == "response")
    last.output[0] = "before"
    constants: dict[str, np.ndarray] = {
        "table": np.zeros(_ROWS, dtype=np.float32), "shape": np.array([-1, 1, 1], dtype=np.int64),
        "first": np.array([0], dtype=np.int64), "second": np.array([1], dtype=np.int64),
    }  # fmt: skip
    graph.initializer.extend([numpy_helper.from_array(array, name) for name, array in constants.items()])
    graph.node.extend(
        [
            helper.make_node("Slice", ["particles", "first", "second", "second"], ["energy"]),
            helper.make_node("Cast", ["energy"], ["index"], to=onnx.TensorProto.INT64),
            helper.make_node("Gather", ["table", "index"], ["found"]),
            helper.make_node("Reshape", ["found", "shape"], ["zeros"]),
            helper.make_node("Add", ["before", "zeros"], ["response"]),
        ]
    )
    old = sha256_of(folder / GRAPH_FILE)
    onnx.save(model, folder / GRAPH_FILE)
    card = (folder / CARD_FILE).read_text()
    (folder / CARD_FILE).write_text(card.replace(old, sha256_of(folder / GRAPH_FILE)))


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    folder = tmp_path_factory.mktemp("models")
    look_energies_up(write_model(folder, TinyModel(name="lookup", calorimeter=STRIPS)))
    with Simulator(EngineSettings(models=folder, threads=1)) as running:
        yield running


def test_an_error_of_onnxruntime_is_its_requests_alone(simulator: Simulator) -> None:
    requests = [SimulationRequest(some_particles(3, seed), seed=seed) for seed in range(4)]
    wanted = [simulator.simulate(request) for request in requests]
    first = simulator.submit(simulator.plan(SimulationRequest(some_particles(2000), seed=1)))  # the others queue up
    bad = simulator.submit(simulator.plan(SimulationRequest(FAST, seed=1, out_of_range=OutOfRange.EXTRAPOLATE)))
    good = [simulator.submit(simulator.plan(request)) for request in requests]
    with pytest.raises(ModelError, match=r"^lookup version 1 cannot compute 1 row: .*(?s:indices|Gather)"):
        bad.result(60)
    assert len(first.result(60).channels) == 2000
    for one, result in zip(good, wanted, strict=True):
        np.testing.assert_array_equal(one.result(60).channels, result.channels)
    metrics = simulator.instruments.text().decode()
    assert 'nv_inference_request_failure{model="lookup",reason="BACKEND",version="1"} 1.0' in metrics
