"""What a measurement depends on beside the code."""

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
    """Processor, cores and how busy they are, in a line."""
    name = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{name}, {usable_cores()} usable cores, load average {os.getloadavg()[0]:.1f} before the start"


def versions() -> str:
    """Python and the packages that count, in a line."""
    found = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)
