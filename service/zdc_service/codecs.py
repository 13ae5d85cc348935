"""Encode results as JSON, npz, npy and raw bytes, compressed or not."""

import io
import json
import math
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import orjson
import zstandard
from numpy.typing import NDArray
from zdc_common.errors import NotAcceptableError, cut, excerpt

from zdc_service.simulation import Output, SimulationResult

JSON, NPZ, NPY, RAW, ARRAYS = (
    "application/json",
    "application/x-npz",
    "application/x-npy",
    "application/octet-stream",
    "application/x-zdc-arrays",
)
#: Header that lists the arrays of `RAW` and `ARRAYS` as ``name;type;shape``, in the order of the body.
ARRAYS_HEADER = "X-Zdc-Arrays"
ZSTD = "zstd"

_ZSTD_LEVEL = 1  # compresses a response tenfold in 8 us; higher levels take longer than the model
_SMALLEST_COMPRESSED = 1024
_NATIVE = sys.byteorder == "little"

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Form:
    """The format of a reply.

    Attributes
    ----------
    media_type : One of the media types above.
    floats : Whether counts are written as float32.
    """

    media_type: str
    floats: bool = False


@dataclass(frozen=True)
class Encoded:
    """Body and headers of a reply; the headers repeat the scalars of the result."""

    body: "bytes | memoryview[Any]"
    headers: dict[str, str]


@lru_cache(maxsize=256)
def choose_form(accept: str | None) -> Form:
    """The format that an Accept header prefers; JSON if it has no preference.

    ``dtype=float32`` after one of the binary media types requests floats instead of integers.

    Raises
    ------
    NotAcceptableError : the header accepts none of the formats, or has another dtype.
    """
    ranges: dict[str, tuple[float, int]] = {}
    dtypes: dict[str, str] = {}
    for place, item in enumerate((accept or "*/*").split(",")):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        named = dict(parameter.partition("=")[::2] for parameter in parameters)
        ranges.setdefault(media, (_quality(named.get("q", "1")), -place))
        dtypes.setdefault(media, named.get("dtype", ""))

    def preference(media: str) -> tuple[float, int]:
        return next((ranges[name] for name in (media, "application/*", "*/*") if name in ranges), (0.0, 0))

    best = max(_ENCODERS, key=preference)  # among equals the earlier in the header, then JSON
    if not preference(best)[0] > 0:
        raise NotAcceptableError(f"cannot answer as {excerpt(accept)}; accept one of {', '.join(_ENCODERS)}")
    dtype = dtypes.get(best, "")
    if dtype not in ("", "float32") or (dtype and best == JSON):
        raise NotAcceptableError(
            f"cannot answer as {best} with dtype={cut(dtype)}; binary forms have dtype=float32 or none"
        )
    return Form(best, dtype == "float32")


def _quality(text: str) -> float:
    try:
        return max(0.0, float(text))  # NaN becomes 0
    except ValueError:
        return 0.0


def check_form(form: Form, output: Output) -> None:
    """Raise NotAcceptableError if the format cannot represent the output."""
    if form.media_type == NPY and output is Output.HITS:
        raise NotAcceptableError(f"{NPY} carries one array and hits are three; accept {NPZ}, {ARRAYS}, {RAW} or {JSON}")


def encode(result: SimulationResult, form: Form) -> Encoded:
    """Encode a result in a format.

    - JSON: an object with the fields of `SimulationResult`, arrays as nested lists.
    - npz: the arrays of `arrays_of` by name, scalars as 0-d arrays, counts by reason as JSON text. Not compressed.
    - npy: the array ``response``, or ``channels`` if that is the output.
    - octet-stream: the same array, or the three arrays of hits one after the other, little-endian in C order.
    - zdc-arrays: all arrays of `arrays_of`, likewise.

    The header `ARRAYS_HEADER` lists the arrays of the last two formats; zdc-arrays also has headers with the shape of
    the face and the names of the channels.
    """
    arrays: Arrays = arrays_of(result)
    if form.floats:
        photons = ("response", "channels", "hits_photons")
        arrays = {name: a.astype(np.float32) if name in photons else a for name, a in arrays.items()}
    headers = _headers(result) | {"Content-Type": form.media_type}
    if form.media_type == RAW:
        arrays = {name: arrays[name] for name in _main(arrays)}
    if form.media_type == ARRAYS:
        headers["X-Zdc-Shape"] = ",".join(map(str, result.shape))
        headers["X-Zdc-Channels"] = ",".join(result.channel_names)
    if form.media_type in (RAW, ARRAYS):
        headers[ARRAYS_HEADER] = ", ".join(_described(name, array) for name, array in arrays.items())
    return Encoded(_ENCODERS[form.media_type](result, arrays), headers)


def compress(body: "bytes | memoryview[Any]") -> bytes | None:
    """Compress a body to one Zstandard frame; None if the body is too small to benefit."""
    if len(body) < _SMALLEST_COMPRESSED:
        return None
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)


