"""A server that is ready has compiled everything that requests need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Run in a separate process: in this one, other tests have compiled everything.
SCRIPT = """
import io
import sys
from pathlib import Path

import httpx
import numpy as np
from helpers.servers.running_server import RunningServer
from helpers.models.tiny_model import some_particles
from zdc_detector import kernels
from zdc_service.client import connect
from zdc_service.settings import ServerSettings
from zdc_service.simulation import Output

def compiled():
    functions = {name: value for name, value in vars(kernels).items() if hasattr(value, "signatures")}
    return {(name, str(signature)) for name, function in functions.items() for signature in function.signatures}

server = RunningServer(ServerSettings(models=Path(sys.argv[1]), default_model="tiny", http_port=0, grpc_port=0))
ready = compiled()

for url in (server.http, f"grpc://{server.grpc}"):
    with connect(url) as client:
        for rows in (1, 100):
            for output in Output:
                list(client.simulate(some_particles(rows), output=output))
                list(client.simulate(some_particles(rows), output=output, rates=True, repeats=2))
options = {"timeout": 60, "headers": {"Content-Type": "application/octet-stream"}}
rows = np.array([[2112, 0, 0, 1000, 0, 0, 0]], dtype="<f4")
httpx.post(f"{server.http}/simulate", content=rows.tobytes(), **options).raise_for_status()
np.save(file := io.BytesIO(), rows)
options["headers"]["Content-Type"] = "application/x-npy"
httpx.post(f"{server.http}/simulate", content=file.getvalue(), **options).raise_for_status()
server.stop()
assert ready, "nothing is compiled"
print("\\n".join(sorted(map(str, compiled() - ready))))
"""


@pytest.mark.slow
def test_requests_compile_nothing(models_folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", SCRIPT, str(models_folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
