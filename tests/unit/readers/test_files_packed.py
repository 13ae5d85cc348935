"""Compressed files (gzip, bzip2, xz, Zstandard), recognised from their content."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from zdc_common.errors import FileFormatError
from zdc_readers import open_particles

TABLE = b"pdg,px,py,pz\n" + b"2112,0,0,1000\n" * 2000
EVENTS = (Path(__file__).parents[2] / "data" / "events_excerpt.hepmc3.gz").read_bytes()


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


packed = pytest.mark.parametrize(
    ("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zstd)]
)
Pack = Callable[[bytes], bytes]


def rows(path: Path, content: bytes) -> int:
    path.write_bytes(content)
    return sum(len(block.particles) for block in open_particles(path))


@packed
def test_several_compressed_streams_are_joined(tmp_path: Path, ending: str, pack: Pack) -> None:
    whole = pack(TABLE) + pack(b"2112,0,0,1000\n")
    assert rows(tmp_path / f"a.csv.{ending}", whole) == 2001
    assert rows(tmp_path / "a.csv", whole + bytes(512)) == 2001  # named like an uncompressed file; zeros pad the block
    assert rows(tmp_path / f"b.csv.{ending}", TABLE) == 2000


@packed
def test_a_damaged_stream_is_refused(tmp_path: Path, ending: str, pack: Pack) -> None:
    whole = pack(TABLE)
    path = tmp_path / f"a.csv.{ending}"
    for content in (whole[:-3], whole + pack(TABLE)[:-9]):
        with pytest.raises(FileFormatError, match=r"a\.csv\..*: after line \d+: the \w+ stream is truncated; write"):
            rows(path, content)
    with pytest.raises(FileFormatError, match=r"the \w+ stream is damaged \(.*\); write the file again"):
        rows(path, whole + b"something else behind it")


@packed
def test_events_are_counted_to_where_a_stream_ends(tmp_path: Path, ending: str, pack: Pack) -> None:
    whole = pack(gzip.decompress(EVENTS))
    path = tmp_path / f"a.hepmc3.{ending}"
    assert rows(path, whole) == rows(tmp_path / "b.hepmc3.gz", EVENTS) > 5
    with pytest.raises(
        FileFormatError, match=r"after \d+ events: the \w+ stream is truncated|: the \w+ stream is truncated"
    ):
        rows(path, whole[:-50])


def test_a_decompression_bomb_is_refused_early(tmp_path: Path) -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    bomb = b"".join(packer.compress(bytes(1 << 24)) for _ in range(20)) + packer.flush()
    with pytest.raises(FileFormatError, match=r"after line 1: a line of more than \d+ characters"):
        rows(tmp_path / "a.csv.zst", bomb)
    with pytest.raises(FileFormatError, match=r"an event or a line has more than 256 MiB"):
        rows(tmp_path / "a.hepmc3.zst", bomb)
