"""One part of a job: its particles, and the encoding of its rows as bytes.

The bytes are a line of JSON (`PartHead`), then one record per block of rows: its length in eight bytes, little endian,
and a Zstandard frame with a checksum. A frame has a line of JSON that lists the arrays, then the arrays. Photon counts
are stored as hits, from which `read_rows` restores the responses.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import zstandard
from numpy.typing import NDArray
from pydantic import ValidationError
from zdc_common.errors import FileFormatError
from zdc_common.frozen import Frozen
from zdc_detector.hits import Hits, to_hits
from zdc_detector.particles import CONDITIONS, Particles

from zdc_service.bulk.job import BulkJob
from zdc_service.client import Chunk, Client
from zdc_service.simulation import Output
from zdc_service.writers import Rows

_LENGTH = struct.Struct("<Q")
_LEVEL = 1
_COLUMN = "column:"


@dataclass(frozen=True)
class Part:
    """Particles with all or some of their repeats.

    Attributes
    ----------
    number : Number of the part in the job, from 0.
    particles : N particles.
    columns : ``event`` and ``barcode`` of the particles, if the source has them, each of shape (N,).
    first_particle : Number of the first particle in the job.
    first_repeat, repeats : First repeat, and number of repeats, of each particle; all repeats, unless the part is one
        particle.
    """

    number: int
    particles: Particles
    columns: Mapping[str, NDArray[np.int64]]
    first_particle: int
    first_repeat: int
    repeats: int


class PartHead(Frozen):
    """The first line of a part.

    Attributes
    ----------
    job : `BulkJob.digest` of the job.
    number : Number of the part.
    particles : Number of particles whose first repeat is in this part.
    asked : Number of requested rows, including those of skipped particles.
    rows, empty : Number of rows, and of rows without a photon.
    records : Number of blocks of rows.
    skipped, extrapolated : Number of particles outside the training range, by reason; each particle is counted in the
        part with its first repeat.
    """

    job: str
    number: int
    particles: int
    asked: int
    rows: int
    empty: int
    records: int
    skipped: dict[str, int]
    extrapolated: dict[str, int]


def simulate_part(client: Client, job: BulkJob, part: Part) -> bytes:
    """Simulate a part, and encode its rows as bytes.

    Raises
    ------
    ZdcError : as in `Client.simulate`; particles are numbered within the part.
    """
    chunks = client.simulate(
        part.particles,
        seed=job.seed,
        repeats=part.repeats,
        output=job.output,
        out_of_range=job.out_of_range,
        first_row=job.first_row + part.first_particle * job.repeats + part.first_repeat,
        model=job.model,
        version=job.version,
        rates=job.rates,
    )
    records, rows, empty = [], 0, 0
    skipped: Counter[str] = Counter()
    extrapolated: Counter[str] = Counter()
    for chunk in chunks:
        records.append(_encode(_rows_of(chunk, part)))
        rows += len(chunk.row)
        empty += int(np.count_nonzero(~chunk.channels.any(axis=1)))
        if part.first_repeat == 0:
            skipped.update(chunk.skipped)
            extrapolated.update(chunk.extrapolated)
    head = PartHead(
        job=job.digest,
        number=part.number,
        particles=len(part.particles) if part.first_repeat == 0 else 0,
        asked=len(part.particles) * part.repeats,
        rows=rows,
        empty=empty,
        records=len(records),
        skipped=skipped,
        extrapolated=extrapolated,
    )
    framed = (_LENGTH.pack(len(record)) + record for record in records)
    return b"".join([head.model_dump_json().encode(), b"\n", *framed])


def no_rows(job: BulkJob, columns: Sequence[str]) -> Rows:
    """Zero rows with the columns and types of the job, for a job without simulated particles.

    Parameters
    ----------
    columns : Names of `Rows.columns`.
    """
    photons = np.float32 if job.rates else np.uint16
    empty = np.zeros(0, dtype=np.int64)
    dense, sparse = job.output is Output.RESPONSE, job.output is Output.HITS
    return Rows(
        particles=Particles(empty, np.zeros((0, len(CONDITIONS)), dtype=np.float32)),
        particle_id=empty,
        row=empty,
        side=np.zeros(0, dtype="S1"),
        channels=np.zeros((0, len(job.calorimeter.channel_names)), dtype=np.float32 if job.rates else np.uint32),
        columns=dict.fromkeys(columns, empty),
        response=np.zeros((0, *job.calorimeter.shape), dtype=photons) if dense else None,
        hits=Hits(np.zeros(1, dtype=np.uint64), np.zeros(0, dtype=np.uint16), np.zeros(0, photons)) if sparse else None,
    )


def read_head(path: Path, file: IO[bytes]) -> PartHead:
    """Read the head of an open part; raises FileFormatError if it is damaged."""
    try:
        return PartHead.model_validate_json(file.readline())
    except ValidationError as error:
        raise _damaged(path, "its first line is invalid") from error


def read_rows(path: Path) -> Iterator[Rows]:
    """The rows of a part, block by block.

    Raises
    ------
    FileFormatError : the part is damaged.
    """
    with path.open("rb") as file:
        for _ in range(read_head(path, file).records):
            length = file.read(_LENGTH.size)
            frame = file.read(_LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else b""
            try:
                yield _decode(zstandard.ZstdDecompressor().decompress(frame))
            except (zstandard.ZstdError, ValueError, KeyError, TypeError) as error:
                raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> FileFormatError:
    return FileFormatError(f"{path}: the part is damaged: {reason}; delete it and run the command again")


def _rows_of(chunk: Chunk, part: Part) -> Rows:
    local = chunk.particle.astype(np.int64)
    return Rows(
        particles=part.particles[local],
        particle_id=local + part.first_particle,
        row=chunk.row,
        side=chunk.side,
        channels=chunk.channels,
        columns={name: values[local] for name, values in part.columns.items()},
        response=chunk.response,
        hits=chunk.hits,
    )


def _encode(rows: Rows) -> bytes:
    arrays: dict[str, NDArray[np.generic]] = {
        "pdg": rows.particles.pdg,
        "conditions": rows.particles.conditions,
        "particle_id": rows.particle_id,
        "row": rows.row,
        "side": rows.side,
        "channels": rows.channels,
        **{f"{_COLUMN}{name}": values for name, values in rows.columns.items()},
    }
    hits, face = rows.hits, None
    if rows.response is not None and rows.response.dtype.kind == "u":  # counts, most of them zero
        hits, face = to_hits(rows.response), rows.response.shape[1:]
    elif rows.response is not None:
        arrays["response"] = rows.response
    if hits is not None:
        arrays |= hits.as_arrays()
    listed = [(name, values.dtype.newbyteorder("<").str, values.shape) for name, values in arrays.items()]
    content = [json.dumps({"arrays": listed, "face": face}).encode() + b"\n", *map(_little_endian, arrays.values())]
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(b"".join(content))


def _little_endian(values: NDArray[np.generic]) -> bytes:
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _decode(content: bytes) -> Rows:
    text, _, body = content.partition(b"\n")
    head = json.loads(text)
    arrays = dict(_arrays(head["arrays"], body))
    hits = Hits(arrays["offsets"], arrays["fibre"], arrays["photons"]) if "fibre" in arrays else None
    response = arrays.get("response")
    if head["face"] is not None and hits is not None:
        response, hits = hits.to_images(head["face"]), None
    return Rows(
        particles=Particles(arrays["pdg"], arrays["conditions"]),
        particle_id=arrays["particle_id"],
        row=arrays["row"],
        side=arrays["side"],
        channels=arrays["channels"],
        columns={name.removeprefix(_COLUMN): values for name, values in arrays.items() if name.startswith(_COLUMN)},
        response=response,
        hits=hits,
    )


def _arrays(listed: Iterable[tuple[str, str, list[int]]], body: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    at = 0
    for name, kind, shape in listed:
        dtype, count = np.dtype(kind), int(np.prod(shape))
        yield name, np.frombuffer(body, dtype, count, at).reshape(shape)
        at += count * dtype.itemsize
