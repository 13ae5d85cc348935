"""Fields of a protobuf message put together from buffers: their bytes are copied once, into the message.

https://protobuf.dev/programming-guides/encoding: a field of bytes is its number and type as a varint, its length as
a varint, and the bytes. Fields come in any order, so that they can be appended to a serialized message.
"""

from functools import lru_cache
from typing import Any

_LENGTH_DELIMITED = 2


def bytes_field(number: int, *parts: "bytes | memoryview[Any]") -> "list[bytes | memoryview[Any]]":
    """A field of type bytes, string or message whose content is the parts one after the other; to be joined."""
    size = sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in parts)
    return [_varint(number << 3 | _LENGTH_DELIMITED) + _varint(size), *parts]


def varint_field(number: int, value: int) -> list[bytes]:
    """A field of an unsigned integer type; to be joined."""
    return [_varint(number << 3), _varint(value)]


@lru_cache(maxsize=1024)
def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
