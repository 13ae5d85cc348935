"""The compiled load generator: built from ``generator/`` if it is older than its sources."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SOURCES = Path(__file__).parent / "generator"
BUILD = Path(__file__).parents[2] / "build" / "load"


@dataclass(frozen=True)
class Load:
    """Results of one run.

    Attributes
    ----------
    requests, errors : Number of answers and of errors within the measured time.
    answers, elapsed : Number of all answers, also in the warm-up and after the measured time; seconds until the last.
    reasons : Number of errors by text.
    rate : Answers per second.
    p50, p99 : Quantiles of the time from sending a request to the last byte of its answer [s].
    reply_bytes : Length of the last answer.
    cpu_seconds : Processor time of the generator, including start and warm-up [s].
    """

    requests: int
    errors: int
    answers: int
    elapsed: float
    reasons: dict[str, int]
    rate: float
    p50: float
    p99: float
    reply_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class Target:
    """Requests and address: the generator's first arguments.

    Attributes
    ----------
    protocol : ``http``, ``grpc`` (a connection for each client) or ``grpc-stream`` (one stream for all).
    address : IPv4 address and port.
    requests : Sent in turn. HTTP: head and body as bytes; gRPC: serialized messages.
    method : ``/package.Service/Method`` of gRPC.
    """

    protocol: str
    address: str
    requests: tuple[bytes, ...]
    method: str = ""


class Generator:
    """The program, and a folder for the requests that it reads."""

    def __init__(self, build: Path = BUILD):
        """Compile the generator if necessary.

        Raises
        ------
        RuntimeError : no compiler, or no gRPC for C++.
        """
        self._build = build
        self._program = build / "generator"
        build.mkdir(parents=True, exist_ok=True)
        sources = sorted(_SOURCES.glob("*.cc"))
        newest = max(file.stat().st_mtime for file in _SOURCES.iterdir())
        if self._program.exists() and self._program.stat().st_mtime > newest:
            return
        flags = _run(["pkg-config", "--cflags", "--libs", "grpc++"]).split()
        warnings = ["-Wall", "-Wextra", "-Werror"]
        _run(["g++", "-std=c++17", "-O2", *warnings, *map(str, sources), *flags, "-o", str(self._program)])

    def run(self, target: Target, clients: int, warm_up: float, seconds: float) -> Load:
        """Send requests: each of `clients` sends its next request when it has received its answer.

        A stream has `clients` requests in flight instead.

        Raises
        ------
        RuntimeError : the server cannot be reached.
        """
        file = self._build / "requests"
        file.write_bytes(_framed(target.requests))
        words = [target.protocol, target.address, *([target.method] if target.method else []), str(file)]
        answer = json.loads(_run([str(self._program), *words, str(clients), str(warm_up), str(seconds)]))
        return Load(
            requests=answer["requests"],
            errors=answer["errors"],
            answers=answer["answers"],
            elapsed=answer["elapsed"],
            reasons=answer["reasons"],
            rate=answer["requests"] / seconds if seconds else 0.0,
            p50=answer["p50_us"] * 1e-6,
            p99=answer["p99_us"] * 1e-6,
            reply_bytes=answer["reply_bytes"],
            cpu_seconds=answer["cpu_seconds"],
        )


def _framed(requests: Sequence[bytes]) -> bytes:
    return b"".join(len(request).to_bytes(8, "little") + request for request in requests)


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RuntimeError(
            f"{command[0]} is not installed; the load generator needs g++, pkg-config and libgrpc++-dev"
        ) from error
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout
