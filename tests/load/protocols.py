"""Batches over every protocol, by the compiled client and by bare httpx and grpc.

Requests are made once. The Python clients receive whole replies without reading the arrays, so they take little time
compared with the server.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import httpx
from load_generator import Generator, Target
from measuring import Run
from wire import SIMULATE_STREAM, json_body, rows_of, simulate_grpc, simulate_path
from zdc_detector.particles import Particles
from zdc_service.client import connect
from zdc_service.codecs import JSON, RAW
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.serving.http.simulate import SIMULATE_PATH
from zdc_service.simulation import SimulationRequest

TIMEOUT = 120.0


def compiled(generator: Generator, target: Target, in_flight: int, rows: int) -> Callable[[float], Run]:
    """The load generator as the client; each request has `rows` rows."""

    def run(seconds: float) -> Run:
        load = generator.run(target, in_flight, 0.0, seconds)
        if load.errors or not load.answers:
            raise RuntimeError(f"{target.protocol}: {load.answers} answers, errors: {load.reasons}")
        return Run(rows * load.answers, load.elapsed, load.cpu_seconds)

    return run


def http_binary(client: httpx.Client, request: SimulationRequest, accept: str) -> Callable[[], int]:
    """One ``POST /simulate`` on a kept connection, particles as float32 rows."""
    headers = {"Content-Type": RAW, "Accept": accept}
    return _post(client, simulate_path(request), rows_of(request.particles), headers, len(request.particles))


def http_json(client: httpx.Client, request: SimulationRequest) -> Callable[[], int]:
    """One ``POST /simulate`` on a kept connection, JSON both ways."""
    headers = {"Content-Type": JSON, "Accept": JSON}
    return _post(client, SIMULATE_PATH, json_body(request), headers, len(request.particles))


def _post(client: httpx.Client, path: str, body: bytes, headers: dict[str, str], rows: int) -> Callable[[], int]:
    def call() -> int:
        reply = client.post(path, content=body, headers=headers)
        if reply.status_code != httpx.codes.OK:
            raise RuntimeError(f"HTTP {reply.status_code}: {reply.text[:500]}")
        return rows

    return call


def grpc_stream(channel: grpc.Channel, request: SimulationRequest, in_flight: int) -> Callable[[float], Run]:
    """One ``SimulateStream`` with many requests in flight."""
    stream = channel.stream_stream(
        SIMULATE_STREAM,
        request_serializer=lambda message: message,
        response_deserializer=pb.SimulateResponse.FromString,
    )
    message = simulate_grpc(request)

    def run(seconds: float) -> Run:
        cpu, began = time.process_time(), time.perf_counter()
        room = threading.Semaphore(in_flight)

        def messages() -> Iterator[bytes]:
            room.acquire()
            yield message
            while time.perf_counter() - began < seconds:
                room.acquire()
                yield message

        rows = 0
        for reply in stream(messages(), timeout=seconds + TIMEOUT):
            rows += len(reply.side)
            if reply.last:
                room.release()
        return Run(rows, time.perf_counter() - began, time.process_time() - cpu)

    return run


@contextmanager
def library(url: str, request: SimulationRequest) -> Iterator[Callable[[float], Run]]:
    """`zdc_service.client` with one job of blocks of particles, which the client splits."""
    with connect(url) as client:

        def blocks(until: float) -> Iterator[Particles]:
            yield request.particles
            while time.perf_counter() < until:
                yield request.particles

        def run(seconds: float) -> Run:
            cpu, began = time.process_time(), time.perf_counter()
            chunks = client.simulate(
                blocks(began + seconds), seed=request.seed, output=request.output, model=request.model
            )
            rows = sum(len(chunk.channels) for chunk in chunks)
            return Run(rows, time.perf_counter() - began, time.process_time() - cpu)

        yield run
