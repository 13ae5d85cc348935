"""Runs one model, after checks against its card and golden file."""

import io
import logging
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ModelError
from zdc_detector.card import GOLDEN_FILE, GOLDEN_TOLERANCE, GRAPH_FILE, ModelCard
from zdc_detector.particles import CONDITIONS

from zdc_service.engine.cuda import BoundRuns, Feeds
from zdc_service.engine.model_store import StoredModel
from zdc_service.engine.providers import CPU, CUDA, ON_CPU, Placement, open_session
from zdc_service.telemetry.statistics import Statistics

log = logging.getLogger(__name__)

#: Maximum number of rows of one call of onnxruntime on a CPU; limits its scratch memory.
_MAX_RUN_ROWS = 256

#: onnxruntime's element-wise kernels use different code for the last elements of a tensor, which do not fill a SIMD
#: register, and some GEMM kernels treat a single row differently. If a tensor of the graph has fewer numbers per row
#: than a register, the last bits of a row then depend on its position in the batch. Padding batches to a multiple of
#: the register width removes this dependence. These multiples are tried, the smallest first.
_PADDINGS = (1, 2, 4, 8, 16)
_PROBE_ROWS = 128
_PROBE_SIZES = (2, 3, 5, 6, 7, 9, 13, 15, 16, 17, 31, 33, 65)


