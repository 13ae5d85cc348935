"""Bodies with a Content-Encoding: complete ones are decompressed, others refused, and none exceeds the limit."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from zdc_common.errors import InvalidInputError, TooLargeError, UnsupportedMediaError
from zdc_service.serving.http.content_coding import coding_of, unpacked

BODY = b"particle" * 125


def zstd_of_unknown_size(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(body)


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("zstd", zstandard.compress),
    ("zstd", zstd_of_unknown_size),
]


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
def test_complete_bodies(coding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(BODY)
    assert unpacked(packed, coding, len(BODY)) == BODY
    assert unpacked(pack(b""), coding, 10) == b""
    with pytest.raises(TooLargeError, match="the decompressed body has more than 999 bytes"):
        unpacked(packed, coding, 999)


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
def test_incomplete_bodies(coding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(BODY)
    for end in range(len(packed)):
        with pytest.raises(InvalidInputError, match=r"the body (is|must be) "):
            unpacked(packed[:end], coding, 10_000)
    for more in (b"x", bytes(8), packed, pack(b"more")):
        with pytest.raises(InvalidInputError, match=f"{len(more)} (more bytes? after|bytes of unused data)"):
            unpacked(packed + more, coding, 10_000)


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
def test_bombs(coding: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        unpacked(bomb, coding, 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


def test_frames_that_look_back_too_far() -> None:
    """Each would allocate its window, 64 MiB here and up to 2 GiB."""
    far = zstandard.ZstdCompressionParameters(window_log=26, write_content_size=False)
    stream = zstandard.ZstdCompressor(compression_params=far).compressobj()  # which does not know how little will come
    packed = stream.compress(BODY) + stream.flush()
    assert zstandard.get_frame_parameters(packed).window_size == 2**26
    with pytest.raises(InvalidInputError, match="Frame requires too much memory for decoding"):
        unpacked(packed, "zstd", 1_000_000)


def test_a_frame_that_says_too_little() -> None:
    """The body costs neither the time nor the memory of its full size."""
    bomb = bytearray(zstandard.compress(bytes(50_000_000)))
    assert zstandard.get_frame_parameters(bytes(bomb)).content_size == 50_000_000
    bomb[6:10] = (1000).to_bytes(4, "little")
    assert zstandard.get_frame_parameters(bytes(bomb)).content_size == 1000
    with pytest.raises(InvalidInputError, match="one complete Zstandard frame"):
        unpacked(bytes(bomb), "zstd", 1_000_000)


def test_names() -> None:
    assert [coding_of(header) for header in (None, "", " GZIP ", "identity")] == [
        "identity",
        "identity",
        "gzip",
        "identity",
    ]
    assert unpacked(BODY, "identity", 10_000) is BODY
    for name in ("br", "gzip, zstd", "x" * 10_000):
        with pytest.raises(UnsupportedMediaError, match="is not supported; send zstd, gzip or deflate") as caught:
            unpacked(BODY, name, 10_000)
        assert len(str(caught.value)) < 250
