"""From a trained run to `models/<name>/<version>/`: ONNX graph, card, golden file, README and pictures."""

import copy
import json
import logging
import math
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from particle import Particle as PdgEntry
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.utils.flop_counter import FlopCounterMode
from zdc_detector.card import (
    CARD_FILE,
    GOLDEN_FILE,
    GOLDEN_TOLERANCE,
    GRAPH_FILE,
    ConditionSpec,
    DataSpec,
    ModelCard,
    NoiseSpec,
    Ranges,
    SpeciesRange,
    sha256_of,
)
from zdc_detector.errors import ConfigError, ModelError
from zdc_detector.particles import CONDITIONS, ENERGY, UNITS, VX, VZ, Particles
from zdc_detector.random import normals
from zdc_detector.showers import Showers
from zdc_metrics import Report

from zdc_training.config import AnyConfig, data_path
from zdc_training.data import load_split
from zdc_training.fast_config import FastConfig
from zdc_training.learner import Generator
from zdc_training.model import SinkhornAutoencoder
from zdc_training.model_readme import model_readme
from zdc_training.run import Run

OPSET = 18
PARITY_SIZES = (1, 2, 3, 7, 64, 255, 1000)
PARITY_TOLERANCE = 1e-4
_GOLDEN_ROWS = 64
_GOLDEN_SEED = 44
_GOLDEN_STEP, _GOLDEN_STEPS = 1e-5, 8
#: Golden particles keep this share of a fibre pitch from the edges of their cell, so that float32 geometry on
#: another machine cannot move them to the next one.
_EDGE = 0.1
#: With `cell` scaling a vertex acts through the impact point (and vz a little, in the trained range): 1 cm across and
#: 100 cm along the beam change the angle by at most 0.1 mrad, 0.1 mm over the metre of the calorimeter.
_VERTEX = ((-1.0, 1.0), (-1.0, 1.0), (-100.0, 100.0))

#: What no graph of this kind can do, whatever it was trained on.
_LIMITATIONS = (
    "A particle whose straight line misses the face gives an empty response. For photons that is exact; for particles "
    "that may decay on the way (K0S, Lambda) it neglects decay products that would reach the face.",
)
_WITHOUT_PDG = (
    "Species are told apart by mass and charge alone: neutron and antineutron, and K0S and K0L, give equal responses.",
)


class ExportedGraph(nn.Module):
    """`rates` of a network without its encoder, batch normalisation folded into the layers before it."""

    def __init__(self, model: Generator) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().cpu()
        self.noise, self.takes_pdg = model.noise, model.takes_pdg
        if isinstance(self.model, SinkhornAutoencoder):
            self.model.decoder.layers = fold_batch_norms(self.model.decoder.layers)
        del self.model.encoder

    def forward(self, particles: Tensor, noise: Tensor, *pdg: Tensor) -> Tensor:
        """Rates, shape (N, rows, columns)."""
        return self.model.rates(particles, noise, *pdg)

    def inputs(self, particles: Particles, noise: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """What the graph takes, by name."""
        inputs: dict[str, NDArray[Any]] = {"particles": particles.conditions, "noise": noise}
        return inputs | ({"pdg": particles.pdg.astype(np.int64)} if self.takes_pdg else {})


def fold_batch_norms(layers: nn.Sequential) -> nn.Sequential:
    """The layers with every normalisation folded in, which onnxruntime does for plain convolutions only."""
    folded: list[nn.Module] = []
    for layer in layers:
        previous = folded[-1] if folded else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(previous, nn.ConvTranspose2d):
            folded[-1] = fuse_conv_bn_eval(previous, layer, transpose=True)
        elif isinstance(layer, nn.BatchNorm1d) and isinstance(previous, nn.Linear):
            folded[-1] = fuse_linear_bn_eval(previous, layer)
        else:
            folded.append(layer)
    return nn.Sequential(*folded)


def export(run: Run, models: Path, overwrite: bool = False) -> Path:
    """Write the run's best model as a folder that the service loads; the folder appears whole or not at all.

    Raises
    ------
    ConfigError : the run was not trained or not evaluated, or the version exists and `overwrite` is false.
    ModelError : ONNX and torch disagree by more than 1e-4 of the largest pixel.
    """
    config = run.config()
    training, validation = load_split(config.data)
    model = run.load_model()
    if not run.metrics.is_file():
        raise ConfigError(f"{run.folder} has no {run.metrics.name}; run `train-zdc evaluate {run.folder}` first")
    try:
        report = Report.model_validate_json(run.metrics.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{run.metrics}: is no report; run `train-zdc evaluate {run.folder}` again") from error
    target = models / config.output.name / str(config.output.version)
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} exists; add --overwrite, or choose another output.version")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        graph = ExportedGraph(model).eval()
        write_graph(graph, folder / GRAPH_FILE)
        check_parity(graph, folder / GRAPH_FILE, validation.particles)
        write_golden(folder, validation, graph)
        card = build_card(config, graph, training, report, sha256_of(folder / GRAPH_FILE))
        (folder / CARD_FILE).write_text(card.model_dump_json(indent=1) + "\n")
        pictures = [shutil.copy(path, folder) for path in sorted(run.folder.glob("*.png"))]
        text = model_readme(card, report, (folder / GRAPH_FILE).stat().st_size, [Path(p).name for p in pictures])
        (folder / "README.md").write_text(text)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    return target


def write_graph(graph: ExportedGraph, path: Path) -> None:
    """Trace the graph with a dynamic number of rows, drop the tracer's notes (paths of this machine) and check it."""
    example = _example(graph, 2)
    rows = torch.export.Dim("N")
    each = {0: rows}
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    registration.setLevel(logging.ERROR)  # it says that torchvision is not installed, four times
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*treespec, LeafSpec.*", category=FutureWarning
        )  # torch about itself
        warnings.filterwarnings("ignore", message=".*The axis name: N will not be used", category=UserWarning)
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=["particles", "noise", "pdg"][: len(example)],
            output_names=["response"],
            dynamic_shapes=(each, each, (each,)) if graph.takes_pdg else (each, each),
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
    onnx.save(model, path)
    onnx.checker.check_model(str(path), full_check=True)


