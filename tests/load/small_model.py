"""A small model, to measure the time outside the graph: 2 MFLOP per response, random weights.

Inputs, output and layers are those of an exported model: two dense layers, then three transposed 5x5 convolutions of
stride 2 from 6x6 to the calorimeter's 44x44 fibres. A fixed profile around the middle of the face makes the
responses as sparse as the shipped model's, and a factor sets their mean sum.
"""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from helpers.calorimeters import ZN
from numpy.typing import NDArray
from zdc_common.file_content import sha256_of
from zdc_detector.card import (
    CARD_FILE,
    GOLDEN_FILE,
    GRAPH_FILE,
    ConditionSpec,
    DataSpec,
    ModelCard,
    NoiseSpec,
)
from zdc_detector.finish import Finish
from zdc_detector.particles import CONDITIONS, UNITS
from zdc_detector.ranges import Ranges, SpeciesRange

NAME = "zn-small"
MEAN_PHOTONS = 150.0
_NOISE, _HIDDEN = 10, 64
_CHANNELS = (32, 16, 8, 1)
_SIZES = (6, 11, 22, 44)
_KERNEL = 5
_RANGE = 1.8
"""Fibres over which the profile falls by a factor e: 150 photons light some 70 fibres then."""
_GOLDEN_ROWS = 48


def write_small_model(root: Path) -> Path:
    """Write ``<root>/zn-small/1/`` unless it exists; returns `root`."""
    import onnx

    folder = root / NAME / "1"
    if (folder / CARD_FILE).exists():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    particles, noise = _samples(512)
    feeds: dict[str, Any] = {"particles": particles, "noise": noise}
    onnx.save(_graph(1.0), folder / GRAPH_FILE)
    factor = MEAN_PHOTONS / _rates(folder, feeds).sum(axis=(1, 2)).mean()
    onnx.save(_graph(float(factor)), folder / GRAPH_FILE)
    golden = {name: array[:_GOLDEN_ROWS] for name, array in feeds.items()}
    np.savez(folder / GOLDEN_FILE, rates=_rates(folder, golden), **golden)
    (folder / CARD_FILE).write_text(_card(folder).model_dump_json(indent=1))
    return root


def _samples(rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inputs of the graph: neutrons that hit the middle of the face, and noise."""
    rng = np.random.default_rng(1)
    particles = np.zeros((rows, len(CONDITIONS)), dtype=np.float32)
    particles[:, CONDITIONS.index("pz")] = particles[:, CONDITIONS.index("energy")] = rng.uniform(60, 2000, rows)
    particles[:, CONDITIONS.index("mass")] = 939.565
    return particles, rng.normal(size=(rows, _NOISE)).astype(np.float32)


def _rates(folder: Path, feeds: dict[str, Any]) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / GRAPH_FILE), providers=["CPUExecutionProvider"])
    rates: NDArray[np.float32] = session.run(["response"], feeds)[0]
    return rates


def _graph(factor: float) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(value: NDArray[np.generic]) -> str:
        constants.append(numpy_helper.from_array(value, f"c{len(constants)}"))
        return f"c{len(constants) - 1}"

    def weights(*shape: int, inputs: int) -> str:
        return constant(rng.normal(0, (2 / inputs) ** 0.5, shape).astype(np.float32))

    def add(kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [output or f"t{len(nodes)}"], **attributes))
        return str(nodes[-1].output[0])

    def dense(x: str, inputs: int, outputs: int) -> str:
        bias = constant(np.full(outputs, 0.1, dtype=np.float32))
        return add("Relu", add("Gemm", x, weights(inputs, outputs, inputs=inputs), bias))

    scale = constant(np.array([1e3, 0.01, 0.01, 10, 0.5, 0.5, 1e3, 1e3, 1], dtype=np.float32))
    joined = add("Concat", add("Div", "particles", scale), "noise", axis=1)
    x = dense(joined, len(CONDITIONS) + _NOISE, _HIDDEN)
    x = dense(x, _HIDDEN, _CHANNELS[0] * _SIZES[0] ** 2)
    x = add("Reshape", x, constant(np.array([-1, _CHANNELS[0], _SIZES[0], _SIZES[0]], dtype=np.int64)))
    for i, (inputs, outputs) in enumerate(pairwise(_CHANNELS)):
        # (n - 1) * 2 - 2 * 2 + 5 + extra; 6 gives 11, 11 gives 22
        extra = _SIZES[i + 1] - 2 * _SIZES[i] + 1
        kernel = weights(inputs, outputs, _KERNEL, _KERNEL, inputs=inputs * _KERNEL**2 // 4)
        x = add("ConvTranspose", x, kernel, strides=[2, 2], pads=[2, 2, 2, 2], output_padding=[extra, extra])
        x = add("Relu" if i < len(_CHANNELS) - 2 else "Softplus", x)
    x = add("Reshape", x, constant(np.array([-1, *ZN.shape], dtype=np.int64)))
    centre = [np.arange(n) - (n - 1) / 2 for n in ZN.shape]
    profile = factor * np.exp(-np.hypot(centre[0][:, None], centre[1]) / _RANGE)
    add("Mul", x, constant(profile.astype(np.float32)), output="response")
    graph = helper.make_graph(
        nodes,
        NAME,
        [
            helper.make_tensor_value_info("particles", TensorProto.FLOAT, ["N", len(CONDITIONS)]),
            helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["N", _NOISE]),
        ],
        [helper.make_tensor_value_info("response", TensorProto.FLOAT, ["N", *ZN.shape])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _flops() -> int:
    dense = (len(CONDITIONS) + _NOISE) * _HIDDEN + _HIDDEN * _CHANNELS[0] * _SIZES[0] ** 2
    convolutions = sum(
        size**2 * inputs * outputs * _KERNEL**2
        for size, (inputs, outputs) in zip(_SIZES, pairwise(_CHANNELS), strict=False)
    )
    return 2 * (dense + convolutions)


def _card(folder: Path) -> ModelCard:
    return ModelCard(
        name=NAME,
        version=1,
        description="random weights, for benchmarks",
        calorimeter=ZN,
        conditions=tuple(ConditionSpec(name=n, unit=u) for n, u in zip(CONDITIONS, UNITS, strict=True)),
        scaler={},
        ranges=Ranges(
            species=(SpeciesRange(pdg=2112, name="n", energy=(50.0, 2600.0)),),
            vertex=((-0.1, 0.1), (-0.1, 0.1), (-30.0, 30.0)),
        ),
        noise=NoiseSpec(dimension=_NOISE),
        output="rate",
        finish=Finish.POISSON,
        opset=17,
        flops_per_response=_flops(),
        data=DataSpec(description="none", files={}, split_seed=0),
        config={},
        git_commit="0" * 40,
        created=datetime.now(UTC).isoformat(),
        graph_sha256=sha256_of(folder / GRAPH_FILE),
    )
