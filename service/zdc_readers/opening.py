"""Open files of bytes, compressed or not, with their position on the disk."""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import zstandard
from zdc_common.errors import FileFormatError

#: Compressed bytes that are decompressed at a time. Zstandard, the strongest, expands them at most 2^15 times.
_PACKED_BYTES = 2048
#: Limit for the dictionary of xz [bytes]; the program xz needs 64 MiB for its highest setting, -9.
_XZ_MEMORY = 256 << 20


class _Decompressor(Protocol):
    """A decompressor of one stream, as zlib, bz2, lzma and zstandard provide it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


#: First bytes of compressed files, name of the format, and its decompressor.
_PACKED: dict[bytes, tuple[str, Callable[[], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda: zlib.decompressobj(wbits=31)),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\x00": ("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)),
    b"\x28\xb5\x2f\xfd": ("Zstandard", lambda: zstandard.ZstdDecompressor().decompressobj()),
}
_ERRORS = (OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError, MemoryError)


class _Unpacked(io.RawIOBase):
    """The content of a compressed file, which may consist of several streams one after the other.

    Raises
    ------
    FileFormatError : while reading: a stream is damaged, truncated, or followed by other data.
    """

    def __init__(self, raw: IO[bytes], kind: str, new: Callable[[], _Decompressor]):
        self._raw = raw
        self._kind = kind
        self._new = new
        self._decompressor = new()
        self._begun = False  # whether the current stream has got bytes
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer and return the number of bytes, 0 at the end, as `io.RawIOBase` requires."""
        while not self._unpacked:
            packed = self._raw.read(_PACKED_BYTES)
            if not packed:
                if self._begun:
                    raise FileFormatError(f"the {self._kind} stream is truncated")
                return 0
            self._unpacked = memoryview(self._unpack(packed))
        size = min(len(buffer), len(self._unpacked))
        buffer[:size] = self._unpacked[:size]
        self._unpacked = self._unpacked[size:]
        return size

    def _unpack(self, packed: bytes) -> bytes:
        pieces = []
        while packed:
            if not self._begun and not packed.strip(b"\x00"):
                break  # tapes and block devices append zeros
            self._begun = True
            try:
                pieces.append(self._decompressor.decompress(packed))
            except _ERRORS as error:
                raise FileFormatError(f"the {self._kind} stream is damaged ({error})") from error
            packed = b""
            if self._decompressor.eof:
                packed = self._decompressor.unused_data
                self._decompressor, self._begun = self._new(), False
        return b"".join(pieces)


@contextmanager
def open_bytes(path: Path) -> Iterator[tuple[io.BufferedReader, IO[bytes]]]:
    """The decompressed content of a file as a stream, and the file itself, whose position shows the progress.

    The file's first bytes tell the compression, not its name: some programs decompress a download but keep the name.

    Raises
    ------
    FileFormatError : while reading: a compressed file is damaged. The message does not name the file.
    """
    with path.open("rb") as raw:
        head = raw.read(8)
        raw.seek(0)
        for magic, (kind, new) in _PACKED.items():
            if head.startswith(magic):
                yield io.BufferedReader(_Unpacked(raw, kind, new), 1 << 17), raw
                return
        yield raw, raw