class Engine:
    """One checked model in one onnxruntime session.

    `run` may be called from several threads at once. On a CPU each call computes only on the calling thread; on a GPU
    the calls run one after the other.

    Attributes
    ----------
    card : The model's card.
    provider : Name of the onnxruntime execution provider that runs the model.
    max_batch_rows : Recommended maximum number of rows of a batch.
    row_multiple : Batches are padded to a multiple of this many rows, so that a row's bytes never depend on the other
        rows of the batch. It is measured on this machine when the model is loaded. It is not used on GPUs, where
        results agree only within a tolerance.
    row_seconds : Time per row in a large batch; infinite until it is measured (`warm_up`).
    statistics : Statistics of the model; updated by the code that calls `run`.
    """

    def __init__(self, model: StoredModel, placement: Placement = ON_CPU):
        """Load a model and check it against its card and golden file.

        Raises
        ------
        ModelError : the graph cannot be loaded, its tensors do not match the card, or its golden rates differ.
        ConfigError : the execution provider is not available.
        """
        self.card: ModelCard = model.card
        self.provider = placement.provider
        self.max_batch_rows = placement.max_batch_rows
        self.row_multiple = 1
        self.row_seconds = math.inf
        self.statistics = Statistics()
        self._where = model.folder
        self._session = _open(model, placement)
        self._check_signature()
        self._bound = None if self.provider == CPU else BoundRuns(self._session, self.max_batch_rows)
        golden = self._golden(model.golden)
        self._check_golden(golden)
        if self.provider == CPU:
            self.row_multiple = self._find_row_multiple(golden)

    def run(
        self, conditions: NDArray[np.float32], noise: NDArray[np.float32], pdg: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Rates for a batch of particles that fly to +z.

        Parameters
        ----------
        conditions : Shape (N, 9), float32, in the units of `zdc_detector.particles`.
        noise : Shape (N, noise dimension), float32.
        pdg : Shape (N,), int64; used only by models with this input.

        Returns
        -------
        Photons per fibre, float32, shape (N, rows, columns). On a CPU, a row's bytes depend only on that row's input.
        """
        feeds: Feeds = {"particles": conditions, "noise": noise}
        if self.card.takes_pdg:
            feeds = {**feeds, "pdg": pdg}
        if self._bound is not None:
            return self._bound.run(feeds)
        n = len(conditions)
        padded = -(-n // self.row_multiple) * self.row_multiple
        if padded != n:
            feeds = {name: _pad(array, padded) for name, array in feeds.items()}
        elif n <= _MAX_RUN_ROWS:
            alone: NDArray[np.float32] = self._session.run(["response"], feeds)[0]
            return alone
        parts = [
            self._session.run(["response"], {name: array[i : i + _MAX_RUN_ROWS] for name, array in feeds.items()})[0]
            for i in range(0, padded, _MAX_RUN_ROWS)
        ]
        rates: NDArray[np.float32] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return rates[:n]

    def check_golden(self, golden: bytes) -> None:
        """Compare the model with the content of a golden file; raises ModelError if they differ."""
        self._check_golden(self._golden(golden))

    def _check_signature(self) -> None:
        rows, columns = self.card.calorimeter.shape
        expected: dict[str, tuple[str, list[int]]] = {
            "particles": ("tensor(float)", [len(CONDITIONS)]),
            "noise": ("tensor(float)", [self.card.noise.dimension]),
        }
        if self.card.takes_pdg:
            expected["pdg"] = ("tensor(int64)", [])
        for what, wanted, found in (
            ("inputs", expected, self._session.get_inputs()),
            ("outputs", {"response": ("tensor(float)", [rows, columns])}, self._session.get_outputs()),
        ):
            have = {tensor.name: (tensor.type, list(tensor.shape[1:])) for tensor in found}
            if have != wanted:
                raise ModelError(f"{self._where / GRAPH_FILE}: {what} are {have}, but the card needs {wanted}")
            fixed = [tensor.name for tensor in found if isinstance(tensor.shape[0], int)]
            if fixed:
                raise ModelError(
                    f"{self._where / GRAPH_FILE}: {fixed} have a fixed batch size; export them with a dynamic one"
                )

    def _golden(self, content: bytes) -> dict[str, NDArray[np.generic]]:
        path = self._where / GOLDEN_FILE
        names = {"particles", "noise", "rates"} | ({"pdg"} if self.card.takes_pdg else set())
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as golden:
                arrays = {name: golden[name] for name in names}
        except Exception as error:  # for a damaged file, numpy, zipfile and zlib raise a dozen types
            raise ModelError(f"{path}: cannot be read: {error}; it must have {', '.join(sorted(names))}") from error
        arrays.setdefault("pdg", np.zeros(len(arrays["particles"]), dtype=np.int64))
        return arrays

    def _check_golden(self, golden: dict[str, NDArray[np.generic]]) -> None:
        path = self._where / GOLDEN_FILE
        try:
            expected = golden["rates"].astype(np.float64)
            found = self._run_golden(golden, np.arange(len(expected)))
        except Exception as error:
            raise ModelError(f"{path}: the graph cannot run on its particles: {error}") from error
        if found.shape != expected.shape or not expected.size:
            raise ModelError(f"{path}: rates have shape {expected.shape}, but those of the graph have {found.shape}")
        off = float(np.max(np.abs(found - expected)) / max(float(np.max(np.abs(expected))), 1e-12))
        if not off <= GOLDEN_TOLERANCE:
            raise ModelError(
                f"{path}: the graph's rates differ by {off:.3g} of the largest pixel (allowed {GOLDEN_TOLERANCE:g}); "
                "either graph and golden file come from different exports, or this machine computes the graph wrongly"
            )

    def _run_golden(self, golden: dict[str, NDArray[np.generic]], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return self.run(
            golden["particles"][rows].astype(np.float32),
            golden["noise"][rows].astype(np.float32),
            golden["pdg"][rows].astype(np.int64),
        )

    def _find_row_multiple(self, golden: dict[str, NDArray[np.generic]]) -> int:
        """The smallest multiple of rows with which a row has the same bytes in batches of any size, found by trying."""
        rng = np.random.default_rng(0)
        rows = np.arange(_PROBE_ROWS) % len(golden["rates"])
        probe = {name: golden[name][rows] for name in ("particles", "noise", "pdg")}
        # Golden rows are repeated; changes of up to 0.1 % make every row different, within the trained range.
        probe["particles"] = probe["particles"].astype(np.float64) * (1 + 1e-3 * rng.random(probe["particles"].shape))
        for multiple in _PADDINGS:
            self.row_multiple = multiple
            together = self._run_golden(probe, np.arange(_PROBE_ROWS))
            parts = _blocks((1,) * _PROBE_ROWS + _PROBE_SIZES)
            if all(np.array_equal(self._run_golden(probe, part), together[part]) for part in parts):
                if multiple > 1:
                    log.warning(
                        "%s: batches are padded to a multiple of %d rows, so that results do not depend on batches; "
                        "this makes requests of single particles slower",
                        self._where,
                        multiple,
                    )
                return multiple
        raise ModelError(
            f"{self._where / GRAPH_FILE}: a row's result depends on the other rows of its batch, even if batches are "
            f"padded to {_PADDINGS[-1]} rows; the graph must compute every row independently"
        )


def _open(model: StoredModel, placement: Placement) -> Any:
    """Open a session; if the graph does not support CUDA graphs, open it without them and log a warning."""
    try:
        return open_session(model, placement)
    except ModelError as error:
        if placement.provider != CUDA or not placement.cuda_graphs:
            raise
        session = open_session(model, replace(placement, cuda_graphs=False))
        log.warning("%s: the model runs without CUDA graphs: %s", model.folder, error)
        return session


def _pad(array: NDArray[np.generic], rows: int) -> NDArray[np.generic]:
    padded = np.empty((rows, *array.shape[1:]), dtype=array.dtype)
    padded[: len(array)] = array
    padded[len(array) :] = array[-1]
    return padded


def _blocks(sizes: Iterable[int]) -> list[NDArray[np.intp]]:
    """Consecutive blocks of these sizes among the probe's rows; starts again at row 0 when the rows are used up."""
    blocks, at = [], 0
    for size in sizes:
        at = at if at + size <= _PROBE_ROWS else 0
        blocks.append(np.arange(at, at + size))
        at += size
    return blocks
