"""Results as JSON, npz and raw bytes."""

import io
import json

import numpy as np
import pytest
import zstandard
from helpers.models.tiny_model import some_particles
from zdc_common.errors import NotAcceptableError
from zdc_service.codecs import (
    ARRAYS,
    ARRAYS_HEADER,
    JSON,
    NPY,
    NPZ,
    RAW,
    Form,
    arrays_of,
    check_form,
    choose_form,
    compress,
    encode,
    split_arrays,
)
from zdc_service.simulating.simulator import Simulator
from zdc_service.simulation import OutOfRange, Output, SimulationRequest, SimulationResult


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
def test_the_accept_header_selects_the_format(accept: str | None, chosen: str) -> None:
    assert choose_form(accept) == Form(chosen)


def test_dtype_requests_floats() -> None:
    assert choose_form(f"{RAW};dtype=float32") == Form(RAW, floats=True)
    assert choose_form(f"{JSON};q=0.1, {ARRAYS}; dtype=float32; q=0.5") == Form(ARRAYS, floats=True)
    with pytest.raises(NotAcceptableError, match="dtype=float64; binary forms have dtype=float32"):
        choose_form(f"{RAW};dtype=float64")
    with pytest.raises(NotAcceptableError, match="cannot answer as application/json with dtype=float32"):
        choose_form(f"{JSON};dtype=float32")


@pytest.mark.parametrize("accept", ["text/html", "image/png, text/*", f"{JSON};q=0"])
def test_unknown_formats_are_refused(accept: str) -> None:
    with pytest.raises(NotAcceptableError, match="accept one of application/json, application/x-npz"):
        choose_form(accept)


def test_npy_refuses_hits_and_names_the_remedy() -> None:
    with pytest.raises(NotAcceptableError, match=f"accept {NPZ}, {ARRAYS}, {RAW} or {JSON}"):
        check_form(Form(NPY), Output.HITS)
    check_form(Form(NPY), Output.CHANNELS)


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("output", Output)
def test_json_and_npz_have_all_fields(simulator: Simulator, output: Output, rates: bool) -> None:
    result = simulate(simulator, output, rates)
    body = json.loads(bytes(encode(result, Form(JSON)).body))
    arrays = np.load(io.BytesIO(encode(result, Form(NPZ)).body), allow_pickle=False)
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


MAIN = {
    Output.RESPONSE: ["response"],
    Output.CHANNELS: ["channels"],
    Output.HITS: ["hits_offsets", "hits_fibre", "hits_photons"],
}


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("output", Output)
def test_bytes_with_their_list(simulator: Simulator, output: Output, rates: bool, floats: bool) -> None:
    result = simulate(simulator, output, rates)
    for media_type, names in ((RAW, MAIN[output]), (ARRAYS, list(arrays_of(result)))):
        encoded = encode(result, Form(media_type, floats))
        arrays = split_arrays(encoded.body, encoded.headers[ARRAYS_HEADER])
        assert list(arrays) == names
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, arrays_of(result)[name])
            counted = name in ("response", "channels", "hits_photons")
            assert array.dtype == (np.float32 if counted and (floats or rates) else arrays_of(result)[name].dtype)
        assert (encoded.headers["X-Zdc-Seed"], encoded.headers["X-Zdc-Finish"]) == ("2", "none" if rates else "poisson")
        assert encoded.headers.get("X-Zdc-Shape") == ("44,44" if media_type == ARRAYS else None)
        assert encoded.headers["Content-Type"] == media_type


@pytest.mark.parametrize("output", [Output.RESPONSE, Output.CHANNELS])
def test_npy_is_the_requested_array(simulator: Simulator, output: Output) -> None:
    result = simulate(simulator, output)
    array = np.load(io.BytesIO(encode(result, Form(NPY)).body), allow_pickle=False)
    np.testing.assert_array_equal(array, arrays_of(result)[MAIN[output][0]])


def test_long_bodies_are_compressed() -> None:
    body = bytes(5000)
    packed = compress(body)
    assert packed is not None
    assert len(packed) < 100
    assert zstandard.decompress(packed) == body
    assert compress(bytes(100)) is None


def test_npz_bytes_are_reproducible(simulator: Simulator) -> None:
    assert encode(simulate(simulator), Form(NPZ)).body == encode(simulate(simulator), Form(NPZ)).body
