"""Use and misuse of clients: jobs left early, closed clients, forks, other event loops."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from helpers.waiting import wait_until
from zdc_service.client import (
    Client,
    ClientOptions,
    ConfigError,
    InvalidInputError,
    NotReadyError,
    OutOfRangeError,
    Output,
    ParticlesLike,
    ZdcError,
    connect,
    connect_async,
)
from zdc_service.settings import EngineSettings

WAYS = ("local", "grpc", "http")
SERVED = ("grpc", "http")
TIMEOUT = 60
NOBODY = {"grpc": "grpc://127.0.0.1:1", "http": "http://127.0.0.1:1"}


def url_of(server: RunningServer, way: str) -> str:
    return server.http if way == "http" else f"grpc://{server.grpc}"


@pytest.fixture
def client_of(models_folder: Path, server: RunningServer) -> Callable[[str], Client]:
    def opened(way: str) -> Client:
        settings = EngineSettings(models=models_folder, default_model="tiny", threads=1)
        return connect(None, None, settings) if way == "local" else connect(url_of(server, way))

    return opened


@pytest.mark.parametrize("way", WAYS)
def test_callers_may_change_the_arrays_of_a_result(client_of: Callable[[str], Client], way: str) -> None:
    with client_of(way) as client:
        for output in Output:
            result = client.run(some_particles(3), seed=1, output=output)
            arrays = [value for value in vars(result).values() if isinstance(value, np.ndarray)]
            arrays += [] if result.hits is None else list(vars(result.hits).values())
            assert all(array.flags.writeable for array in arrays)


@pytest.mark.parametrize("way", WAYS)
def test_events_without_a_particle_are_part_of_a_job(client_of: Callable[[str], Client], way: str) -> None:
    some = some_particles(9)

    def events() -> Iterator[ParticlesLike]:
        yield some[:0]
        yield some[:4]
        yield {"pdg": [], "px": [], "py": [], "pz": []}
        yield some[4:]

    with client_of(way) as client:
        found, wanted = client.run(events(), seed=3), client.run(some, seed=3)
        np.testing.assert_array_equal(found.channels, wanted.channels)
        assert list(client.simulate(some[:0])) == []
        with pytest.raises(InvalidInputError, match="no particles"):
            client.run(some[:0])


@pytest.mark.parametrize("way", WAYS)
def test_the_repr_of_a_client_shows_its_server(client_of: Callable[[str], Client], way: str) -> None:
    client = client_of(way)
    kind, place = {
        "local": ("LocalClient", "in this process"),
        "grpc": ("GrpcClient", "grpc://127.0.0.1:"),
        "http": ("HttpClient", "http://127.0.0.1:"),
    }[way]
    assert repr(client).startswith(f"<{kind} {place}")
    client.close()
    client.close()
    assert repr(client).endswith(", closed>")
    with pytest.raises(NotReadyError, match="the client was closed"):
        client.run(some_particles(1))
    with pytest.raises(NotReadyError, match="the client was closed"), client:
        pass


@pytest.mark.parametrize("way", WAYS)
def test_an_error_is_raised_without_a_chain_of_our_errors(client_of: Callable[[str], Client], way: str) -> None:
    slow = {"pdg": [22], "px": [0.0], "py": [0.0], "pz": [0.5]}
    with client_of(way) as client, pytest.raises(OutOfRangeError) as caught:
        client.run(slow)
    assert not isinstance(caught.value.__cause__, ZdcError)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("way", SERVED)
def test_ports_of_the_other_protocol_are_recognized(server: RunningServer, way: str) -> None:
    url = f"http://{server.grpc}" if way == "http" else server.http.replace("http", "grpc")
    with connect(url) as client, pytest.raises(ConfigError, match="HTTP and gRPC have different ports"):
        client.run(some_particles(1))


@pytest.mark.parametrize("way", SERVED)
def test_tls_to_a_plain_port_is_recognized(server: RunningServer, way: str) -> None:
    url = url_of(server, way).replace("://", "s://")
    with connect(url) as client, pytest.raises(ConfigError, match="this port does not speak TLS"):
        client.run(some_particles(1))


FORKED = """
import os, sys
import numpy as np
from zdc_service.client import ZdcError, connect

photon = {"pdg": [22], "px": [0.0], "py": [0.0], "pz": [300.0]}
with connect(sys.argv[1]) as client:
    before = client.run(photon, seed=1)
    child = os.fork()
    if child == 0:
        try:
            client.run(photon, seed=1)
        except ZdcError as error:
            print(error, flush=True)
        client.close()
        os._exit(0)
    os.waitpid(child, 0)
    np.testing.assert_array_equal(client.run(photon, seed=1).response, before.response)
