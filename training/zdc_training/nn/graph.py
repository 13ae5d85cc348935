"""The ONNX graph of a network: written, compared with torch, and the golden file that goes with it."""

import copy
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.utils.flop_counter import FlopCounterMode
from zdc_common.errors import ModelError
from zdc_detector.card import GOLDEN_FILE, GOLDEN_TOLERANCE, GRAPH_FILE
from zdc_detector.particles import Particles
from zdc_detector.random import normals
from zdc_detector.showers import Showers

from zdc_training.nn.learner import Generator

OPSET = 18
PARITY_SIZES = (1, 2, 3, 7, 64, 255, 1000)
PARITY_TOLERANCE = 1e-4
_PARITY_SEED = 17
_GOLDEN_ROWS = 64
_GOLDEN_SEED = 44
_GOLDEN_STEP, _GOLDEN_STEPS = 1e-5, 8
#: Golden particles keep this share of a fibre pitch from the edges of their cell, so that float32 geometry on
#: another machine cannot move them to the next one.
_EDGE = 0.1


class ExportedGraph(nn.Module):
    """`rates` of a network without what only training needs, batch normalisation folded into the layers before it."""

    def __init__(self, model: Generator) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().cpu()
        self.noise, self.takes_pdg = model.noise, model.takes_pdg
        for name in model.foldable:
            self.model.set_submodule(name, fold_batch_norms(self.model.get_submodule(name)))
        for name in model.training_only:
            delattr(self.model, name)

    def forward(self, particles: Tensor, noise: Tensor, pdg: Tensor | None = None) -> Tensor:
        """Rates, shape (N, rows, columns)."""
        return self.model.rates(particles, noise) if pdg is None else self.model.rates(particles, noise, pdg)

    def inputs(self, particles: Particles, noise: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """What the graph takes, by name."""
        inputs: dict[str, NDArray[Any]] = {"particles": particles.conditions, "noise": noise}
        return inputs | ({"pdg": particles.pdg.astype(np.int64)} if self.takes_pdg else {})


def fold_batch_norms(layers: nn.Module) -> nn.Sequential:
    """The layers with every normalisation folded in, which onnxruntime does for plain convolutions only."""
    folded: list[nn.Module] = []
    for layer in layers.children():
        previous = folded[-1] if folded else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(previous, nn.ConvTranspose2d):
            folded[-1] = fuse_conv_bn_eval(previous, layer, transpose=True)
        elif isinstance(layer, nn.BatchNorm1d) and isinstance(previous, nn.Linear):
            folded[-1] = fuse_linear_bn_eval(previous, layer)
        else:
            folded.append(layer)
    return nn.Sequential(*folded)


def write_graph(graph: ExportedGraph, path: Path) -> None:
    """Write the graph that the service loads."""
    example = _example(graph, 2)
    write_onnx(graph, path, dict(zip(("particles", "noise", "pdg"), example, strict=False)), "response")


def write_onnx(
    module: nn.Module, path: Path, inputs: dict[str, Tensor], output: str, ir_version: int | None = None
) -> None:
    """Trace a module with a dynamic number of rows, drop the tracer's notes (paths of this machine) and check it.

    Parameters
    ----------
    module : Called with the inputs in their order.
    path : File to write.
    inputs : Examples of two rows, by the name that they get in the graph.
    output : The name of what the module returns.
    ir_version : Of the file, for an older onnxruntime; None leaves torch's choice.
    """
    each = {0: torch.export.Dim("N")}
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    registration.setLevel(logging.ERROR)  # it says that torchvision is not installed, four times
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*treespec, LeafSpec.*", category=FutureWarning
        )  # torch about itself
        warnings.filterwarnings("ignore", message=".*The axis name: N will not be used", category=UserWarning)
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=(each,) * len(inputs),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ModelError("torch exported no ONNX program")
    model = program.model_proto
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
    for part in (*model.graph.node, model.graph):
        part.ClearField("doc_string")
    del model.graph.value_info[:]
    model.ir_version = ir_version or model.ir_version
    onnx.save(model, path)
    onnx.checker.check_model(str(path), full_check=True)


