"""Results as JSON, npz and raw bytes."""

import io
import json

import numpy as np
import pytest
from tiny_model import some_particles
from zdc_detector.errors import NotAcceptableError
from zdc_service.codecs import JSON, NPZ, RAW, check_encoding, choose_encoding, encode
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult
from zdc_service.simulator import Simulator


def simulate(simulator: Simulator, output: Output = Output.RESPONSE, rates: bool = False) -> SimulationResult:
    request = SimulationRequest(
        some_particles(7), seed=2, first_row=10, repeats=2, output=output, out_of_range=OutOfRange.SKIP, rates=rates
    )
    return simulator.simulate(request)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/html, */*;q=0.1", JSON),
        (NPZ, NPZ),
        (f"{JSON};q=0.5, {RAW}", RAW),
        (f"{JSON}; q=0.9, {NPZ}; q=1.0", NPZ),
        (f"{NPZ}, {JSON}", NPZ),
        ("Application/X-NPZ", NPZ),
        (f"{JSON};q=0, */*", NPZ),
        (f"{JSON};q=nan, {RAW};q=0.1", RAW),
        (f"*/*;q=0.1, {RAW};q=0.5", RAW),
        (f"{NPZ};q=rubbish, {RAW};q=0.1", RAW),
    ],
)
def test_accept_chooses(accept: str | None, chosen: str) -> None:
    assert choose_encoding(accept) == chosen


@pytest.mark.parametrize("accept", ["text/html", "image/png, text/*", f"{JSON};q=0"])
def test_nothing_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptableError, match="accept one of application/json, application/x-npz"):
        choose_encoding(accept)


def test_raw_refuses_hits_and_names_the_remedy() -> None:
    with pytest.raises(NotAcceptableError, match=f"accept {NPZ} or {JSON}"):
        check_encoding(RAW, Output.HITS)


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("output", Output)
def test_json_and_npz_carry_everything(simulator: Simulator, output: Output, rates: bool) -> None:
    result = simulate(simulator, output, rates)
    body = json.loads(encode(result, JSON).body)
    arrays = np.load(io.BytesIO(encode(result, NPZ).body), allow_pickle=False)
    for found in (body, arrays):
        assert (found["model"], int(found["version"]), int(found["seed"])) == ("tiny", 2, 2)
        assert (int(found["first_row"]), int(found["repeats"])) == (10, 2)
        assert found["finish"] == ("none" if rates else "poisson")
        assert tuple(found["shape"]) == (44, 44)
        assert tuple(found["channel_names"]) == result.channel_names
        np.testing.assert_array_equal(found["particle"], result.particle)
        np.testing.assert_array_equal(np.asarray(found["side"]).astype("S1"), result.side)
        np.testing.assert_array_equal(np.asarray(found["channels"], dtype=result.channels.dtype), result.channels)
        assert ("response" in found) == (output is Output.RESPONSE)
    assert json.loads(str(arrays["skipped"])) == body["skipped"] == {}
    if result.response is not None:
        np.testing.assert_array_equal(np.array(body["response"], dtype=result.response.dtype), result.response)
        np.testing.assert_array_equal(arrays["response"], result.response)
    if result.hits is not None:
        for name in ("offsets", "fibre", "photons"):
            wanted = getattr(result.hits, name)
            np.testing.assert_array_equal(arrays[f"hits_{name}"], wanted)
            np.testing.assert_array_equal(np.array(body["hits"][name], dtype=wanted.dtype), wanted)


@pytest.mark.parametrize("output", [Output.RESPONSE, Output.CHANNELS])
def test_raw_bytes_with_their_headers(simulator: Simulator, output: Output) -> None:
    result = simulate(simulator, output)
    encoded = encode(result, RAW)
    shape = tuple(map(int, encoded.headers["X-Zdc-Shape"].split(",")))
    array = np.frombuffer(encoded.body, dtype=encoded.headers["X-Zdc-Dtype"]).reshape(shape)
    np.testing.assert_array_equal(array, result.response if output is Output.RESPONSE else result.channels)
    assert (encoded.headers["X-Zdc-Seed"], encoded.headers["X-Zdc-Finish"]) == ("2", "poisson")


def test_npz_bytes_are_reproducible(simulator: Simulator) -> None:
    assert encode(simulate(simulator), NPZ).body == encode(simulate(simulator), NPZ).body