"""


Program = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def program() -> Iterator[Program]:
    """A function that starts a Python program with arguments; after the test, a running program is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, *arguments: str) -> "subprocess.Popen[str]":
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        # Python 3.12 and later warn about a fork in a process with threads.
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", text, *arguments]
        running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(running)
        return running

    yield start
    for running in started:
        running.kill()
        running.communicate()


@pytest.mark.parametrize("way", SERVED)
def test_a_client_in_a_forked_process_is_an_error_and_leaves_the_parent_unaffected(
    server: RunningServer, program: Program, way: str
) -> None:
    running = program(FORKED, url_of(server, way))
    said, errors = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 0, errors
    assert said == (
        "the client belongs to another process and cannot be used in this one; connect in each process, after it was "
        "forked\n"
    )


INTERRUPTED = """
import signal, sys
from zdc_service.client import ClientOptions, connect

photon = {"pdg": [22], "px": [0.0], "py": [0.0], "pz": [300.0]}


def events():
    yield photon
    signal.raise_signal(signal.SIGINT)  # the first event's request is in flight
    yield photon


signal.signal(signal.SIGINT, signal.default_int_handler)  # the parent process may ignore SIGINT
client = connect(sys.argv[1], ClientOptions(retry_seconds=3600))
client.run(events())
"""


@pytest.mark.parametrize("way", SERVED)
def test_an_interrupted_program_ends_though_its_client_was_not_closed(program: Program, way: str) -> None:
    _, errors = program(INTERRUPTED, NOBODY[way]).communicate(timeout=TIMEOUT)
    assert errors.rstrip().endswith("KeyboardInterrupt")


STRUCK = """
import signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from zdc_service.client import connect

photon = {"pdg": [22], "px": [0.0], "py": [0.0], "pz": [300.0]}


def strike(frame, event, _):
    if event == "return" and frame.f_code is threading.Thread.start.__code__:  # not yet in the pool
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)


def submit_late(pool, task):  # after the main thread has ended
    time.sleep(0.1)
    return submit(pool, task)


signal.signal(signal.SIGINT, signal.default_int_handler)
submit = ThreadPoolExecutor.submit
if sys.argv[2] == "connecting slowly":
    ThreadPoolExecutor.submit = submit_late
if sys.argv[2] != "asking":
    sys.setprofile(strike)
client = connect(sys.argv[1])
sys.setprofile(strike)
client.run(photon)
"""


@pytest.mark.parametrize("when", ["connecting", "connecting slowly", "asking"])
@pytest.mark.parametrize("way", SERVED)
def test_a_program_ends_whichever_thread_it_was_starting(
    server: RunningServer, program: Program, way: str, when: str
) -> None:
    running = program(STRUCK, url_of(server, way), when)
    _, errors = running.communicate(timeout=TIMEOUT)
    if when != "asking":
        assert errors.rstrip().endswith("KeyboardInterrupt")
    else:  # the program started no such thread
        assert (running.returncode, errors) == (0, "")


@pytest.mark.parametrize("way", SERVED)
def test_an_abandoned_job_does_not_delay_the_next_one(way: str) -> None:
    with connect(NOBODY[way], ClientOptions(in_flight=2, retry_seconds=3600)) as client:
        pool: Any = vars(client)["_pool"]

        def blocks() -> Iterator[ParticlesLike]:
            yield some_particles(1)
            wait_until(pool._work_queue.empty)  # a thread has taken the request
            raise InvalidInputError("line 7 is wrong")

        for _ in range(2):
            with pytest.raises(InvalidInputError, match="line 7 is wrong"):
                client.run(blocks())
        assert pool.submit(lambda: "free").result(TIMEOUT) == "free"


@pytest.mark.parametrize("way", SERVED)
def test_a_client_of_another_event_loop_is_refused(server: RunningServer, way: str) -> None:
    client = connect_async(url_of(server, way))

    async def job() -> int:
        return len((await client.run(some_particles(2))).row)

    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert first.run(job()) == 2
        for _ in range(2):
            with pytest.raises(NotReadyError, match=r"belongs to another event loop.*connect in each one"):
                second.run(job())
        assert first.run(job()) == 2
        for loop in (second, first, first):
            loop.run(client.aclose())
            assert repr(client).endswith(", closed>")
            with pytest.raises(NotReadyError, match="the client was closed"):
                loop.run(job())
