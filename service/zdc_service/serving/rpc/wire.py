"""Builds fields of a protobuf message from buffers, so that their bytes are copied only once.

A field of bytes consists of its number and type as a varint, its length as a varint, and the bytes. Fields may come in
any order, so they can be appended to a serialized message (https://protobuf.dev/programming-guides/encoding).
"""

from functools import lru_cache
from typing import Any

_LENGTH_DELIMITED = 2


def bytes_field(number: int, *parts: "bytes | memoryview[Any]") -> "list[bytes | memoryview[Any]]":
    """The parts of a field of type bytes, string or message, to be joined; its content is `parts` in order."""
    size = sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in parts)
    return [_varint(number << 3 | _LENGTH_DELIMITED) + _varint(size), *parts]


def varint_field(number: int, value: int) -> list[bytes]:
    """The parts of a field of an unsigned integer type, to be joined."""
    return [_varint(number << 3), _varint(value)]


@lru_cache(maxsize=1024)
def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
