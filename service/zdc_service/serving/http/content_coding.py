"""Bodies as they were before their Content-Encoding: whole, and never larger than a limit."""

import zlib

import zstandard
from zdc_common.errors import InvalidInputError, TooLargeError, UnsupportedMediaError, excerpt
from zdc_common.words import counted

from zdc_service.codecs import ZSTD

IDENTITY = "identity"

#: zlib's window bits of the codings that zlib reads.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
#: Most memory in which a Zstandard frame may look back: what RFC 9659 allows in HTTP.
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024


def coding_of(content_encoding: str | None) -> str:
    """The name of a body's coding, by the header Content-Encoding; `IDENTITY` where it has none."""
    return IDENTITY if content_encoding is None else content_encoding.strip().lower() or IDENTITY


def unpacked(body: bytes, coding: str, limit: int) -> bytes:
    """A body without its coding, one of `coding_of`.

    The packed data are one whole gzip member, zlib stream or Zstandard frame: what ends too early, or goes on behind
    its end, would be particles that nobody misses.

    Raises
    ------
    UnsupportedMediaError : a coding that is not read.
    InvalidInputError : no whole data of that coding, or data behind it.
    TooLargeError : more than `limit` bytes.
    """
    if coding == IDENTITY:
        return body
    if coding == ZSTD:
        return _from_zstd(body, limit)
    if coding in _WINDOW_BITS:
        return _from_zlib(body, coding, limit)
    raise UnsupportedMediaError(
        f"Content-Encoding {excerpt(coding)} is not read; send {ZSTD}, gzip or deflate, or the body as it is"
    )


def _from_zlib(body: bytes, coding: str, limit: int) -> bytes:
    decoder = zlib.decompressobj(_WINDOW_BITS[coding])
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInputError(f"the body is not {coding}: {error}") from error
    if len(plain) > limit:
        raise _too_large(limit)
    if not decoder.eof:
        raise InvalidInputError(f"the body is not whole {coding}: it ends too early")
    if decoder.unused_data:
        raise _goes_on(coding, len(decoder.unused_data))
    return plain


def _from_zstd(body: bytes, limit: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    try:
        size = zstandard.get_frame_parameters(body).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            return _from_zstd_of_unknown_size(decoder, body, limit)
        if size > limit:  # so much memory would be taken
            raise _too_large(limit)
        return bytes(decoder.decompress(body, allow_extra_data=False))
    except zstandard.ZstdError as error:
        raise InvalidInputError(f"the body must be one whole Zstandard frame: {error}") from error


def _from_zstd_of_unknown_size(decoder: zstandard.ZstdDecompressor, body: bytes, limit: int) -> bytes:
    """Twice: only one way of the library takes a limit, and only the other one says whether the frame was whole."""
    if len(decoder.stream_reader(body).read(limit + 1)) > limit:
        raise _too_large(limit)
    frame = decoder.decompressobj()
    plain = bytes(frame.decompress(body))
    if not frame.eof:
        raise zstandard.ZstdError("it ends too early")
    if frame.unused_data:
        raise _goes_on(ZSTD, len(frame.unused_data))
    return plain


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body unpacks to more than {limit} bytes; split the particles")


def _goes_on(coding: str, size: int) -> InvalidInputError:
    more = counted(size, "more byte")
    return InvalidInputError(f"the body has {more} behind the end of its {coding} data; pack it as one piece")
