"""Writes small but real models: a graph of two dense layers behind a geometry gate, with card and golden file.

The graph keeps every contract of an exported model: physical inputs, noise as an input, zeros for straight lines
that miss the face, any batch size.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from helpers.calorimeters import ZN
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from zdc_common.file_content import sha256_of
from zdc_detector.calorimeter import Calorimeter
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
from zdc_detector.frames import Frame
from zdc_detector.particles import CONDITIONS, UNITS, Particles
from zdc_detector.ranges import FaceRange, Ranges, SpeciesRange

NOISE = 6
HIDDEN = 24

#: Not square, with fewer channels, and with fibres in no channel: code that assumes ZN's shape fails.
STRIPS = Calorimeter(
    name="STRIPS",
    shape=(8, 6),
    half_width=(3.52, 3.52),
    face_z=11259.8,
    channel_names=("left", "right"),
    channel_map=("111222",) * 7 + ("......",),
)


@dataclass(frozen=True)
class TinyModel:
    """Properties in which the models of the tests differ."""

    name: str = "tiny"
    version: int = 1
    calorimeter: Calorimeter = ZN
    finish: Finish = Finish.POISSON
    takes_pdg: bool = False
    narrow_log: bool = False
    """Takes the logarithm of one number per row, whose last bits depend on the batch size in onnxruntime."""
    seed: int = 0
    species: tuple[tuple[int, str, float, float], ...] = field(
        default=((2112, "n", 50.0, 2600.0), (22, "gamma", 10.0, 1500.0), (310, "K(S)0", 50.0, 2000.0))
    )
    frames: tuple[Frame, ...] = (Frame.VERTEX,)


#: What a model with the frame ``face`` knows there: a little beyond the edge, up to 5 mrad.
AT_FACE = FaceRange(position=((-3.6, 3.6), (-3.6, 3.6)), slope=((-0.005, 0.005), (-0.005, 0.005)))
#: A model that was trained at the face, also on protons.
AT_FACE_SPECIES = ((2212, "p", 50.0, 2600.0), (2112, "n", 50.0, 2600.0), (22, "gamma", 10.0, 1500.0))


def write_model(root: Path, model: TinyModel = TinyModel()) -> Path:
    """Write ``<root>/<name>/<version>/`` and return it."""
    folder = root / model.name / str(model.version)
    folder.mkdir(parents=True)
    graph = _graph(model)
    onnx.checker.check_model(graph)
    onnx.save(graph, folder / GRAPH_FILE)
    _write_golden(folder, model)
    (folder / CARD_FILE).write_text(_card(folder, model).model_dump_json(indent=1))
    return folder


def some_particles(n: int, seed: int = 0, sides: bool = True) -> Particles:
    """Particles inside the tiny models' ranges; most meet the face, on both sides unless asked otherwise."""
    rng = np.random.default_rng(seed)
    pz = np.exp(rng.uniform(np.log(60), np.log(1400), n)) * (rng.choice([-1, 1], n) if sides else 1)
    slope = rng.uniform(-4e-4, 4e-4, (2, n))
    columns = {
        "pdg": rng.choice([2112, 22, 310], n),
        "px": slope[0] * np.abs(pz),
        "py": slope[1] * np.abs(pz),
        "pz": pz,
        "vx": rng.normal(0, 0.006, n),
        "vy": rng.normal(0, 0.006, n),
        "vz": rng.normal(0, 5, n),
    }
    return Particles.from_columns(columns)


def face_particles(n: int, seed: int = 0, codes: tuple[int, ...] = (2212, 2112, 22)) -> Particles:
    """Particles at the face of ZN, on both sides, at the angles and positions of `AT_FACE`; vz is not filled in."""
    rng = np.random.default_rng(seed)
    pz = np.exp(rng.uniform(np.log(60), np.log(1400), n)) * rng.choice([-1, 1], n)
    px, py = rng.uniform(-0.005, 0.005, (2, n)) * np.abs(pz)
    vx, vy = rng.uniform(-3.6, 3.6, (2, n))
    return Particles.from_columns({"pdg": rng.choice(codes, n), "px": px, "py": py, "pz": pz, "vx": vx, "vy": vy})


