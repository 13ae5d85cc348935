"""The same seed gives the same bytes: alone, among others, in any chunking, over every protocol."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import grpc
import httpx
import numpy as np
import orjson
import pytest
import zstandard
from helpers.callers.inference_requests import (
    CODING,
    INFER,
    STREAM_CODING,
    STREAM_INFER,
    Arrays,
    grpc_message,
    grpc_outputs,
    http_body,
    http_outputs,
)
from helpers.models.tiny_model import some_particles
from helpers.servers.running_server import RunningServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zdc_detector.particles import CONDITIONS, KINEMATICS
from zdc_service.client.transports.grpc_client import message_of_request
from zdc_service.codecs import ARRAYS, ARRAYS_HEADER, JSON, NPY, NPZ, RAW, split_arrays
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import SimulationRequest

ROWS = 300
Answer = tuple[np.ndarray, np.ndarray]
Simulate = Callable[[SimulationRequest], Answer]
"""Responses, shape (M, rows, columns), and channel sums of a request."""


class Protocols:
    """One function for each way to a result, without our client library; only its request message is used."""

    def __init__(self, server: RunningServer, simulator: Simulator):
        self._http = httpx.Client(base_url=server.http, timeout=60)
        self._channel = grpc.insecure_channel(server.grpc)
        self._simulator = simulator
        coding = (pb.SimulateRequest.SerializeToString, pb.SimulateResponse.FromString)
        self._unary = self._channel.unary_unary("/zdc.v1.Simulation/Simulate", *coding)
        self._stream = self._channel.stream_stream("/zdc.v1.Simulation/SimulateStream", *coding)
        # One reply to each request, as clients of the protocol expect it: they take messages of any size.
        self._wide = grpc.insecure_channel(server.grpc, options=[("grpc.max_receive_message_length", -1)])
        self._infer = self._wide.unary_unary(INFER, *CODING)
        self._stream_infer = self._wide.stream_stream(STREAM_INFER, *STREAM_CODING)

    def close(self) -> None:
        self._http.close()
        self._channel.close()
        self._wide.close()

    def in_process(self, request: SimulationRequest) -> Answer:
        result = self._simulator.simulate(request)
        return np.asarray(result.response), result.channels

    def http_json(self, request: SimulationRequest) -> Answer:
        body = orjson.loads(self._post(request, JSON).content)
        return np.array(body["response"], dtype=np.uint16), np.array(body["channels"], dtype=np.uint32)

    def http_npz(self, request: SimulationRequest) -> Answer:
        arrays = np.load(io.BytesIO(self._post(request, NPZ).content))
        return arrays["response"], arrays["channels"]

    def http_raw(self, request: SimulationRequest) -> Answer:
        """Sends rows of numbers, and reads one array."""
        arrays = []
        for output in ("response", "channels"):
            reply = self._post_rows(request, RAW, output=output)
            arrays.append(split_arrays(reply.content, reply.headers[ARRAYS_HEADER])[output])
        return arrays[0], arrays[1]

    def http_npy(self, request: SimulationRequest) -> Answer:
        """Sends records, and reads npy, both compressed."""
        names = ("pdg", *KINEMATICS)
        columns: list[Any] = [
            request.particles.pdg,
            *(request.particles.conditions[:, CONDITIONS.index(n)] for n in KINEMATICS),
        ]
        body = io.BytesIO()
        kinds = [(name, column.dtype) for name, column in zip(names, columns, strict=True)]
        np.save(body, np.rec.fromarrays(columns, dtype=kinds), allow_pickle=False)
        answers = []
        for output in ("response", "channels"):
            reply = self._http.post(
                "/simulate",
                params=_query(request) | {"output": output},
                content=zstandard.compress(body.getvalue()),
                headers={
                    "Content-Type": NPY, "Accept": NPY, "Content-Encoding": "zstd", "Accept-Encoding": "zstd",
                },
            ).raise_for_status()  # fmt: skip
            answers.append(np.load(io.BytesIO(reply.content)))
        return answers[0], answers[1]

    def http_arrays(self, request: SimulationRequest) -> Answer:
        reply = self._post_rows(request, ARRAYS)
        arrays = split_arrays(reply.content, reply.headers[ARRAYS_HEADER])
        return arrays["response"], arrays["channels"]

    def _post_rows(self, request: SimulationRequest, accept: str, **query: str) -> httpx.Response:
        rows = np.column_stack([request.particles.pdg, request.particles.conditions[:, [4, 5, 6, 1, 2, 3]]])
        headers = {"Content-Type": RAW, "Accept": accept}
        content = rows.astype("<f4").tobytes()
        reply = self._http.post("/simulate", params=_query(request) | query, content=content, headers=headers)
        return reply.raise_for_status()

    def grpc_unary(self, request: SimulationRequest) -> Answer:
        return _arrays([self._unary(message_of_request(request), timeout=60)])

    def grpc_stream(self, request: SimulationRequest) -> Answer:
        return _arrays(list(self._stream(iter([message_of_request(request)]), timeout=60)))

    def http_v2(self, request: SimulationRequest) -> Answer:
        inputs, options = _tensors(request)
        body, headers = http_body(inputs, parameters={"binary_data_output": True, **options})
        reply = self._http.post(f"/v2/models/{request.model}/infer", content=body, headers=headers).raise_for_status()
        return _counts(http_outputs(reply))

    def http_v2_json(self, request: SimulationRequest) -> Answer:
        inputs, options = _tensors(request)
        kinds = {"particles": "FP32", "pdg": "INT64"}
        tensors = [
            {"name": name, "datatype": kinds[name], "shape": array.shape, "data": array.tolist()}
            for name, array in inputs.items()
        ]
        body = orjson.dumps({"inputs": tensors, "parameters": options})
        return _counts(http_outputs(self._http.post(f"/v2/models/{request.model}/infer", content=body)))

    def grpc_v2(self, request: SimulationRequest) -> Answer:
        inputs, options = _tensors(request)
        return _counts(grpc_outputs(self._infer(grpc_message(request.model or "", inputs, **options), timeout=60)))

    def grpc_v2_stream(self, request: SimulationRequest) -> Answer:
        inputs, options = _tensors(request)
        messages = iter([grpc_message(request.model or "", inputs, **options)])
        (reply,) = self._stream_infer(messages, timeout=60)
        return _counts(grpc_outputs(reply.infer_response))

    def _post(self, request: SimulationRequest, accept: str, output: str = "response") -> httpx.Response:
        particles = request.particles
        columns = {
            name: particles.conditions[:, i].tolist() for i, name in enumerate(CONDITIONS[:7]) if name != "energy"
        }
        body = {"particles": {"pdg": particles.pdg.tolist(), **columns}, "seed": request.seed, "output": output}
        body |= {"first_row": request.first_row, "repeats": request.repeats, "model": request.model}
        reply = self._http.post("/simulate", content=orjson.dumps(body), headers={"Accept": accept})
        assert reply.status_code == 200, reply.text
        return reply


def _arrays(replies: list[pb.SimulateResponse]) -> Answer:
    assert [reply.last for reply in replies] == [False] * (len(replies) - 1) + [True]
    shape = tuple(replies[0].shape)
    assert {reply.photon_type for reply in replies} == {pb.ELEMENT_TYPE_UINT16}
    images = np.frombuffer(b"".join(reply.response for reply in replies), dtype="<u2").reshape(-1, *shape)
    sums = np.frombuffer(b"".join(reply.channels for reply in replies), dtype="<u4")
    return images, sums.reshape(len(images), -1)


def _tensors(request: SimulationRequest) -> tuple[Arrays, dict[str, Any]]:
    """Inputs and parameters of the Open Inference Protocol, which repeats particles instead of numbers."""
    particles = request.particles
    inputs: Arrays = {
        "particles": np.repeat(particles.conditions, request.repeats, axis=0),
        "pdg": np.repeat(particles.pdg, request.repeats),
    }
    return inputs, {"seed": request.seed, "first_row": request.first_row}


def _counts(outputs: Arrays) -> Answer:
    assert {array.dtype for array in outputs.values()} == {np.dtype(np.float32)}
    return outputs["response"].astype(np.uint16), outputs["channels"].astype(np.uint32)


def _query(request: SimulationRequest) -> dict[str, str]:
    named = {name: getattr(request, name) for name in ("seed", "first_row", "repeats", "model")}
    return {name: str(value) for name, value in named.items() if value is not None}


@pytest.fixture(scope="module")
def protocols(server: RunningServer, simulator: Simulator) -> Iterator[Protocols]:
    ways = Protocols(server, simulator)
    yield ways
    ways.close()


WAYS = [
    "in_process", "http_json", "http_npz", "http_raw", "http_npy", "http_arrays", "grpc_unary", "grpc_stream",
    "http_v2", "http_v2_json", "grpc_v2", "grpc_v2_stream",
]  # fmt: skip


def request_of(model: str, **changes: int) -> SimulationRequest:
    return SimulationRequest(some_particles(ROWS), **{"seed": 2**53 - 3, "model": model, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["tiny", "strips"])
@pytest.mark.parametrize("way", WAYS)
def test_all_ways_agree(protocols: Protocols, way: str, model: str) -> None:
    for changes in ({}, {"first_row": 2**50, "repeats": 3}):
        request = request_of(model, **changes)
        images, sums = protocols.in_process(request)
        assert images.any(axis=(1, 2)).mean() > 0.3
        found_images, found_sums = getattr(protocols, way)(request)
        np.testing.assert_array_equal(found_images, images)
        np.testing.assert_array_equal(found_sums, sums)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [1, 7, 100])
def test_any_chunking_agrees(protocols: Protocols, way: str, size: int) -> None:
    request = request_of("tiny")
    images, sums = protocols.in_process(request)
    for start in range(0, ROWS, size) if size > 1 else (0, 1, 150, ROWS - 1):
        part = replace(request, particles=request.particles[start : start + size], first_row=start)
        found_images, found_sums = getattr(protocols, way)(part)
        np.testing.assert_array_equal(found_images, images[start : start + size])
        np.testing.assert_array_equal(found_sums, sums[start : start + size])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, ROWS - 1), max_size=8, unique=True),
    repeats=st.integers(1, 4),
    seed=st.integers(0, 2**53 - 1),
)
def test_any_cuts_and_repeats_agree(simulator: Simulator, cuts: list[int], repeats: int, seed: int) -> None:
    request = SimulationRequest(some_particles(ROWS), seed=seed, repeats=repeats)
    whole = simulator.simulate(request)
    edges = [0, *sorted(cuts), ROWS]
    parts = [
        simulator.simulate(replace(request, particles=request.particles[a:b], first_row=a * repeats))
        for a, b in pairwise(edges)
    ]
    np.testing.assert_array_equal(np.concatenate([np.asarray(part.response) for part in parts]), whole.response)
    np.testing.assert_array_equal(np.concatenate([part.channels for part in parts]), whole.channels)
