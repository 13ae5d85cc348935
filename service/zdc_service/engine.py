"""Runs one model: the only module that knows onnxruntime."""

import logging
import zipfile
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from zdc_detector.card import GOLDEN_FILE, GOLDEN_TOLERANCE, GRAPH_FILE, ModelCard
from zdc_detector.errors import ConfigError, ModelError
from zdc_detector.particles import CONDITIONS

from zdc_service.model_store import StoredModel
from zdc_service.statistics import Statistics

try:
    import onnxruntime as ort
except ModuleNotFoundError as error:  # one of two packages provides it, so it is no plain dependency
    raise ConfigError(
        "onnxruntime is not installed; pip install 'zdc-fastsim[cpu]' (or [gpu]), or simulate on a server that has it"
    ) from error

log = logging.getLogger(__name__)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

#: Rows of one call into onnxruntime; bounds its scratch memory whatever the caller brings.
MAX_RUN_ROWS = 256

#: onnxruntime's element-wise kernels compute a tensor's last elements, those that fill no SIMD register, by other
#: code than the rest, and some GEMM kernels treat a single row apart. Where a graph has a tensor with fewer than a
#: register's numbers per row, the last bits of a row then depend on its place in the batch. Padding batches to a
#: multiple of the register width removes that; these are the multiples tried, smallest first.
_PADDINGS = (1, 2, 4, 8, 16)
_PROBE_ROWS = 128
_PROBE_SIZES = (2, 3, 5, 6, 7, 9, 13, 15, 16, 17, 31, 33, 65)


