"""Split the text of a HepMC file into events, with their line numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

from zdc_common.errors import FileFormatError

#: Bytes; an event of lead ions has about 10 MB.
LARGEST_EVENT = 256 << 20

_CHUNK = 1 << 20
_MARKS = (b"\nE", b"\nHepMC::")
_LISTING = re.compile(rb"HepMC::(Asciiv3|IO_GenEvent)-(START|END)_EVENT_LISTING\s*\n")
_VERSION = re.compile(rb"HepMC::Version[^\n]*\n")
#: First letters of lines about weights, tools and attributes of the whole run. Lines that begin with # are comments.
_RUN_INFORMATION = (b"W", b"N", b"T", b"A")
_ENDS = (b"HepMC::Asciiv3-END_EVENT_LISTING", b"HepMC::IO_GenEvent-END_EVENT_LISTING")
_KNOWN = "HepMC3 (HepMC::Asciiv3) and HepMC2 (HepMC::IO_GenEvent)"


@dataclass(frozen=True)
class EventText:
    """The text of one event.

    Attributes
    ----------
    text : Its lines, from the line ``E`` on; each ends with a line feed.
    line : Number of its first line in the file, from 1.
    hepmc2 : Whether the name of its listing is that of HepMC2.
    """

    text: bytes
    line: int
    hepmc2: bool


def event_texts(stream: BufferedReader) -> Iterator[EventText]:
    """The events of all listings in a file.

    Raises
    ------
    FileFormatError : the text is not a HepMC listing, or is truncated. The message names the line.
    """
    inside, begun, hepmc2, line = False, False, False, 1
    for piece in _pieces(stream):
        if piece.startswith(b"E"):
            if not inside:
                raise FileFormatError(f"line {line}: an event outside a listing; {_known(begun)}")
            yield EventText(piece, line, hepmc2)
        elif found := _LISTING.match(piece):
            begun, inside, hepmc2 = True, found[2] == b"START", found[1] == b"IO_GenEvent"
            _check_run_information(piece[found.end() :], line + 1, inside)
        elif inside and any(end.startswith(piece.strip()) for end in _ENDS):
            break  # the file is truncated within its last line
        elif piece.startswith(b"HepMC::") and not _VERSION.fullmatch(piece.rstrip() + b"\n"):
            raise FileFormatError(f"line {line}: {_shown(piece)} is an unknown format; known are {_KNOWN}")
        elif not (piece.startswith(b"HepMC::") or _only_notes(piece)):
            raise FileFormatError(f"this is not a HepMC file: it begins with {_shown(piece)}; known are {_KNOWN}")
        line += piece.count(b"\n")
    if not begun:
        raise FileFormatError(
            "the file is empty" if line <= 2 else f"there is no listing of events; known are {_KNOWN}"
        )
    if inside:
        raise FileFormatError("the file has no END_EVENT_LISTING line: it is truncated; write it again")


def _check_run_information(text: bytes, line: int, inside: bool) -> None:
    """Check the lines between a listing's first line and its first event, or after the listing's last line."""
    for number, row in enumerate(text.split(b"\n"), line):
        if row.strip() and not row.startswith(b"#") and not (inside and row[:1] in _RUN_INFORMATION):
            where = "before the first event" if inside else "after the end of the listing"
            raise FileFormatError(f"line {number}: {_shown(row)} {where}; remove it, or write the file again")


def _only_notes(text: bytes) -> bool:
    return all(row.startswith(b"#") or not row.strip() for row in text.split(b"\n"))


def _known(begun: bool) -> str:
    return "remove the text after the end of the listing" if begun else f"known are {_KNOWN}"


def _pieces(stream: BufferedReader) -> Iterator[bytes]:
    """The text in pieces of whole lines; each piece, except perhaps the first, begins with one of the `_MARKS`."""
    held = bytearray()
    searched = 0  # bytes of `held` that were searched for marks
    while True:
        chunk = stream.read1(_CHUNK)  # read1: pieces before the end of a truncated stream are returned before it raises
        begins = len(held)
        held += chunk if chunk else b"\n"
        if len(held) > LARGEST_EVENT:
            raise FileFormatError(
                f"an event or a line has more than {LARGEST_EVENT >> 20} MiB; it begins with {_shown(bytes(held[:99]))}"
            )
        whole = held.rfind(b"\n", begins)
        if whole < 0:
            continue
        start = 0
        for mark in _places(held, searched, whole):
            yield bytes(held[start:mark]).replace(b"\r\n", b"\n")
            start = mark
        if not chunk:
            yield bytes(held[start:]).replace(b"\r\n", b"\n")
            return
        del held[:start]
        searched = whole - start


def _places(text: bytearray, start: int, stop: int) -> list[int]:
    """Positions after `start` and before `stop` of the lines that begin with one of the `_MARKS`."""
    found = []
    for mark in _MARKS:
        at = text.find(mark, start, stop)
        while at >= 0:
            found.append(at + 1)
            at = text.find(mark, at + 1, stop)
    return sorted(found)


def _shown(text: bytes) -> str:
    first = text.lstrip()[:25].split(b"\n")[0]
    return repr(first.decode("utf-8", "replace"))
