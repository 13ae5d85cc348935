"""A model for the ZDC fast simulation of ALICE O2 (``Detectors/ZDC/fastsim`` there): a graph and a text of scales.

O2 hands the graph its inputs in their order, as raw floats: ten numbers of standard normal noise, and nine conditions
of which it has subtracted the means and which it has divided by the scales. It takes expm1 of the flat output. What
may surprise is in `_README`, which goes with the files.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from zdc_detector.errors import ConfigError
from zdc_detector.finish import MAX_COUNT, Finish
from zdc_detector.particles import CHARGE, PZ, VZ, Particles
from zdc_detector.random import normals
from zdc_detector.whole_file import whole_folder

from zdc_training.config import AnyConfig
from zdc_training.data import load_split
from zdc_training.graph import ExportedGraph, check_difference, write_onnx
from zdc_training.run import Run

#: Numbers of noise that O2 draws, and no others.
O2_NOISE = 10
#: The calorimeter whose responses O2 takes apart.
O2_SHAPE = (44, 44)
#: ROOT's `TParticlePDG::Charge` counts thirds of the elementary charge.
CHARGE_UNITS = 3.0

#: Names of the files.
GRAPH, SCALES, README = "{name}.onnx", "{name}_scales.txt", "README.md"

_README = """# {name} for ALICE O2

{description}

`{name}.onnx` and `{name}_scales.txt` are what the ZDC fast simulation of O2 loads as simulation model and its scales.

- Inputs, in the graph's order: `noise` (N, 10), standard normal; `conditions` (N, 9), each minus its mean, divided by
  its scale: energy [GeV], vx, vy, vz [cm], px, py, pz [GeV/c], mass [MeV, so the mass in GeV times 1000], charge.
- The charge is `TParticlePDG::Charge()`, in thirds of the elementary charge. The graph divides it by three. Columns
  that were constant in training have scale 1.
- Output `response` (N, 44, 44, 1), row-major, x first: log(1 + photons) of photons that are rounded already, so that
  `expm1` gives integers up to the rounding of 32-bit floats. Round before you cast: a cast cuts 2.9999998 to 2.
- Particles that fly to -z need no preparation: the graph turns them into their mirror image (vz and pz change sign).
  A particle whose straight line misses the face gives zeros.
- Towers: fibres of even x + y belong to the towers, odd ones to the common photomultiplier. O2's sums of channels take
  the quadrants in the order (x < 22, y < 22), (x < 22, y >= 22), (x >= 22, y < 22), (x >= 22, y >= 22), as this project
  does. O2's making of hits from an image takes x >= 22, y < 22 for the second tower: the same photons appear there
  under another number.
"""


class O2Graph(nn.Module):
    """A network with the inputs and the output that O2 knows.

    It undoes O2's scaling, turns a particle that flies to -z into its mirror image, which the network knows, applies
    the finish, since O2 has none, and takes the logarithm that O2 undoes.
    """

    means: Tensor
    scales: Tensor
    units: Tensor

    def __init__(self, graph: ExportedGraph, finish: Finish, means: NDArray[np.float32], scales: NDArray[np.float32]):
        """Wrap a network.

        Parameters
        ----------
        graph : Takes conditions in our units.
        finish : `none` or `round`.
        means, scales : What O2 subtracts and divides by, in its units, shape (9,).
        """
        super().__init__()
        self.generator = graph
        self.finish = finish
        self.register_buffer("means", torch.from_numpy(means))
        self.register_buffer("scales", torch.from_numpy(scales))
        units = torch.ones(len(means))
        units[CHARGE] = 1 / CHARGE_UNITS
        self.register_buffer("units", units)

    def forward(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """log(1 + photons), shape (N, rows, columns, 1), of noise (N, 10) and scaled conditions (N, 9)."""
        particles = (conditions * self.scales + self.means) * self.units
        mirror = torch.ones_like(particles)
        mirror[:, VZ] = mirror[:, PZ] = torch.where(particles[:, PZ] < 0, -1.0, 1.0)
        photons = self.generator(particles * mirror, noise)
        if self.finish is Finish.ROUND:
            photons = torch.round(photons).clamp(max=MAX_COUNT)
        return torch.log1p(photons).unsqueeze(-1)


def o2_units(conditions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Our conditions, shape (N, 9), in O2's units: the charge in thirds of the elementary charge."""
    found = conditions.copy()
    found[:, CHARGE] *= CHARGE_UNITS
    return found