def check_parity(graph: ExportedGraph, path: Path, particles: Particles) -> float:
    """Largest difference between ONNX and torch, relative to the largest pixel, on random inputs, always the same.

    Rows are left out where rounding decides between two responses.

    Raises
    ------
    ModelError : above 1e-4, or if rounding decides in more than a tenth of the rows.
    """
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(_PARITY_SEED)
    worst, left_out = 0.0, 0
    for size in PARITY_SIZES:
        words = rng.standard_normal((size, graph.noise), dtype=np.float32)
        inputs = graph.inputs(particles[rng.integers(len(particles), size=size)], words)
        found = session.run(None, inputs)[0]
        with torch.no_grad():
            expected = graph(*(torch.from_numpy(array) for array in inputs.values())).numpy()
        jumps = _jumps(session, inputs, found, expected)
        left_out += len(jumps)
        if len(jumps) < size:
            worst = max(worst, check_difference(*(np.delete(rates, jumps, axis=0) for rates in (found, expected))))
    if left_out > sum(PARITY_SIZES) / 10:
        raise ModelError(
            f"in {left_out} of {sum(PARITY_SIZES)} rows the rates jump where the conditions change by "
            f"{_GOLDEN_STEP:g}; the graph cannot be compared with torch"
        )
    return worst


def _jumps(
    session: ort.InferenceSession,
    inputs: dict[str, NDArray[Any]],
    found: NDArray[np.float32],
    expected: NDArray[np.float32],
) -> NDArray[np.intp]:
    """Rows in which ONNX and torch differ, and in which ONNX alone would for conditions that are a little different."""
    difference = np.abs(found - expected).max(axis=(1, 2))
    rows = np.flatnonzero(~(difference <= PARITY_TOLERANCE * max(float(expected.max()), 1e-6)))
    if not rows.size:
        return rows
    return rows[~_steady(session, {name: array[rows] for name, array in inputs.items()}, found[rows])]


def check_difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest difference of what ONNX and torch give, relative to the largest pixel.

    Raises
    ------
    ModelError : above 1e-4.
    """
    difference = float(np.abs(found - expected).max()) / max(float(expected.max()), 1e-6)
    if not difference <= PARITY_TOLERANCE:
        raise ModelError(
            f"ONNX differs from torch by {difference:.2g} of the largest pixel at {len(found)} rows; "
            f"the limit is {PARITY_TOLERANCE:g}: export with another version of torch or onnx"
        )
    return difference


def write_golden(folder: Path, showers: Showers, graph: ExportedGraph) -> None:
    """Rates of the exported graph for particles whose rates another machine's rounding cannot change by much.

    They stay away from the edges of their cells, and are left out where a hundred thousandth in the conditions
    changes the rates: a graph may turn a response or put it out by a comparison.
    """
    calorimeter = showers.calorimeter
    points = calorimeter.impact_points(showers.particles.conditions)
    cells = (points / np.array(calorimeter.half_width) + 1) / 2 * np.array(calorimeter.shape)
    inside = np.abs(cells - np.floor(cells) - 0.5) < 0.5 - _EDGE
    particles = showers.particles[np.flatnonzero(inside.all(axis=1))[: 2 * _GOLDEN_ROWS]]
    inputs = graph.inputs(particles, normals(_GOLDEN_SEED, 0, len(particles), graph.noise))
    session = ort.InferenceSession(folder / GRAPH_FILE, providers=["CPUExecutionProvider"])
    rates = session.run(None, inputs)[0]
    rows = np.flatnonzero(_steady(session, inputs, rates))[:_GOLDEN_ROWS]
    golden: dict[str, Any] = {name: array[rows] for name, array in (inputs | {"rates": rates}).items()}
    write_arrays: Callable[..., None] = np.savez_compressed
    write_arrays(folder / GOLDEN_FILE, **golden)


def _steady(
    session: ort.InferenceSession, inputs: dict[str, NDArray[Any]], rates: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Rows whose rates hardly change where the conditions do by a hundred thousandth, to either side, shape (N,)."""
    steady = np.ones(len(rates), dtype=bool)
    rng = np.random.default_rng(_GOLDEN_SEED)
    there = [_GOLDEN_STEP * rng.uniform(-1, 1, inputs["particles"].shape) for _ in range(_GOLDEN_STEPS // 2)]
    for step in (*there, *(-step for step in there)):
        moved = (inputs["particles"] * (1 + step)).astype(np.float32)
        change = np.abs(session.run(None, inputs | {"particles": moved})[0] - rates).max(axis=(1, 2))
        steady &= change <= GOLDEN_TOLERANCE * rates.max()
    return steady


def flops(graph: ExportedGraph) -> int:
    """Floating-point operations of one response (1 multiply-add = 2), matrix products and convolutions counted."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        graph(*_example(graph, 1))
    return int(counter.get_total_flops())


def _example(graph: ExportedGraph, rows: int) -> tuple[Tensor, ...]:
    particles = torch.tensor([[10.0, 0, 0, 0, 0, 0, 10.0, 0, 0]] * rows)
    pdg = (torch.full((rows,), 22),) if graph.takes_pdg else ()
    return (particles, torch.zeros(rows, graph.noise), *pdg)
