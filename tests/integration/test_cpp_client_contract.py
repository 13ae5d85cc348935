"""The C++ client where replies are not what the contract says: it says so, and writes nowhere but into its buffers."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from cpp_build import PARTICLES, TINY, BuiltClient, built_client, needs_tools
from zdc_service.rpc import simulation_pb2 as pb
from zdc_service.rpc.convert import read_request, write_response
from zdc_service.simulator import Simulator

pytestmark = [pytest.mark.slow, needs_tools]

Change = Callable[[pb.SimulateResponse], None]

BREAKS = "the server's reply breaks the contract: "
N, FIBRES = len(PARTICLES), 1936


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> BuiltClient:
    return built_client(tmp_path_factory)


class Elsewhere(grpc.GenericRpcHandler):
    """A server that answers as ours does, but for a change."""

    def __init__(self, simulator: Simulator):
        self.simulator = simulator
        self.change: Change = lambda _: None

    def service(self, _details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.stream_stream_rpc_method_handler(self.answer)

    def answer(self, messages: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
        for message in messages:
            result = self.simulator.simulate(read_request(pb.SimulateRequest.FromString(message), 10**6))
            reply = pb.SimulateResponse.FromString(write_response(result, last=True))
            self.change(reply)
            yield reply.SerializeToString()


@pytest.fixture(scope="module")
def elsewhere(simulator: Simulator) -> Iterator[tuple[str, Elsewhere]]:
    with ThreadPoolExecutor(1) as pool:
        handler = Elsewhere(simulator)
        server = grpc.server(pool, [handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"grpc://127.0.0.1:{port}", handler
        server.stop(None).wait()


def put(field: str, value: Any) -> Change:
    """Gives a field, of `hits` where it begins so, another value: a function of the old one, or the value itself."""

    def change(reply: pb.SimulateResponse) -> None:
        name = field.removeprefix("hits.")
        message = reply.hits if name != field else reply
        new = value(getattr(message, name)) if callable(value) else value
        if name == "shape":
            reply.shape[:] = new
        else:
            setattr(message, name, new)

    return change


def numbers(dtype: str, change: Callable[[np.ndarray], object]) -> Callable[[bytes], bytes]:
    """The bytes of an array that was changed in place."""

    def changed(data: bytes) -> bytes:
        array = np.frombuffer(data, dtype).copy()
        change(array)
        return array.tobytes()

    return changed


def set_item(index: int, value: int) -> Callable[[np.ndarray], object]:
    return lambda array: array.__setitem__(index, value)


@pytest.mark.parametrize(
    ("output", "field", "value", "words"),
    [
        ("channels", "seed", 8, "it is to another request"),
        ("channels", "first_row", 1, "it is to another request"),
        ("channels", "shape", [44], "its shape is not that of the model"),
        ("channels", "particle", lambda old: old[:-1], "particle is cut off"),
        ("channels", "particle", lambda old: old[:-4], f"{N - 1} rows came for {N}"),
        ("channels", "particle", lambda old: 2 * old, f"{2 * N} rows came for {N}"),
        ("channels", "particle", numbers("<u4", set_item(0, 1)), "its rows are not in order"),
        ("channels", "particle", numbers("<u4", set_item(-1, 2**32 - 1)), "its rows are not in order"),
        ("channels", "side", lambda old: old + b"A", "side has 6 bytes for 5 elements of 1"),
        ("channels", "channels", lambda old: 2 * old, f"channels has {N * 40} bytes for {N * 5} elements of 4"),
        ("channels", "channels", lambda old: old[:-1], f"channels has {N * 20 - 1} bytes for {N * 5} elements of 4"),
        ("channels", "channel_type", pb.ELEMENT_TYPE_UINT16, "channels has elements of type 1"),
        ("response", "response", lambda old: 2 * old, f"response has {N * FIBRES * 4} bytes for {N * FIBRES} elements"),
        ("response", "photon_type", pb.ELEMENT_TYPE_UNSPECIFIED, "response has elements of type 0"),
        ("hits", "hits.offsets", lambda old: old + old, f"hits.offsets has {2 * (N + 1) * 8} bytes"),
        ("hits", "hits.offsets", numbers("<u8", set_item(0, 1)), "hits.offsets do not span the hits"),
        ("hits", "hits.offsets", numbers("<u8", set_item(-1, 2**63)), "hits.offsets do not span the hits"),
        ("hits", "hits.offsets", numbers("<u8", set_item(1, 2**64 - 1)), "hits.offsets fall"),
        ("hits", "hits.fibre", lambda old: old[:-1], "hits.fibre has"),
        ("hits", "hits.fibre", bytes(2 * (N * FIBRES + 1)), "there are more hits than fibres"),
        ("hits", "hits.fibre", numbers("<u2", set_item(0, FIBRES)), "hits.fibre names a fibre"),
        ("hits", "hits.photons", lambda old: old * 2, "hits.photons has"),
    ],
)
def test_replies_that_break_the_contract(
    cpp: BuiltClient, elsewhere: tuple[str, Elsewhere], output: str, field: str, value: object, words: str
) -> None:
    address, handler = elsewhere
    handler.change = put(field, value)
    said = cpp.call(address, PARTICLES, seed=7, output=output, **TINY).said
    assert (said["error"], said["code"], said["kind"]) == ("Error", "13", "internal")
    assert said["message"].startswith(BREAKS + words)


def test_a_shape_that_no_memory_holds(cpp: BuiltClient, elsewhere: tuple[str, Elsewhere]) -> None:
    address, handler = elsewhere
    handler.change = put("shape", [2**32 - 1, 2**32 - 1])
    said = cpp.call(address, PARTICLES, seed=7, **TINY).said
    assert (said["error"], said["needed"]) == ("BufferError", str(2**64 - 1))


def test_rates_for_buffers_of_counts(cpp: BuiltClient, elsewhere: tuple[str, Elsewhere]) -> None:
    address, handler = elsewhere
    handler.change = put("photon_type", pb.ELEMENT_TYPE_FLOAT32)
    said = cpp.call(address, PARTICLES, seed=7, **TINY).said
    assert said["message"] == "this model answers rates, which are float32; use FloatBuffers"


def test_a_stream_that_ends_too_early_is_taken_up_again(cpp: BuiltClient, elsewhere: tuple[str, Elsewhere]) -> None:
    address, handler = elsewhere
    handler.change = put("last", False)
    said = cpp.call(address, PARTICLES, seed=7, output="channels", max_attempts=1, **TINY).said
    assert said["error"] == "NotReadyError"
    assert "the server ended the stream before the last reply" in said["message"]
