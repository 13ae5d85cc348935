"""A model for the ZDC fast simulation of ALICE O2 (``Detectors/ZDC/fastsimulation`` there).

It consists of two graphs and a text file of scales. O2 gives a graph its inputs in their order as raw floats: noise,
and nine conditions, from which it has subtracted the means and which it has divided by the scales. `alice_o2.md`, the
README of the files, explains the conventions.
"""

import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn
from zdc_common.errors import ConfigError
from zdc_common.whole_file import whole_folder
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.calorimeters import shipped_calorimeters
from zdc_detector.finish import Finish
from zdc_detector.particles import CHARGE, PZ, VZ, Particles
from zdc_detector.random import normals
from zdc_detector.showers import Showers

from zdc_training.config.sections import Experiment
from zdc_training.data.datasets import load_split
from zdc_training.export.o2_graph import CHARGE_UNITS, O2Classifier, O2Conditions, O2Graph
from zdc_training.nn.geometry import FaceGeometry
from zdc_training.nn.graph import ExportedGraph, check_difference, write_onnx
from zdc_training.runs.provenance import located
from zdc_training.runs.ranges import trained_ranges
from zdc_training.runs.run import Run

#: Dimension of the noise in O2; it cannot be changed there.
O2_NOISE = 10
#: IR version that onnxruntime 1.14 reads, the first version with these operators.
IR_VERSION = 8

#: The calorimeters that O2 has models for, and their words in the README.
_O2_TEXTS = {
    "ZN": {"<particle>": "neutron", "<Particle>": "Neutron", "<detectors>": "ZNA and ZNC"},
    "ZP": {"<particle>": "proton", "<Particle>": "Proton", "<detectors>": "ZPA and ZPC"},
}

#: Names of the files.
GRAPH, CLASSIFIER, SCALES, README = "{name}.onnx", "{name}_classifier.onnx", "{name}_scales.txt", "README.md"


def export_o2(run: Run, output: Path, overwrite: bool = False) -> Path:
    """Write graphs, scales and a README into a folder that appears complete or not at all.

    Raises
    ------
    ConfigError : the run is not trained, O2 cannot run such a model, or see `check_output`.
    ModelError : ONNX and torch disagree by more than 1e-4 of the largest pixel.
    """
    config = run.config()
    name = config.output.name
    check_output(output, name, overwrite)
    graph = ExportedGraph(run.load_model()).eval()
    training, validation = load_split(located(run, config.data))
    check_o2(config, graph, training.calorimeter)
    means, scales = fitted_scales(o2_units(training.particles.conditions))
    charged = bool(training.particles.conditions[:, CHARGE].any())
    conditions = O2Conditions(FaceGeometry(training.calorimeter), means, scales, charged)
    with whole_folder(output.resolve()) as folder:
        _write_graph(O2Graph(graph, conditions), folder / GRAPH.format(name=name), validation.particles)
        _write_classifier(O2Classifier(conditions), folder / CLASSIFIER.format(name=name), validation.particles)
        (folder / SCALES.format(name=name)).write_text(scales_text(means, scales), newline="\n")
        (folder / README).write_text(o2_readme(config, training))
    return output


def check_output(output: Path, name: str, overwrite: bool) -> None:
    """Raise ConfigError unless the folder is new or empty, or, with `overwrite`, contains only an older export."""
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is a file: choose another --output")
    found = {path.name for path in output.iterdir()} if output.exists() else set()
    if found and not overwrite:
        raise ConfigError(f"{output} exists; add --overwrite, or choose another --output")
    foreign = sorted(found - {each.format(name=name) for each in (GRAPH, CLASSIFIER, SCALES, README)})
    if foreign:
        raise ConfigError(
            f"{output} holds {foreign[0]}, which no export of {name} wrote: choose another folder as --output"
        )
    parent = next(folder for folder in output.resolve().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{output} cannot be made, because {parent} is not a writable folder: choose another --output"
        )


def check_o2(config: Experiment, graph: ExportedGraph, calorimeter: Calorimeter) -> None:
    """Raise ConfigError, with reason and remedy, if O2 cannot run such a model."""
    name = config.output.name
    if graph.takes_pdg:
        raise ConfigError(
            f"{name} takes PDG codes; O2 passes only noise and nine conditions: train a model without PDG codes, e.g. "
            f"`paper`"
        )
    if graph.noise != O2_NOISE:
        raise ConfigError(
            f"{name} takes {graph.noise} numbers of noise; O2 draws {O2_NOISE}: train with model.noise = {O2_NOISE}"
        )
    if config.output.finish is Finish.POISSON:
        raise ConfigError(
            f"{name} gives rates for Poisson counts (output.finish = poisson); O2 draws none, and sums of the rates "
            "would have too little spread: train with output.finish = round"
        )
    if calorimeter.name not in _O2_TEXTS or calorimeter.shape != shipped_calorimeters()[calorimeter.name].shape:
        rows, columns = calorimeter.shape
        known = ", ".join(f"{each.name} ({each.shape[0]} x {each.shape[1]} fibres)" for each in _o2_calorimeters())
        raise ConfigError(f"{name} is of {calorimeter.name} ({rows} x {columns} fibres); O2 has models of {known} only")


