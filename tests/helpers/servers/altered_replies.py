"""A server with altered replies: truncated, with wrong numbers, or for another request."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.serving.rpc.convert import read_request, write_response
from zdc_service.simulating.simulator import Simulator

Change = Callable[[pb.SimulateResponse], None]

#: Particles of a request, and fibres of ``tiny``.
N, FIBRES = 5, 1936


class Elsewhere(grpc.GenericRpcHandler):
    """A server whose replies are those of ours, altered by `change`."""

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


@contextmanager
def serving_elsewhere(simulator: Simulator) -> Iterator[tuple[str, Elsewhere]]:
    """Address and handler of a server with altered replies."""
    with ThreadPoolExecutor(1) as pool:
        handler = Elsewhere(simulator)
        server = grpc.server(pool, [handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"grpc://127.0.0.1:{port}", handler
        server.stop(None).wait()


def put(field: str, value: Any) -> Change:
    """A change that sets a field, or `hits.` field, to a value, or to a function of its old value."""

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
    """A function that decodes bytes as an array, applies `change`, and encodes them again."""

    def changed(data: bytes) -> bytes:
        array = np.frombuffer(data, dtype).copy()
        change(array)
        return array.tobytes()

    return changed


def set_item(index: int, value: int) -> Callable[[np.ndarray], object]:
    return lambda array: array.__setitem__(index, value)


#: The requested output, the altered field of the reply, its new value, and the message of the client in C++.
BROKEN: list[tuple[str, str, Any, str]] = [
    ("channels", "seed", 8, "it belongs to another request"),
    ("channels", "first_row", 1, "it belongs to another request"),
    ("channels", "shape", [44], "its shape differs from the model's"),
    ("channels", "particle", lambda old: old[:-1], "particle is truncated"),
    ("channels", "particle", lambda old: old[:-4], f"it has {N - 1} rows instead of {N}"),
    ("channels", "particle", lambda old: 2 * old, f"it has {2 * N} rows instead of {N}"),
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
    ("hits", "hits.offsets", numbers("<u8", set_item(1, 2**64 - 1)), "hits.offsets decrease"),
    ("hits", "hits.fibre", lambda old: old[:-1], "hits.fibre has"),
    ("hits", "hits.fibre", bytes(2 * (N * FIBRES + 1)), "there are more hits than fibres"),
    ("hits", "hits.fibre", numbers("<u2", set_item(0, FIBRES)), "hits.fibre names a fibre"),
    ("hits", "hits.photons", lambda old: old * 2, "hits.photons has"),
]
