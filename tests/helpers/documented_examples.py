"""The blocks of Markdown pages that can run, for `integration/project/test_documented_examples.py`."""

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 120
#: Ports of the examples; each run has others.
PORTS = ("8000", "8001", "9000")
#: Programs of examples that not everybody has.
OPTIONAL = ("grpcurl",)

_BLOCK = re.compile(r"(<!-- not run: [^\n]+ -->\n)?```(\w+)\n(.*?)\n```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block and its first line."""

    language: str
    text: str
    line: int

    @property
    def serves(self) -> bool:
        """Whether it starts a server, with its last command."""
        return "zdc serve" in self.text


def blocks_of(document: str) -> list[Block]:
    """The blocks to run: shell and Python, except those with a reason not to run them."""
    return [
        Block(found[2], found[3], document.count("\n", 0, found.start(3)) + 1)
        for found in _BLOCK.finditer(document)
        if found[2] in ("sh", "python") and not found[1]
    ]


class Session:
    """Runs blocks one after the other, as a reader would.

    Each page has its own folder. A block that starts a server ends the last one, unless the same command started it.
    """

    def __init__(self, folder: Path):
        self._root = folder
        self._folder = folder
        self._ports = {port: str(_free_port()) for port in PORTS}
        self._environment = _environment(folder / "bin")
        self._server: subprocess.Popen[str] | None = None
        self._served = ""

    def open_page(self, name: str) -> None:
        """Run the next blocks in a new folder of this name."""
        self._folder = self._root / name
        self._folder.mkdir()

    def run(self, block: Block) -> str:
        """The output of a block; "" if a program that it needs is not installed."""
        if any(re.search(rf"^{name}\b", block.text, re.MULTILINE) and not shutil.which(name) for name in OPTIONAL):
            return ""
        text = re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: self._ports[found[1]], block.text)
        if block.serves:
            if block.text == self._served:
                return ""
            self.stop()
            self._served = block.text
            before, serve = re.split(r"^(?=zdc serve)", text, maxsplit=1, flags=re.MULTILINE)
            ports = ["--http-port", self._ports["8000"], "--grpc-port", self._ports["8001"]]
            self._check(block, ["bash", "-euo", "pipefail", "-c", before])
            return self._serve(block, f"exec {serve} {' '.join(ports)}")
        command = (
            [sys.executable, "-c", text] if block.language == "python" else ["bash", "-euo", "pipefail", "-c", text]
        )
        return self._check(block, command)

    def stop(self) -> None:
        """End the server, and check that it ends without an error."""
        if self._server is not None:
            self._server.terminate()
            _, errors = self._server.communicate(timeout=TIMEOUT)
            assert self._server.returncode == 0, errors
            self._server, self._served = None, ""

    def _check(self, block: Block, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, f"line {block.line}: {block.text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _serve(self, block: Block, command: str) -> str:
        server = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.stdout is not None
        said = server.stdout.readline() + server.stdout.readline()
        assert "curl" in said, f"line {block.line}: {block.text}\n{server.communicate(timeout=TIMEOUT)}"
        self._server = server
        return said


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def _environment(programs: Path) -> dict[str, str]:
    """Variables so that `zdc` and `python` are those of the tests, and curl fails if an answer is not 200."""
    programs.mkdir()
    for name, command in {"zdc": "-m zdc_service.cli", "python": ""}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        program.chmod(0o755)
    (programs / ".curlrc").write_text("fail-with-body\n")
    return os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "CURL_HOME": str(programs),
    }
