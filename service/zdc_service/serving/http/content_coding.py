"""Decompression of request bodies by their Content-Encoding, with a limit on their size."""

import zlib

import zstandard
from zdc_common.errors import InvalidInputError, TooLargeError, UnsupportedMediaError, excerpt
from zdc_common.words import counted

from zdc_service.codecs import ZSTD

IDENTITY = "identity"

#: The `wbits` argument of zlib for each coding that zlib reads.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
#: Maximum window size of a Zstandard frame in HTTP (RFC 9659).
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024


def coding_of(content_encoding: str | None) -> str:
    """The coding of a body from the header Content-Encoding; `IDENTITY` if there is no such header."""
    return IDENTITY if content_encoding is None else content_encoding.strip().lower() or IDENTITY


def unpacked(body: bytes, coding: str, limit: int) -> bytes:
    """Decompress a body; `coding` comes from `coding_of`.

    The compressed data must be exactly one complete gzip member, zlib stream or Zstandard frame. Data that end early
    or have more bytes after their end are refused, because particles could be lost without notice.

    Raises
    ------
    UnsupportedMediaError : the coding is not supported.
    InvalidInputError : the data are incomplete, damaged, or have more bytes after their end.
    TooLargeError : the decompressed body has more than `limit` bytes.
    """
    if coding == IDENTITY:
        return body
    if coding == ZSTD:
        return _from_zstd(body, limit)
    if coding in _WINDOW_BITS:
        return _from_zlib(body, coding, limit)
    raise UnsupportedMediaError(
        f"Content-Encoding {excerpt(coding)} is not supported; send {ZSTD}, gzip or deflate, or an uncompressed body"
    )


def _from_zlib(body: bytes, coding: str, limit: int) -> bytes:
    decoder = zlib.decompressobj(_WINDOW_BITS[coding])
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInputError(f"the body is not {coding} data: {error}") from error
    if len(plain) > limit:
        raise _too_large(limit)
    if not decoder.eof:
        raise InvalidInputError(f"the body is not complete {coding} data: it ends too early")
    if decoder.unused_data:
        raise _trailing_data(coding, len(decoder.unused_data))
    return plain


def _from_zstd(body: bytes, limit: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    try:
        size = zstandard.get_frame_parameters(body).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            return _from_zstd_of_unknown_size(decoder, body, limit)
        if size > limit:  # check first: decompress allocates this much memory
            raise _too_large(limit)
        return bytes(decoder.decompress(body, allow_extra_data=False))
    except zstandard.ZstdError as error:
        raise InvalidInputError(f"the body must be one complete Zstandard frame: {error}") from error


def _from_zstd_of_unknown_size(decoder: zstandard.ZstdDecompressor, body: bytes, limit: int) -> bytes:
    """Decompress twice: `stream_reader` takes a limit, and only `decompressobj` tells whether the frame is complete."""
    if len(decoder.stream_reader(body).read(limit + 1)) > limit:
        raise _too_large(limit)
    frame = decoder.decompressobj()
    plain = bytes(frame.decompress(body))
    if not frame.eof:
        raise zstandard.ZstdError("it ends too early")
    if frame.unused_data:
        raise _trailing_data(ZSTD, len(frame.unused_data))
    return plain


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the decompressed body has more than {limit} bytes; split the particles")


def _trailing_data(coding: str, size: int) -> InvalidInputError:
    more = counted(size, "more byte")
    return InvalidInputError(f"the body has {more} after the end of its {coding} data; compress it as one piece")