class Engine:
    """One model in one onnxruntime session, checked and warm.

    `run` may be called from several threads at once; each call computes on the calling thread alone.

    Attributes
    ----------
    card : The model's card.
    provider : ``CPUExecutionProvider`` or ``CUDAExecutionProvider``.
    row_multiple : Batches are padded to a multiple of this many rows, so that a row's bytes never depend on the
        rows beside it. Measured on this machine when the model is loaded; not used on GPUs, where results agree
        to a tolerance only.
    statistics : What it has computed; filled in by those who run it.
    """

    def __init__(self, model: StoredModel, provider: str = CPU):
        """Load, check against card and golden file, warm up.

        Raises
        ------
        ModelError : the graph cannot be loaded, its tensors are not the card's, or its golden rates differ.
        ConfigError : the provider cannot be had.
        """
        self.card: ModelCard = model.card
        self.provider = provider
        self.row_multiple = 1
        self.statistics = Statistics()
        self._where = model.folder
        self._session = open_session(model, provider)
        self._check_signature()
        golden = self._golden()
        self._check_golden(golden)
        if provider == CPU:
            self.row_multiple = self._find_row_multiple(golden)

    def run(
        self, conditions: NDArray[np.float32], noise: NDArray[np.float32], pdg: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Rates for a batch of particles that fly to +z.

        Parameters
        ----------
        conditions : Shape (N, 9), float32, in the units of `zdc_detector.particles`.
        noise : Shape (N, noise dimension), float32.
        pdg : Shape (N,), int64; only models that take it look at it.

        Returns
        -------
        Photons per fibre, float32, shape (N, rows, columns). A row's bytes depend on that row's input alone.
        """
        n = len(conditions)
        padded = -(-n // self.row_multiple) * self.row_multiple
        feeds: dict[str, NDArray[np.generic]] = {"particles": conditions, "noise": noise}
        if self.card.takes_pdg:
            feeds["pdg"] = pdg
        if padded != n:
            feeds = {name: _pad(array, padded) for name, array in feeds.items()}
        parts = [
            self._session.run(["response"], {name: array[i : i + MAX_RUN_ROWS] for name, array in feeds.items()})[0]
            for i in range(0, padded, MAX_RUN_ROWS)
        ]
        rates: NDArray[np.float32] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return rates[:n]

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
                raise ModelError(f"{self._where / GRAPH_FILE}: {what} are {have}, the card asks for {wanted}")
            fixed = [tensor.name for tensor in found if isinstance(tensor.shape[0], int)]
            if fixed:
                raise ModelError(f"{self._where / GRAPH_FILE}: {fixed} have a fixed batch size; export it dynamic")

    def _golden(self) -> dict[str, NDArray[np.generic]]:
        path = self._where / GOLDEN_FILE
        names = {"particles", "noise", "rates"} | ({"pdg"} if self.card.takes_pdg else set())
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in names}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(f"{path}: cannot be read: {error}; it holds {', '.join(sorted(names))}") from error
        arrays.setdefault("pdg", np.zeros(len(arrays["particles"]), dtype=np.int64))
        return arrays

    def _check_golden(self, golden: dict[str, NDArray[np.generic]]) -> None:
        path = self._where / GOLDEN_FILE
        expected = golden["rates"].astype(np.float64)
        try:
            found = self._run_golden(golden, np.arange(len(expected)))
        except Exception as error:
            raise ModelError(f"{path}: the graph does not run on it: {error}") from error
        if found.shape != expected.shape or not expected.size:
            raise ModelError(f"{path}: rates have shape {expected.shape}, the graph gives {found.shape}")
        off = float(np.max(np.abs(found - expected)) / max(float(np.max(np.abs(expected))), 1e-12))
        if not off <= GOLDEN_TOLERANCE:
            raise ModelError(
                f"{path}: the graph's rates differ by {off:.3g} of the largest pixel (allowed {GOLDEN_TOLERANCE:g}); "
                "graph and golden file are not of one export, or this machine computes it wrongly"
            )

    def _run_golden(self, golden: dict[str, NDArray[np.generic]], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return self.run(
            golden["particles"][rows].astype(np.float32),
            golden["noise"][rows].astype(np.float32),
            golden["pdg"][rows].astype(np.int64),
        )

    def _find_row_multiple(self, golden: dict[str, NDArray[np.generic]]) -> int:
        """The smallest padding with which rows keep their bytes in batches of any size, by trying."""
        rng = np.random.default_rng(0)
        rows = np.arange(_PROBE_ROWS) % len(golden["rates"])
        probe = {name: golden[name][rows] for name in ("particles", "noise", "pdg")}
        # Golden rows repeat; a per mille makes every probe row another number without leaving the trained range.
        probe["particles"] = probe["particles"].astype(np.float64) * (1 + 1e-3 * rng.random(probe["particles"].shape))
        for multiple in _PADDINGS:
            self.row_multiple = multiple
            together = self._run_golden(probe, np.arange(_PROBE_ROWS))
            parts = _blocks((1,) * _PROBE_ROWS + _PROBE_SIZES)
            if all(np.array_equal(self._run_golden(probe, part), together[part]) for part in parts):
                if multiple > 1:
                    log.warning(
                        "%s: batches are padded to a multiple of %d rows to keep results independent of batches; "
                        "requests of single particles pay for it",
                        self._where,
                        multiple,
                    )
                return multiple
        raise ModelError(
            f"{self._where / GRAPH_FILE}: a row's result depends on the rows beside it even in batches padded to "
            f"{_PADDINGS[-1]} rows; the graph must treat every row alone"
        )


def choose_provider(device: str, model: StoredModel) -> str:
    """The provider of a device: ``cpu``, ``cuda`` or ``auto`` (a GPU where `model` opens on one; logs what it took).

    Raises
    ------
    ConfigError : ``cuda`` cannot be had.
    """
    available = ort.get_available_providers()
    if device == "cuda" and CUDA not in available:
        raise ConfigError(
            f"--device cuda: this onnxruntime has only {', '.join(available)}; "
            "install the extra 'gpu', or take --device cpu"
        )
    provider = CUDA if device == "cuda" else CPU
    if device == "auto":
        provider = CUDA if CUDA in available and _opens_on_gpu(model) else CPU
        log.info("device auto: took %s", provider)
    return provider


def _opens_on_gpu(model: StoredModel) -> bool:
    """Whether the GPU build finds a GPU; it installs and imports without one."""
    try:
        open_session(model, CUDA)
    except ConfigError:
        return False
    return True


def open_session(model: StoredModel, provider: str) -> ort.InferenceSession:
    """The graph of a model in onnxruntime, with the options that serve it best.

    Raises
    ------
    ModelError : the graph cannot be loaded.
    ConfigError : the provider cannot be had.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # concurrent runs beat one run with several threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers: list[str | tuple[str, dict[str, str]]] = [CPU]
    if provider == CUDA:
        providers = [(CUDA, {"use_tf32": "0"}), CPU]
    path = model.folder / GRAPH_FILE
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise ModelError(f"{path}: onnxruntime cannot load it: {error}") from error
    if session.get_providers()[0] != provider:  # onnxruntime falls back with no more than a log line
        raise ConfigError(
            f"--device cuda: onnxruntime could not open the GPU and would run on {session.get_providers()[0]}"
        )
    return session


def _pad(array: NDArray[np.generic], rows: int) -> NDArray[np.generic]:
    padded = np.empty((rows, *array.shape[1:]), dtype=array.dtype)
    padded[: len(array)] = array
    padded[len(array) :] = array[-1]
    return padded


def _blocks(sizes: Iterable[int]) -> list[NDArray[np.intp]]:
    """Consecutive blocks of these sizes among the probe's rows, again from the first where they run out."""
    blocks, at = [], 0
    for size in sizes:
        at = at if at + size <= _PROBE_ROWS else 0
        blocks.append(np.arange(at, at + size))
        at += size
    return blocks