def check_parity(graph: ExportedGraph, path: Path, particles: Particles) -> float:
    """Largest difference between ONNX and torch, relative to the largest pixel, on fresh random inputs.

    Raises
    ------
    ModelError : above 1e-4.
    """
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng()
    worst = 0.0
    for size in PARITY_SIZES:
        words = rng.standard_normal((size, graph.noise), dtype=np.float32)
        inputs = graph.inputs(particles[rng.integers(len(particles), size=size)], words)
        found = session.run(None, inputs)[0]
        with torch.no_grad():
            expected = graph(*(torch.from_numpy(array) for array in inputs.values())).numpy()
        worst = max(worst, float(np.abs(found - expected).max()) / max(float(expected.max()), 1e-6))
        if not worst <= PARITY_TOLERANCE:
            raise ModelError(
                f"ONNX differs from torch by {worst:.2g} of the largest pixel at {size} rows; "
                f"the limit is {PARITY_TOLERANCE:g}: export with another version of torch or onnx"
            )
    return worst


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
    steady = np.ones(len(particles), dtype=bool)
    rng = np.random.default_rng(_GOLDEN_SEED)
    for _ in range(_GOLDEN_STEPS):
        step = _GOLDEN_STEP * rng.uniform(-1, 1, particles.conditions.shape)
        moved = (particles.conditions * (1 + step)).astype(np.float32)
        change = np.abs(session.run(None, inputs | {"particles": moved})[0] - rates).max(axis=(1, 2))
        steady &= change < GOLDEN_TOLERANCE * rates.max()
    rows = np.flatnonzero(steady)[:_GOLDEN_ROWS]
    golden: dict[str, Any] = {name: array[rows] for name, array in (inputs | {"rates": rates}).items()}
    write_arrays: Callable[..., None] = np.savez_compressed
    write_arrays(folder / GOLDEN_FILE, **golden)


def build_card(
    config: AnyConfig, graph: ExportedGraph, training: Showers, report: Report, graph_sha256: str
) -> ModelCard:
    """Everything the card says, from the run and the training set."""
    train, test = data_path(config.data.train), data_path(config.data.test)
    return ModelCard(
        name=config.output.name,
        version=config.output.version,
        description=config.output.description,
        calorimeter=training.calorimeter,
        conditions=tuple(ConditionSpec(name=n, unit=u) for n, u in zip(CONDITIONS, UNITS, strict=True)),
        scaler=_scaler(config, graph.model),
        ranges=trained_ranges(training, "cell" if isinstance(config, FastConfig) else config.model.scaling),
        noise=NoiseSpec(dimension=graph.noise),
        takes_pdg=graph.takes_pdg,
        output="rate" if isinstance(config, FastConfig) or config.loss.reconstruction == "poisson" else "count",
        finish=config.output.finish,
        opset=OPSET,
        flops_per_response=flops(graph),
        data=DataSpec(
            description=config.data.description,
            files={path.name: sha256_of(path) for path in (train, test)},
            split_seed=config.data.split_seed,
        ),
        config=json.loads(config.model_dump_json()),
        git_commit=git_commit(Path(__file__)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        metrics=report.card_metrics(),
        limitations=(*_LIMITATIONS, *(() if graph.takes_pdg else _WITHOUT_PDG), *config.output.limitations),
        graph_sha256=graph_sha256,
    )


def _scaler(config: AnyConfig, model: Generator) -> dict[str, object]:
    if isinstance(config, FastConfig):
        return {"kind": "entry", "species": list(config.model.species)}
    assert isinstance(model, SinkhornAutoencoder)
    scaler = model.scaler
    return {"kind": config.model.scaling, "mean": scaler.mean.tolist(), "scale": scaler.scale.tolist()}


def trained_ranges(training: Showers, scaling: str) -> Ranges:
    """Species, most frequent first, their energies (rounded outward to two digits), and the vertices to ask for."""
    particles = training.particles
    codes, counts = np.unique(particles.pdg, return_counts=True)
    species = []
    for code in codes[np.argsort(-counts, kind="stable")]:
        energy = particles.conditions[particles.pdg == code, ENERGY].astype(np.float64)
        low, high = _two_digits(energy.min(), math.floor), _two_digits(energy.max(), math.ceil)
        species.append(SpeciesRange(pdg=int(code), name=PdgEntry.from_pdgid(int(code)).name, energy=(low, high)))
    if scaling == "cell":
        return Ranges(species=tuple(species), vertex=_VERTEX)
    vertices = particles.conditions[:, VX : VZ + 1].astype(np.float64)
    x, y, z = ((float(column.min()), float(column.max())) for column in vertices.T)
    return Ranges(species=tuple(species), vertex=(x, y, z))


def _two_digits(value: float, rounding: Callable[[float], int]) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return rounding(value / unit) * unit


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


def git_commit(file: Path) -> str:
    """The commit of the checkout that tracks `file`, with ``-dirty`` where it was changed; ``unknown`` without one."""
    commands = (
        ["git", "ls-files", "--error-unmatch", file.name],  # an environment may lie inside another project's checkout
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
    )
    answer = ""
    for command in commands:
        try:
            found = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
        except FileNotFoundError:  # no git here
            return "unknown"
        if found.returncode:
            return "unknown"
        answer = found.stdout.strip()
    return answer
