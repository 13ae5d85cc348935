"""Results as JSON, npz and raw bytes."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray
from zdc_detector.errors import NotAcceptableError

from zdc_service.simulation import Output, SimulationResult

JSON, NPZ, RAW = "application/json", "application/x-npz", "application/octet-stream"


@dataclass(frozen=True)
class Encoded:
    """A reply's body, its media type, and its scalars once more as headers."""

    body: bytes
    media_type: str
    headers: Mapping[str, str]


def choose_encoding(accept: str | None) -> str:
    """The media type that an Accept header likes best among ours; JSON where it has no preference.

    Raises
    ------
    NotAcceptableError : none of ours is accepted.
    """
    ranges: dict[str, tuple[float, int]] = {}
    for place, item in enumerate((accept or "*/*").split(",")):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((_quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        ranges.setdefault(media, (quality, -place))

    def liking(media: str) -> tuple[float, int]:
        return next((ranges[name] for name in (media, "application/*", "*/*") if name in ranges), (0.0, 0))

    best = max(_ENCODERS, key=liking)  # the earlier in the header among equals, and then JSON
    if not liking(best)[0] > 0:
        raise NotAcceptableError(f"cannot answer as {accept}; accept one of {', '.join(_ENCODERS)}")
    return best


def _quality(text: str) -> float:
    try:
        return max(0.0, float(text))  # nan is 0
    except ValueError:
        return 0.0


def check_encoding(media_type: str, output: Output) -> None:
    """Raise NotAcceptableError for outputs that a media type cannot carry."""
    if media_type == RAW and output is Output.HITS:
        raise NotAcceptableError(f"{RAW} carries one array and hits are three; accept {NPZ} or {JSON}")


def encode(result: SimulationResult, media_type: str) -> Encoded:
    """A result as one of our media types.

    - JSON: an object with the fields of `SimulationResult`, arrays as nested lists.
    - npz: the arrays by name (hits as ``hits_offsets``, ``hits_fibre``, ``hits_photons``), scalars as 0-d arrays, the
      counts by reason as JSON text. Not compressed.
    - raw: ``response``, or ``channels`` where there is none, little-endian in C order; shape and type in headers.
    """
    headers = _headers(result) | (_raw_headers(result) if media_type == RAW else {})
    return Encoded(_ENCODERS[media_type](result), media_type, headers)


def _to_json(result: SimulationResult) -> bytes:
    body = {
        "model": result.model,
        "version": result.version,
        "seed": result.seed,
        "first_row": result.first_row,
        "repeats": result.repeats,
        "finish": result.finish.value,
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
        hits = result.hits
        body["hits"] = {"offsets": hits.offsets, "fibre": hits.fibre, "photons": hits.photons}
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _to_npz(result: SimulationResult) -> bytes:
    arrays: dict[str, NDArray[np.generic]] = {
        "model": np.array(result.model),
        "version": np.array(result.version),
        "seed": np.array(result.seed),
        "first_row": np.array(result.first_row, dtype=np.uint64),
        "repeats": np.array(result.repeats),
        "finish": np.array(result.finish.value),
        "shape": np.array(result.shape),
        "channel_names": np.array(result.channel_names),
        "particle": result.particle,
        "side": result.side,
        "channels": result.channels,
        "skipped": np.array(json.dumps(result.skipped)),
        "extrapolated": np.array(json.dumps(result.extrapolated)),
    }
    if result.response is not None:
        arrays["response"] = result.response
    if result.hits is not None:
        hits = result.hits
        arrays |= {"hits_offsets": hits.offsets, "hits_fibre": hits.fibre, "hits_photons": hits.photons}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # numpy.savez writes the time of day into it
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def _to_raw(result: SimulationResult) -> bytes:
    return little_endian(_main_array(result))


def _main_array(result: SimulationResult) -> NDArray[np.generic]:
    return result.channels if result.response is None else result.response


def little_endian(array: NDArray[np.generic]) -> bytes:
    """An array's numbers, little-endian in C order."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _raw_headers(result: SimulationResult) -> dict[str, str]:
    array = _main_array(result)
    return {"X-Zdc-Shape": ",".join(map(str, array.shape)), "X-Zdc-Dtype": array.dtype.newbyteorder("<").str}


def _headers(result: SimulationResult) -> dict[str, str]:
    return {
        "X-Zdc-Model": result.model,
        "X-Zdc-Version": str(result.version),
        "X-Zdc-Seed": str(result.seed),
        "X-Zdc-First-Row": str(result.first_row),
        "X-Zdc-Repeats": str(result.repeats),
        "X-Zdc-Finish": result.finish.value,
        "X-Zdc-Skipped": json.dumps(result.skipped),
        "X-Zdc-Extrapolated": json.dumps(result.extrapolated),
    }


_ENCODERS: dict[str, Callable[[SimulationResult], bytes]] = {JSON: _to_json, NPZ: _to_npz, RAW: _to_raw}