def _card(folder: Path, model: TinyModel) -> ModelCard:
    return ModelCard(
        name=model.name,
        version=model.version,
        description="a small model for tests",
        calorimeter=model.calorimeter,
        conditions=tuple(ConditionSpec(name=n, unit=u) for n, u in zip(CONDITIONS, UNITS, strict=True)),
        scaler={},
        ranges=Ranges(
            species=tuple(SpeciesRange(pdg=p, name=n, energy=(a, b)) for p, n, a, b in model.species),
            vertex=((-0.1, 0.1), (-0.1, 0.1), (-30.0, 30.0)),
            frames=model.frames,
            face=AT_FACE if Frame.FACE in model.frames else None,
        ),
        noise=NoiseSpec(dimension=NOISE),
        takes_pdg=model.takes_pdg,
        output="rate",
        finish=model.finish,
        opset=17,
        flops_per_response=2 * HIDDEN * (9 + NOISE + model.calorimeter.fibres),
        data=DataSpec(description="none", files={}, split_seed=0),
        config={},
        git_commit="0" * 40,
        created="2026-01-01T00:00:00Z",
        graph_sha256=sha256_of(folder / GRAPH_FILE),
    )


def _write_golden(folder: Path, model: TinyModel) -> None:
    import onnxruntime

    particles = some_particles(48, seed=1, sides=False)
    feeds: dict[str, Any] = {
        "particles": particles.conditions,
        "noise": np.random.default_rng(2).normal(size=(48, NOISE)).astype(np.float32),
    }
    if model.takes_pdg:
        feeds["pdg"] = particles.pdg
    session = onnxruntime.InferenceSession(str(folder / GRAPH_FILE), providers=["CPUExecutionProvider"])
    np.savez(folder / GOLDEN_FILE, rates=session.run(["response"], feeds)[0], **feeds)


class _Builder:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def column(self, index: int) -> str:
        bounds = [self.constant(np.array([i], dtype=np.int64)) for i in (index, index + 1, 1)]
        return self.add("Slice", "particles", *bounds)


def _graph(model: TinyModel) -> onnx.ModelProto:
    b, rng = _Builder(), np.random.default_rng(model.seed)
    rows, columns = model.calorimeter.shape
    scale = np.array([1e3, 0.01, 0.01, 10, 0.5, 0.5, 1e3, 1e3, 1], dtype=np.float32)
    parts = [b.add("Div", "particles", b.constant(scale)), "noise"]
    size = 9 + NOISE
    if model.narrow_log:
        parts.append(b.add("Log", b.column(0)))
        size += 1
    if model.takes_pdg:
        parts.append(
            b.add(
                "Div",
                b.add("Reshape", b.add("Cast", "pdg", to=TensorProto.FLOAT), b.constant(np.array([-1, 1]))),
                b.number(1e3),
            )
        )
        size += 1
    joined = b.add("Concat", *parts, axis=1)
    hidden = _dense(b, rng, joined, size, HIDDEN, 0.6)
    image = _dense(b, rng, b.add("Relu", hidden), HIDDEN, rows * columns, 0.5)
    shaped = b.add("Reshape", b.add("Relu", image), b.constant(np.array([-1, rows, columns], dtype=np.int64)))
    b.add("Mul", shaped, _gate(b, model.calorimeter), output="response")
    inputs: list[tuple[str, int, list[str | int]]] = [
        ("particles", TensorProto.FLOAT, ["N", 9]),
        ("noise", TensorProto.FLOAT, ["N", NOISE]),
    ]
    if model.takes_pdg:
        inputs.append(("pdg", TensorProto.INT64, ["N"]))
    graph = helper.make_graph(
        b.nodes,
        "tiny",
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info("response", TensorProto.FLOAT, ["N", rows, columns])],
        b.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _dense(b: _Builder, rng: np.random.Generator, x: str, size: int, out: int, spread: float) -> str:
    weights = b.constant(rng.normal(0, spread, (size, out)).astype(np.float32))
    return b.add("Gemm", x, weights, b.constant(rng.normal(0, 0.5, out).astype(np.float32)))


def _gate(b: _Builder, calorimeter: Calorimeter) -> str:
    """1 if the straight line meets the face, else 0; shape (N, 1, 1)."""
    path = b.add("Sub", b.number(calorimeter.face_z), b.column(3))
    factor = b.add("Div", path, b.column(6))
    inside = []
    for axis, half in enumerate(calorimeter.half_width):
        place = b.add("Sub", b.column(1 + axis), b.number(calorimeter.centre[axis]))
        point = b.add("Add", place, b.add("Mul", b.column(4 + axis), factor))
        inside.append(b.add("Less", b.add("Abs", point), b.number(half)))
    both = b.add("Cast", b.add("And", *inside), to=TensorProto.FLOAT)
    return b.add("Reshape", both, b.constant(np.array([-1, 1, 1], dtype=np.int64)))
