"""The C++ client with invalid replies: a clear error, and no access outside the buffers."""

from collections.abc import Iterator

import pytest
from helpers.callers.cpp_build import PARTICLES, TINY, BuiltClient, built_client, needs_tools
from helpers.servers.altered_replies import BROKEN, Elsewhere, put, serving_elsewhere
from zdc_service.messages import simulation_pb2 as pb
from zdc_service.simulating.simulator import Simulator

pytestmark = [pytest.mark.slow, needs_tools]

BREAKS = "the server's reply is invalid: "


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> BuiltClient:
    return built_client(tmp_path_factory)


@pytest.fixture(scope="module")
def elsewhere(simulator: Simulator) -> Iterator[tuple[str, Elsewhere]]:
    with serving_elsewhere(simulator) as serving:
        yield serving


@pytest.mark.parametrize(("output", "field", "value", "words"), BROKEN)
def test_invalid_replies_are_errors(
    cpp: BuiltClient, elsewhere: tuple[str, Elsewhere], output: str, field: str, value: object, words: str
) -> None:
    address, handler = elsewhere
    handler.change = put(field, value)
    said = cpp.call(address, PARTICLES, seed=7, output=output, **TINY).said
    assert (said["error"], said["code"], said["kind"]) == ("Error", "13", "internal")
    assert said["message"].startswith(BREAKS + words)


def test_a_shape_larger_than_any_memory_is_an_error(cpp: BuiltClient, elsewhere: tuple[str, Elsewhere]) -> None:
    address, handler = elsewhere
    handler.change = put("shape", [2**32 - 1, 2**32 - 1])
    said = cpp.call(address, PARTICLES, seed=7, **TINY).said
    assert (said["error"], said["needed"]) == ("BufferError", str(2**64 - 1))


def test_rates_need_buffers_of_floats(cpp: BuiltClient, elsewhere: tuple[str, Elsewhere]) -> None:
    address, handler = elsewhere
    handler.change = put("photon_type", pb.ELEMENT_TYPE_FLOAT32)
    said = cpp.call(address, PARTICLES, seed=7, **TINY).said
    assert said["message"] == "this model returns rates, which are float32; use FloatBuffers"


def test_a_stream_that_ends_early_is_retried(cpp: BuiltClient, elsewhere: tuple[str, Elsewhere]) -> None:
    address, handler = elsewhere
    handler.change = put("last", False)
    said = cpp.call(address, PARTICLES, seed=7, output="channels", max_attempts=1, **TINY).said
    assert said["error"] == "NotReadyError"
    assert "the server ended the stream before the last reply" in said["message"]