def arrays_of(result: SimulationResult) -> dict[str, NDArray[np.generic]]:
    """The arrays of a result by name: first those of its output, then ``channels``, ``particle`` and ``side``."""
    arrays: dict[str, NDArray[np.generic]] = {}
    if result.response is not None:
        arrays["response"] = result.response
    if result.hits is not None:
        arrays |= result.hits.as_arrays("hits_")
    return arrays | {"channels": result.channels, "particle": result.particle, "side": result.side}


def split_arrays(body: "bytes | memoryview[Any]", listed: str) -> dict[str, NDArray[Any]]:
    """The arrays of a body, as listed by `ARRAYS_HEADER`, without a copy; raises ValueError if the sizes differ."""
    arrays, at = {}, 0
    for item in listed.split(", "):
        name, kind, shape_text = item.split(";")
        shape, dtype = [int(n) for n in shape_text.split(",")], np.dtype(kind)
        count = math.prod(shape)
        arrays[name] = np.frombuffer(body, dtype, count, at).reshape(shape)
        at += count * dtype.itemsize
    if at != len(body):
        raise ValueError(f"{len(body)} bytes, but {listed} has {at}")
    return arrays


def _main(arrays: Arrays) -> tuple[str, ...]:
    """Names of the arrays of the requested output."""
    for names in (("response",), ("hits_offsets", "hits_fibre", "hits_photons")):
        if names[0] in arrays:
            return names
    return ("channels",)


def _described(name: str, array: NDArray[np.generic]) -> str:
    return f"{name};{_little_endian_name(array.dtype)};{','.join(map(str, array.shape))}"


@cache
def _little_endian_name(dtype: np.dtype[np.generic]) -> str:
    return dtype.newbyteorder("<").str.replace("|S1", "S1")


def _to_json(result: SimulationResult, _arrays: Arrays) -> bytes:
    body = {
        "model": result.model,
        "version": result.version,
        "seed": result.seed,
        "first_row": result.first_row,
        "repeats": result.repeats,
        "finish": result.finish.value,
        "frame": result.frame.value,
        "shape": result.shape,
        "channel_names": result.channel_names,
        "particle": result.particle,
        "side": result.side.astype("U1").tolist(),
        "channels": result.channels,
        "skipped": result.skipped,
        "extrapolated": result.extrapolated,
    }
    if result.response is not None:
        body["response"] = result.response
    if result.hits is not None:
        body["hits"] = result.hits.as_arrays()
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _to_npz(result: SimulationResult, arrays: Arrays) -> bytes:
    scalars: dict[str, NDArray[np.generic]] = {
        "model": np.array(result.model),
        "version": np.array(result.version),
        "seed": np.array(result.seed),
        "first_row": np.array(result.first_row, dtype=np.uint64),
        "repeats": np.array(result.repeats),
        "finish": np.array(result.finish.value),
        "frame": np.array(result.frame.value),
        "shape": np.array(result.shape),
        "channel_names": np.array(result.channel_names),
        "skipped": np.array(json.dumps(result.skipped)),
        "extrapolated": np.array(json.dumps(result.extrapolated)),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # numpy.savez would write the current time into it
        for name, array in (scalars | dict(arrays)).items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def _to_npy(_result: SimulationResult, arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(arrays[_main(arrays)[0]]), allow_pickle=False)
    return buffer.getvalue()


def _to_bytes(_result: SimulationResult, arrays: Arrays) -> "bytes | memoryview[Any]":
    parts = [little_endian(array) for array in arrays.values()]
    return parts[0] if len(parts) == 1 else b"".join(parts)


def little_endian(array: NDArray[np.generic]) -> "memoryview[Any]":
    """The values of an array as bytes, little-endian in C order; without a copy if the array has this layout."""
    if not (_NATIVE and array.dtype.isnative and array.flags.c_contiguous):
        array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    return array.reshape(-1).view(np.uint8).data


def _headers(result: SimulationResult) -> dict[str, str]:
    headers = {
        "X-Zdc-Model": result.model,
        "X-Zdc-Version": str(result.version),
        "X-Zdc-Seed": str(result.seed),
        "X-Zdc-First-Row": str(result.first_row),
        "X-Zdc-Repeats": str(result.repeats),
        "X-Zdc-Finish": result.finish.value,
        "X-Zdc-Frame": result.frame.value,
    }
    if result.skipped:
        headers["X-Zdc-Skipped"] = json.dumps(result.skipped)
    if result.extrapolated:
        headers["X-Zdc-Extrapolated"] = json.dumps(result.extrapolated)
    return headers


_ENCODERS: dict[str, Callable[[SimulationResult, Arrays], "bytes | memoryview[Any]"]] = {
    JSON: _to_json,
    NPZ: _to_npz,
    NPY: _to_npy,
    RAW: _to_bytes,
    ARRAYS: _to_bytes,
}
