"""Other inference servers, each in a separate environment under ``build/peers``.

``peers/<name>/`` has the requirements for pip and the server. All servers run the same graph with the same limits, see
``peers/common/graph.py``.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from load_generator import Target
from process_tree import ProcessTree, free_port, wait_for_answer
from wire import MODEL_INFER, conditions_json, infer_grpc, infer_http, infer_json
from zdc_detector.particles import Particles

_FOLDER = Path(__file__).parent / "peers"
_BUILD = Path(__file__).parents[2] / "build" / "peers"
_MODEL = "zdc"  # as peers/common/graph.py has it
_START_SECONDS = 60.0
_SETTLE_SECONDS = 3.0  # the first of several workers answers before the others are there


class NotRunError(Exception):
    """A peer cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Peer:
    """A server to compare with.

    Attributes
    ----------
    name : Name in the table.
    folder : Folder below ``peers/``.
    workers : Number of processes or instances that compute.
    """

    name: str
    folder: str
    workers: int = 2


PEERS = (
    Peer("PyTriton", "pytriton"),
    Peer("PyTriton, 1 instance", "pytriton", workers=1),
    Peer("LitServe", "litserve"),
    Peer("BentoML", "bentoml"),
    Peer("MLServer", "mlserver"),
)


@contextmanager
def running_peer(peer: Peer, graph: Path, particles: list[Particles]) -> Iterator[list[tuple[str, Target]]]:
    """Install and start a peer; yields pairs of its name and a target with one request per particle.

    Raises
    ------
    NotRunError : it cannot be installed, or does not start.
    """
    python = _install(peer.folder)
    http, grpc = free_port(), free_port()
    command = [str(python), str(_FOLDER / peer.folder / "server.py"), "--graph", str(graph)]
    command += ["--http-port", str(http), "--grpc-port", str(grpc), "--workers", str(peer.workers)]
    targets = list(_targets(peer.folder, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}", particles))
    log = _BUILD / f"{peer.folder}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=_environment(), cwd=_BUILD, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        tree = ProcessTree(process)
        try:
            try:
                wait_for_answer(tree, targets[0].address, targets[0].requests[0], _START_SECONDS)
            except RuntimeError as error:
                raise NotRunError(f"it did not start ({error}): {_last_line(log)}") from error
            time.sleep(_SETTLE_SECONDS)
            yield [(peer.name, target) for target in targets]
        finally:
            tree.stop()


def _targets(folder: str, http: str, grpc: str, particles: list[Particles]) -> Iterator[Target]:
    if folder == "pytriton":
        yield Target("http", http, tuple(infer_http(_MODEL, each) for each in particles))
    elif folder == "mlserver":
        yield Target("http", http, tuple(infer_json(_MODEL, each) for each in particles))
    else:
        path = {"litserve": "/predict", "bentoml": "/infer"}[folder]
        yield Target("http", http, tuple(conditions_json(path, each) for each in particles))
    if folder in ("pytriton", "mlserver"):
        yield Target("grpc", grpc, tuple(infer_grpc(_MODEL, each) for each in particles), MODEL_INFER)


def _install(folder: str) -> Path:
    """The Python of a peer's environment, which is made if there is none for these requirements."""
    requirements = _FOLDER / folder / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    home = _BUILD / folder
    python, stamp = home / "bin" / "python", home / "requirements.sha256"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(home, ignore_errors=True)
    print(f"installing {folder} into {home}", file=sys.stderr)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True, text=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
        subprocess.run(pip, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        text = (error.stderr or error.stdout).strip() or str(error)
        raise NotRunError(f"it cannot be installed: {text.splitlines()[-1]}") from error
    stamp.write_text(wanted)
    return python


def _environment() -> dict[str, str]:
    """Variables for one thread per computation, without the packages of this environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ZDC_"))}
    # PyTriton's worker loads the shared libpython, which must have the version of the environment's standard library.
    libraries = [sysconfig.get_config_var("LIBDIR"), environment.get("LD_LIBRARY_PATH")]
    return environment | {"OMP_NUM_THREADS": "1", "LD_LIBRARY_PATH": ":".join(each for each in libraries if each)}


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1]} (all of it in {log})" if lines else f"nothing in {log}"
