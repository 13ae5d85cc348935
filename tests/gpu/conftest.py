"""Every test of this folder needs a GPU: ``pytest -m gpu``."""

import onnxruntime
import pytest
from zdc_service.engine.providers import CUDA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip if onnxruntime has no CUDA; a GPU build without a GPU fails instead."""
    absent = pytest.mark.skip(reason=f"onnxruntime {onnxruntime.__version__} has no {CUDA}: install the extra gpu")
    for item in items:
        if "/tests/gpu/" in item.path.as_posix():
            item.add_marker(pytest.mark.gpu)
            if CUDA not in onnxruntime.get_available_providers():
                item.add_marker(absent)