def export_o2(run: Run, output: Path, overwrite: bool = False) -> Path:
    """Write graph, scales and a README into a folder that appears whole or not at all.

    Raises
    ------
    ConfigError : the run was not trained, O2 cannot run such a model, or the folder exists and `overwrite` is false.
    ModelError : ONNX and torch disagree by more than 1e-4 of the largest pixel.
    """
    config = run.config()
    if output.exists() and not overwrite:
        raise ConfigError(f"{output} exists; add --overwrite, or choose another --output")
    training, validation = load_split(config.data)
    graph = ExportedGraph(run.load_model()).eval()
    check_o2(config, graph, training.calorimeter.shape)
    means, scales = fitted_scales(o2_units(training.particles.conditions))
    wrapped = O2Graph(graph, config.output.finish, means, scales).eval()
    name = config.output.name
    with whole_folder(output) as folder:
        graph_file = folder / GRAPH.format(name=name)
        example = {"noise": torch.zeros(2, O2_NOISE), "conditions": torch.zeros(2, len(means))}
        write_onnx(wrapped, graph_file, example, "response")
        check_o2_parity(wrapped, graph_file, validation.particles)
        (folder / SCALES.format(name=name)).write_text(scales_text(means, scales))
        (folder / README).write_text(_README.format(name=name, description=config.output.description))
    return output


def check_o2(config: AnyConfig, graph: ExportedGraph, shape: tuple[int, int]) -> None:
    """Raise ConfigError where O2 cannot run such a model; says why, and what would do."""
    name, finish = config.output.name, config.output.finish
    if graph.noise != O2_NOISE:
        raise ConfigError(f"{name} takes {graph.noise} numbers of noise; O2 draws {O2_NOISE}: set model.noise to that")
    if graph.takes_pdg:
        raise ConfigError(f"{name} takes PDG codes; O2 passes noise and nine conditions alone: choose another method")
    if finish is Finish.POISSON:
        raise ConfigError(
            f"{name} gives rates for Poisson counts (output.finish = poisson); O2 draws none, and sums of the rates "
            "would have too little spread: train with output.finish = round"
        )
    if shape != O2_SHAPE:
        raise ConfigError(f"{name} has responses of {shape[0]} x {shape[1]} fibres; O2 takes 44 x 44, those of ZN")


def fitted_scales(conditions: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each column, shape (9,); the scale of a constant column is 1."""
    means = conditions.mean(axis=0, dtype=np.float64)
    scales = conditions.std(axis=0, dtype=np.float64)
    scales[np.ptp(conditions, axis=0) == 0] = 1.0
    return means.astype(np.float32), scales.astype(np.float32)


def scales_text(means: NDArray[np.float32], scales: NDArray[np.float32]) -> str:
    """The text that O2 parses: a marker, a number a line, an empty line, a marker, a number a line."""
    blocks = [
        "\n".join([marker, *(f"{value:.9g}" for value in values)])
        for marker, values in (("#means", means), ("#scales", scales))
    ]
    return "\n\n".join(blocks) + "\n"


def check_o2_parity(wrapped: O2Graph, path: Path, particles: Particles) -> None:
    """Raise ModelError where the written graph differs from torch on particles of both directions."""
    inputs = o2_units(particles.conditions)
    inputs[::2, [VZ, PZ]] *= -1
    scaled = (inputs - wrapped.means.numpy()) / wrapped.scales.numpy()
    noise = normals(1, 0, len(scaled), O2_NOISE)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"noise": noise, "conditions": scaled})[0]
    with torch.no_grad():
        expected = wrapped(torch.from_numpy(noise), torch.from_numpy(scaled)).numpy()
    check_difference(found, expected)
