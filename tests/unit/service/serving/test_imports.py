"""The modules that a room imports, in a new process."""

import subprocess
import sys

import pytest

#: Modules that a process which only holds connections must not import.
_NOT_FOR_CONNECTIONS = ("onnxruntime", "fastapi_offline", "zdc_service.serving.http.page", "zdc_service.engine.engine")


@pytest.mark.parametrize("module", ["connection", "cycle", "framing", "rules", "server"])
def test_a_connection_loads_neither_the_page_nor_a_model(module: str) -> None:
    program = f"import sys, zdc_service.serving.http.transport.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert f"zdc_service.serving.http.transport.{module}" in loaded
    assert not loaded & set(_NOT_FOR_CONNECTIONS)
