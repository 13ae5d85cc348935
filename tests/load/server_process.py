"""`zdc serve` in a process of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zdc_service.settings import EngineSettings

_STOP_SECONDS = 30


@dataclass(frozen=True)
class Addresses:
    """``http://host:port``, and ``host:port`` for gRPC."""

    http: str
    grpc: str


@contextmanager
def running_server(settings: EngineSettings) -> Iterator[Addresses]:
    """A server on free ports, with the options of `settings`; its warnings go to stderr.

    Raises
    ------
    RuntimeError : it did not start.
    """
    options = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in settings.model_dump(mode="json", exclude_none=True).items()
    ]
    ports = ["--http-port=0", "--grpc-port=0", "--log-level=warning"]
    command = [sys.executable, "-m", "zdc_service.cli", "serve", *ports, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.search(r"(http://\S+) .* gRPC on (\S+)", line)
            if found is None:
                raise RuntimeError(f"zdc serve did not start: {line}")
            yield Addresses(found[1], found[2])
        finally:
            server.terminate()
            try:
                server.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