def o2_units(conditions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Our conditions, shape (N, 9), in O2's units: the charge in thirds of the elementary charge."""
    found = conditions.copy()
    found[:, CHARGE] *= CHARGE_UNITS
    return found


def fitted_scales(conditions: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each column, shape (9,); the scale of a constant column is 1."""
    means = conditions.mean(axis=0, dtype=np.float64)
    scales = conditions.std(axis=0, dtype=np.float64)
    scales[np.ptp(conditions, axis=0) == 0] = 1.0
    return means.astype(np.float32), scales.astype(np.float32)


def scales_text(means: NDArray[np.float32], scales: NDArray[np.float32]) -> str:
    """The text that O2 parses: a marker, one number per line, an empty line, a marker, one number per line."""
    blocks = [
        "\n".join([marker, *(f"{value:.9g}" for value in values)])
        for marker, values in (("#means", means), ("#scales", scales))
    ]
    return "\n\n".join(blocks) + "\n"


def o2_readme(config: Experiment, training: Showers) -> str:
    """The text of `alice_o2.md` with name, description, ranges and limitations of the model."""
    ranges = trained_ranges(training, "face")
    species = ", ".join(f"{each.name} {each.energy[0]:g} to {each.energy[1]:g} GeV" for each in ranges.species)
    vertex = ", ".join(
        f"{axis} {low:.2g} to {high:.2g} cm"
        for axis, (low, high) in zip(("vx", "vy", "vz"), ranges.vertex, strict=True)
    )
    calorimeter = training.calorimeter
    own = {
        "<towers>": _text(f"alice_o2_{calorimeter.name.lower()}.md").rstrip("\n"),
        **_O2_TEXTS[calorimeter.name],
        "<calorimeter>": calorimeter.name,
        "<rows>": str(calorimeter.shape[0]),
        "<columns>": str(calorimeter.shape[1]),
        "<name>": config.output.name,
        "<description>": config.output.description,
        "<trained on>": f"{species}; {vertex}",
        "<limitations>": "".join(
            f"- {text}\n" for text in (*config.output.limitations, *config.data.limitations)
        ).rstrip("\n"),
    }
    text = _text("alice_o2.md")
    for placeholder, value in own.items():
        text = text.replace(placeholder, value)
    return text


def _text(name: str) -> str:
    return (files("zdc_training.export") / name).read_text(encoding="utf-8")


def _o2_calorimeters() -> list[Calorimeter]:
    return [shipped_calorimeters()[name] for name in _O2_TEXTS]


def o2_inputs(conditions: O2Conditions, particles: Particles) -> NDArray[np.float32]:
    """The inputs that O2 would pass for particles, shape (N, 9); every second particle is mirrored to -z."""
    raw = o2_units(particles.conditions)
    raw[::2, [VZ, PZ]] *= -1
    scaled: NDArray[np.float32] = (raw - conditions.means.numpy()) / conditions.scales.numpy()
    return scaled


def _write_graph(graph: O2Graph, path: Path, particles: Particles) -> None:
    """Write the graph of responses and compare it with torch; a tiny difference can round to another count."""
    inputs = {"noise": normals(1, 0, len(particles), O2_NOISE), "conditions": o2_inputs(graph.conditions, particles)}
    (found,) = _written(graph, path, inputs, "response")
    with torch.no_grad():
        rates = graph.rates(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    counts = np.expm1(found[..., 0]).transpose(0, 2, 1)
    check_difference(np.clip(rates, counts - 0.5, counts + 0.5), rates)


def _write_classifier(classifier: O2Classifier, path: Path, particles: Particles) -> None:
    """Write the graph that decides whether there is light, and compare it with torch."""
    conditions = o2_inputs(classifier.conditions, particles)
    (found,) = _written(classifier, path, {"conditions": conditions}, "light")
    with torch.no_grad():
        check_difference(found, classifier(torch.from_numpy(conditions)).numpy())


def _written(
    module: nn.Module, path: Path, inputs: dict[str, NDArray[np.float32]], output: str
) -> list[NDArray[np.float32]]:
    """Write a graph, and return its outputs for inputs."""
    examples = {name: torch.from_numpy(array[:2]) for name, array in inputs.items()}
    write_onnx(module.eval(), path, examples, output, IR_VERSION)
    found: list[NDArray[np.float32]] = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)
    return found
