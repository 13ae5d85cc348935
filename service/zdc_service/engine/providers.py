"""Where engines compute: onnxruntime's execution providers, and how a graph is opened on one."""

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
except ModuleNotFoundError as error:  # one of two packages provides it, so it is no plain dependency
    raise ConfigError(
        f"onnxruntime is not installed; {install_advice('cpu')} (gpu instead of cpu for CUDA), or simulate on a server"
    ) from error

log = logging.getLogger(__name__)

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
_OF_DEVICE = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}

#: Most rows of a batch where the settings name none. On a CPU larger batches win nothing and make the others wait.
CPU_BATCH_ROWS, GPU_BATCH_ROWS = 64, 1024


@dataclass(frozen=True)
class Placement:
    """Where engines compute, and in what batches.

    Attributes
    ----------
    provider : onnxruntime's name of it.
    max_batch_rows : Most rows of one run.
    cuda_graphs : Whether runs are recorded and replayed, where the provider is CUDA.
    """

    provider: str = CPU
    max_batch_rows: int = CPU_BATCH_ROWS
    cuda_graphs: bool = True


ON_CPU = Placement()


def place(settings: EngineSettings, model: StoredModel) -> Placement:
    """What the settings ask for; ``auto`` is CUDA where `model` opens on it, and logs what it took.

    Raises
    ------
    ConfigError : ``cuda`` or ``tensorrt`` cannot be had.
    """
    available = ort.get_available_providers()
    if settings.device == "auto":
        provider = CUDA if CUDA in available and _opens_on_gpu(model) else CPU
        log.info("device auto: took %s", provider)
    else:
        provider = _OF_DEVICE[settings.device]
        if provider not in available:
            raise ConfigError(
                f"--device {settings.device}: this onnxruntime has only {', '.join(available)}; "
                "install the extra 'gpu', or take --device cpu"
            )
    rows = CPU_BATCH_ROWS if provider == CPU else GPU_BATCH_ROWS
    return Placement(provider, settings.max_batch_rows or rows, settings.cuda_graphs)


def _opens_on_gpu(model: StoredModel) -> bool:
    """Whether the GPU build finds a GPU; it installs and imports without one."""
    try:
        open_session(model, Placement(CUDA, cuda_graphs=False))
    except ConfigError:
        return False
    return True


def open_session(model: StoredModel, placement: Placement) -> ort.InferenceSession:
    """The graph of a model in onnxruntime.

    Of the options for CPU sessions none but the threads made a measurable difference on the shipped model (arena,
    memory pattern and reuse, spinning, denormals, bound buffers: within 2 % at 1, 8 and 64 rows; without
    the arena 64 rows took up to 30 % longer).

    Raises
    ------
    ModelError : the graph cannot be loaded.
    ConfigError : the provider cannot be had.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # concurrent runs beat one run with several threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if placement.provider != CPU:
        _load_cuda()
    path = model.folder / GRAPH_FILE
    try:
        # From the bytes whose hash was checked: a file may change between the check and the loading.
        session = ort.InferenceSession(model.graph, options, providers=_providers(model.card, placement))
    except Exception as error:
        raise ModelError(f"{path}: onnxruntime cannot load it: {error}") from error
    found = session.get_providers()[0]
    if found != placement.provider:  # onnxruntime falls back with no more than a log line
        device = next(name for name, provider in _OF_DEVICE.items() if provider == placement.provider)
        raise ConfigError(
            f"--device {device}: onnxruntime could not open it and would run on {found}; its own message stands "
            "above; check the driver with nvidia-smi, or take --device cpu"
        )
    return session


@cache
def _load_cuda() -> None:
    """CUDA's libraries as the extra ``gpu`` installs them lie where no linker looks."""
    ort.preload_dlls()


def _providers(card: ModelCard, placement: Placement) -> list[str | tuple[str, dict[str, str]]]:
    """The provider and those that take the nodes it has no kernel for."""
    if placement.provider == CPU:
        return [CPU]
    cuda = {
        "use_tf32": "0",  # 10 bits of mantissa: counts would differ from a CPU's far more often
        "cudnn_conv_algo_search": "HEURISTIC",  # the default times all algorithms for each new shape, and may vary
        "enable_cuda_graph": str(int(placement.provider == CUDA and placement.cuda_graphs)),
    }
    if placement.provider == CUDA:
        return [(CUDA, cuda), CPU]
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # the provider has no option for it
    shapes = {"particles": f"x{len(CONDITIONS)}", "noise": f"x{card.noise.dimension}"}
    if card.takes_pdg:
        shapes["pdg"] = ""
    profiles = {
        f"trt_profile_{bound}_shapes": ",".join(f"{name}:{rows}{rest}" for name, rest in shapes.items())
        for bound, rows in (("min", 1), ("opt", placement.max_batch_rows), ("max", placement.max_batch_rows))
    }
    return [(TENSORRT, profiles), (CUDA, cuda), CPU]
