"""`zdc serve` in a separate process."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from process_tree import ProcessTree
from zdc_service.settings import EngineSettings


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes
    ----------
    http, grpc : ``host:port``.
    pid : Its process number.
    tree : This process and all that it starts.
    """

    http: str
    grpc: str
    pid: int
    tree: ProcessTree


@contextmanager
def running_server(settings: EngineSettings) -> Iterator[Served]:
    """A server on free ports, with the options of `settings`; its warnings go to stderr.

    Raises
    ------
    RuntimeError : it did not start.
    """
    options = [_flag(name.replace("_", "-"), value) for name, value in settings.model_dump(mode="json").items()]
    ports = ["--http-port=0", "--grpc-port=0", "--log-level=warning"]
    command = [sys.executable, "-m", "zdc_service.cli", "serve", *ports, *filter(None, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        tree = ProcessTree(server)
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.search(r"http://(\S+) .* gRPC on (\S+)", line)
            if found is None:
                raise RuntimeError(f"zdc serve did not start: {line}")
            yield Served(found[1], found[2], server.pid, tree)
        finally:
            tree.stop()


def _flag(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value}"
