"""Machine and versions, on which a measurement depends."""

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from zdc_service.settings import usable_cores

_PACKAGES = (
    "zdc-fastsim", "onnxruntime", "onnxruntime-gpu", "numpy", "numba", "grpcio", "httptools", "uvloop", "httpx",
)  # fmt: skip


def machine() -> str:
    """Processor, cores and their load, in one line."""
    name = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{name}, {usable_cores()} usable cores, load average {os.getloadavg()[0]:.1f} before the start"


def versions() -> str:
    """Versions of Python and of the important packages, in one line."""
    found = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)
