"""Chooses onnxruntime's execution provider (CPU, CUDA or TensorRT) and opens graphs with it."""

import logging
import os
from dataclasses import dataclass
from functools import cache

from zdc_common.errors import ConfigError, ModelError
from zdc_common.words import install_advice
from zdc_detector.card import GRAPH_FILE, ModelCard
from zdc_detector.particles import CONDITIONS

from zdc_service.engine.model_store import StoredModel
from zdc_service.settings import EngineSettings

try:
    import onnxruntime as ort
except ModuleNotFoundError as error:  # two packages provide it, so it is in extras and not in the dependencies
    raise ConfigError(
        f"onnxruntime is not installed; {install_advice('cpu')} (gpu instead of cpu for CUDA), or simulate on a server"
    ) from error

log = logging.getLogger(__name__)

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
_OF_DEVICE = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}

#: Default maximum number of rows of a batch. On a CPU, larger batches are not faster and make other requests wait.
CPU_BATCH_ROWS, GPU_BATCH_ROWS = 64, 1024


@dataclass(frozen=True)
class Placement:
    """The execution provider of engines, and its options.

    Attributes
    ----------
    provider : onnxruntime's name of the execution provider.
    max_batch_rows : Maximum number of rows of one run.
    cuda_graphs : Whether to record and replay runs, if the provider is CUDA.
    """

    provider: str = CPU
    max_batch_rows: int = CPU_BATCH_ROWS
    cuda_graphs: bool = True


ON_CPU = Placement()


def place(settings: EngineSettings, model: StoredModel) -> Placement:
    """The placement for some settings. ``auto`` is CUDA if `model` can be opened with it, else the CPU.

    Raises
    ------
    ConfigError : ``cuda`` or ``tensorrt`` is not available.
    """
    available = ort.get_available_providers()
    if settings.device == "auto":
        provider = CUDA if CUDA in available and _opens_on_gpu(model) else CPU
        log.info("--device auto: using %s", provider)
    else:
        provider = _OF_DEVICE[settings.device]
        if provider not in available:
            raise ConfigError(
                f"--device {settings.device}: this onnxruntime has only {', '.join(available)}; "
                "install the extra 'gpu', or use --device cpu"
            )
    rows = CPU_BATCH_ROWS if provider == CPU else GPU_BATCH_ROWS
    return Placement(provider, settings.max_batch_rows or rows, settings.cuda_graphs)


def _opens_on_gpu(model: StoredModel) -> bool:
    """Whether onnxruntime's GPU package finds a GPU; it can be installed and imported without one."""
    try:
        open_session(model, Placement(CUDA, cuda_graphs=False))
    except ConfigError:
        return False
    return True


def open_session(model: StoredModel, placement: Placement) -> ort.InferenceSession:
    """Open the graph of a model in onnxruntime.

    For CPU sessions, only the numbers of threads are set. Measured with the shipped model at 1, 8 and 64 rows, the
    other options (memory pattern and reuse, spinning, denormals, bound buffers) change the time by less than 2 %;
    without the arena, 64 rows take up to 30 % longer.

    Raises
    ------
    ModelError : the graph cannot be loaded.
    ConfigError : the provider is not available.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # concurrent runs are faster than one run with several threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if placement.provider != CPU:
        _load_cuda()
    path = model.folder / GRAPH_FILE
    try:
        # Use the bytes whose hash was checked: the file may have changed since.
        session = ort.InferenceSession(model.graph, options, providers=_providers(model.card, placement))
    except Exception as error:
        raise ModelError(f"{path}: onnxruntime cannot load it: {error}") from error
    found = session.get_providers()[0]
    if found != placement.provider:  # onnxruntime falls back to another provider and only logs this
        device = next(name for name, provider in _OF_DEVICE.items() if provider == placement.provider)
        raise ConfigError(
            f"--device {device}: onnxruntime could not use it and would run on {found}; see its own message above; "
            "check the driver with nvidia-smi, or use --device cpu"
        )
    return session


@cache
def _load_cuda() -> None:
    """Load CUDA's libraries, because the extra ``gpu`` installs them in a folder that the linker does not search."""
    ort.preload_dlls()


def _providers(card: ModelCard, placement: Placement) -> list[str | tuple[str, dict[str, str]]]:
    """The provider, followed by the providers for nodes for which it has no kernel."""
    if placement.provider == CPU:
        return [CPU]
    cuda = {
        "use_tf32": "0",  # TF32 has 10 bits of mantissa: counts would differ from those of a CPU far more often
        "cudnn_conv_algo_search": "HEURISTIC",  # by default it times all algorithms for each shape, and may vary
        "enable_cuda_graph": str(int(placement.provider == CUDA and placement.cuda_graphs)),
    }
    if placement.provider == CUDA:
        return [(CUDA, cuda), CPU]
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # the TensorRT provider has no option for this
    shapes = {"particles": f"x{len(CONDITIONS)}", "noise": f"x{card.noise.dimension}"}
    if card.takes_pdg:
        shapes["pdg"] = ""
    profiles = {
        f"trt_profile_{bound}_shapes": ",".join(f"{name}:{rows}{rest}" for name, rest in shapes.items())
        for bound, rows in (("min", 1), ("opt", placement.max_batch_rows), ("max", placement.max_batch_rows))
    }
    return [(TENSORRT, profiles), (CUDA, cuda), CPU]
