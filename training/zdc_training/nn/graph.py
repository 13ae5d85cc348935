"""The ONNX graph of a network: export, comparison with torch, and the golden file."""

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
from zdc_detector.particles import VZ, Particles
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
#: Golden particles are at least this fraction of a fibre pitch away from the edges of their cell, so that float32
#: geometry on another machine finds the same cell.
_EDGE = 0.1


class ExportedGraph(nn.Module):
    """The function `rates` of a network for export: without training-only networks, batch normalisations folded.

    See `Generator.training_only` and `Generator.foldable`. The given network is not changed.
    """

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
        """The inputs of the graph by name."""
        inputs: dict[str, NDArray[Any]] = {"particles": particles.conditions, "noise": noise}
        return inputs | ({"pdg": particles.pdg.astype(np.int64)} if self.takes_pdg else {})


def fold_batch_norms(layers: nn.Module) -> nn.Sequential:
    """The layers with each batch normalisation folded into the layer before it.

    onnxruntime does this only for plain convolutions.
    """
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
    """Export a module with a dynamic number of rows, without metadata (it has local paths), and check the file.

    Parameters
    ----------
    module : Called with the inputs in their order.
    path : File to write.
    inputs : Example inputs with two rows, by their names in the graph.
    output : Name of the output in the graph.
    ir_version : IR version of the file, for an older onnxruntime; None: the choice of torch.
    """
    each = {0: torch.export.Dim("N")}
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    registration.setLevel(logging.ERROR)  # it warns four times that torchvision is not installed
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*treespec, LeafSpec.*", category=FutureWarning
        )  # a warning of torch about its own code
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
    """Largest difference between ONNX and torch on fixed random inputs, relative to the largest pixel.

    Rows in which rounding decides between two different responses are left out.

    Raises
    ------
    ModelError : the difference is above 1e-4, or rounding decides in more than a tenth of the rows.
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
            f"in {left_out} of {sum(PARITY_SIZES)} rows the rates jump when the conditions change by "
            f"{_GOLDEN_STEP:g}; the graph cannot be compared with torch"
        )
    return worst


def _jumps(
    session: ort.InferenceSession,
    inputs: dict[str, NDArray[Any]],
    found: NDArray[np.float32],
    expected: NDArray[np.float32],
) -> NDArray[np.intp]:
    """Rows in which ONNX and torch differ, and in which a small change of the conditions changes ONNX's output too."""
    difference = np.abs(found - expected).max(axis=(1, 2))
    rows = np.flatnonzero(~(difference <= PARITY_TOLERANCE * max(float(expected.max()), 1e-6)))
    if not rows.size:
        return rows
    return rows[~_steady(session, {name: array[rows] for name, array in inputs.items()}, found[rows])]


def check_difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest difference between the outputs of ONNX and torch, relative to the largest pixel.

    Raises
    ------
    ModelError : the difference is above 1e-4.
    """
    difference = float(np.abs(found - expected).max()) / max(float(expected.max()), 1e-6)
    if not difference <= PARITY_TOLERANCE:
        raise ModelError(
            f"ONNX differs from torch by {difference:.2g} of the largest pixel at {len(found)} rows; "
            f"the limit is {PARITY_TOLERANCE:g}: export with another version of torch or onnx"
        )
    return difference


def write_golden(folder: Path, showers: Showers, graph: ExportedGraph) -> None:
    """Write inputs and rates of the exported graph that are equal, within a tolerance, on other machines.

    The particles are away from the edges of their cells. A particle is left out if a relative change of 1e-5 in its
    conditions changes its rates by more than the tolerance: comparisons in a graph can be discontinuous.
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
    """Rows whose rates are stable under relative changes of 1e-5 in the conditions, of either sign, shape (N,).

    vz is not changed. A change would move particles that are given at the face behind it, and they would give no light.
    """
    steady = np.ones(len(rates), dtype=bool)
    rng = np.random.default_rng(_GOLDEN_SEED)
    there = [_GOLDEN_STEP * rng.uniform(-1, 1, inputs["particles"].shape) for _ in range(_GOLDEN_STEPS // 2)]
    for step in there:
        step[:, VZ] = 0.0
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
