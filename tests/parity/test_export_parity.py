"""The comparison of an exported graph with torch: reproducible, and independent of rounding."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.files.shower_samples import face_particles
from numpy.typing import NDArray
from torch import Tensor, nn
from zdc_common.errors import ModelError
from zdc_detector.particles import VX, Particles
from zdc_training.nn.graph import check_parity, write_onnx

NOISE = 3
#: Bound of vx [cm]; above it, the rates below are a hundred times larger.
BOUND = 0.5


class Switched(nn.Module):
    """Rates of four fibres that jump at a bound, with or without the bound itself."""

    noise = NOISE

    def __init__(self, including: bool, factor: float = 1.0):
        super().__init__()
        self.including, self.factor = including, factor

    def forward(self, particles: Tensor, noise: Tensor) -> Tensor:
        vx = particles[:, VX]
        beyond = vx >= BOUND if self.including else vx > BOUND
        rates = (1 + noise.square().sum(dim=1)) * torch.where(beyond, 100.0, 1.0) * self.factor
        return rates.reshape(-1, 1, 1).expand(-1, 2, 2)

    def inputs(self, particles: Particles, noise: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
        return {"particles": particles.conditions, "noise": noise}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported, without the bound itself."""
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    inputs = {"particles": torch.zeros(2, 9), "noise": torch.zeros(2, NOISE)}
    write_onnx(Switched(including=False).eval(), path, inputs, "response")
    return path


def parity(graph: Switched, path: Path, at_the_bound: slice) -> float:
    """The comparison for a hundred particles, some of which are exactly at the bound."""
    particles = face_particles(100)
    particles.conditions[at_the_bound, VX] = BOUND
    return check_parity(graph, path, particles)  # type: ignore[arg-type]


def test_it_is_the_same_each_time(path: Path) -> None:
    graph = Switched(including=False)
    assert len({parity(graph, path, slice(0)) for _ in range(3)}) == 1


def test_a_row_where_rounding_decides_is_left_out(path: Path) -> None:
    assert parity(Switched(including=True), path, slice(7, 8)) < 1e-4


def test_graphs_that_differ_elsewhere_are_refused(path: Path) -> None:
    with pytest.raises(ModelError, match="ONNX differs from torch by"):
        parity(Switched(including=False, factor=1.01), path, slice(0))


def test_a_graph_of_jumps_cannot_be_compared(path: Path) -> None:
    with pytest.raises(ModelError, match="the rates jump when the conditions change by 1e-05"):
        parity(Switched(including=True), path, slice(None))
