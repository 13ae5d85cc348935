"""Read one event of a HepMC file: check its text line by line, and convert it to columns.

HepMC3's C++ reader is not used, because it hides errors: it reads invalid numbers as 0 and unknown units as GeV and cm,
truncates event numbers and PDG codes to 32 bits, prints to stdout, and crashes on a vertex that names an absent
particle. The tests compare the two readers on valid files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError

from zdc_readers.blocks import LARGER_THAN_KEPT
from zdc_readers.hepmc_listing import EventText

_GEV = {b"GEV": 1.0, b"MEV": 1e-3}
_CENTIMETRES = {b"MM": 0.1, b"CM": 1.0}

_INTEGER = r"[ \t]+[+-]?\d{1,15}"
_NUMBER = r"[ \t]+[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[nN][aA][nN]|[iI][nN][fF](?:inity)?)"
_EVENT = r"E[ \t]+([+-]?\d{1,40})"
_END = r"[ \t]*$"
_POSITION = rf"(?:[ \t]+@({_NUMBER * 4}))?"

#: Patterns of the lines of an event, by first letter; other letters are refused. Lines about the run (W, N, T, A) may
#: follow an event, because a writer adds them when the run changes. Comments (#) are ignored, as by HepMC's readers.
_OF_BOTH = {"U": r"U[ \t]+(\S+)[ \t]+(\S+)", "W": r"W(?:[ \t].*)?", "#": "#.*"}
_HEPMC3 = {
    "P": rf"P{_INTEGER * 3}{_NUMBER * 5}{_INTEGER}",
    "V": rf"V({_INTEGER}){_INTEGER}[ \t]+\[([\d, ]*)\]{_POSITION}",
    "E": rf"{_EVENT}({_INTEGER})({_INTEGER}){_POSITION}",
    **{letter: rf"{letter}[ \t].*" for letter in "ANT"},
    **_OF_BOTH,
}
_HEPMC2 = {
    "P": rf"P{_INTEGER * 2}{_NUMBER * 5}{_INTEGER}{_NUMBER * 2}{_INTEGER}{_INTEGER}(?:{_INTEGER * 2})*",
    "V": rf"V({_INTEGER}){_INTEGER}({_NUMBER * 4})({_INTEGER})({_INTEGER}){_INTEGER}(?:{_NUMBER})*",
    "E": rf"{_EVENT}{_INTEGER}{_NUMBER * 3}{_INTEGER * 2}({_INTEGER}){_INTEGER * 3}(?:{_NUMBER})*",
    **{letter: rf"{letter}(?:[ \t].*)?" for letter in "NCHF"},
    **_OF_BOTH,
}


#: The characters of a particle's line in HepMC3, without the P.
_OF_NUMBERS = b"0123456789+-.eEnNaAiIfFtTyY \t"


@dataclass(frozen=True)
class _Form:
    """A version of the format.

    Attributes
    ----------
    lines : Pattern of each line, by its first letter.
    words : Minimum number of words of a particle's line.
    barcode, pdg, momentum, status, link : Index of the word with this quantity; of three words for the momentum. `link`
        is the production vertex in HepMC3, and the end vertex in HepMC2.
    """

    lines: Mapping[bytes, re.Pattern[bytes]]
    words: int
    barcode: int
    pdg: int
    momentum: int
    status: int
    link: int


def _compiled(lines: dict[str, str]) -> dict[bytes, re.Pattern[bytes]]:
    return {letter.encode(): re.compile(pattern.encode() + _END.encode()) for letter, pattern in lines.items()}


_FORM3 = _Form(_compiled(_HEPMC3), words=10, barcode=1, pdg=3, momentum=4, status=9, link=2)
_FORM2 = _Form(_compiled(_HEPMC2), words=13, barcode=1, pdg=2, momentum=3, status=8, link=11)


class HepMCEvent:
    """One event with N particles, in the order of the text.

    Attributes
    ----------
    number : Number of the event.
    barcode : Numbers of the particles, int64, shape (N,).
    pdg, status : PDG code and status code of each particle, int64, shape (N,).
    ends : Whether each particle decays or interacts in the record, bool, shape (N,).
    mislabelled : Whether the listing names one version of the format, but the event has the other.

    Parameters
    ----------
    event : Text in HepMC3 or HepMC2; the event's first line tells which, not the name of the listing.

    Raises
    ------
    FileFormatError : a line is invalid, or names a vertex or a particle that does not exist. The message names the
        event and the line.
    """

    def __init__(self, event: EventText):
        self._first = event.line
        self._lines = event.text.split(b"\n")
        self._form = _FORM3 if _FORM3.lines[b"E"].match(self._lines[0]) else _FORM2
        self._name = ""
        self.mislabelled = event.hepmc2 != (self._form is _FORM2)
        self._at: list[int] = []  # indices of the particles' lines
        self._rows: dict[bytes, list[tuple[int, re.Match[bytes]]]] = {letter: [] for letter in self._form.lines}
        self._sort_lines()
        self._units = self._declared_units()
        words = self._words()
        try:
            self.barcode, self.pdg, self.status, links = (
                np.array(list(map(int, words[i])), dtype=np.int64)
                for i in (self._form.barcode, self._form.pdg, self._form.status, self._form.link)
            )
        except (ValueError, OverflowError):
            raise self._wrong_particle() from None
        self._momenta = words[self._form.momentum : self._form.momentum + 3]
        self._positions: list[bytes | None] = []  # of vertices, as text; the first is the event's
        self._owner: NDArray[np.intp]  # production vertex of each particle
        self._incoming: list[int] = []  # one incoming particle of each vertex, counted from 1; 0 if there is none
        self.ends = self._links3(links) if self._form is _FORM3 else self._links2(links)

    def kinematics(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Momentum [GeV/c] and production vertex [cm], shape (len(rows), 6); raises FileFormatError."""
        out = np.empty((len(rows), 6))
        momentum, length = self._units
        chosen = rows.tolist()
        try:
            for axis, words in enumerate(self._momenta):
                out[:, axis] = [float(words[row]) for row in chosen]
        except ValueError:
            raise self._wrong_particle() from None
        vertices, of_row = np.unique(self._owner[rows], return_inverse=True)
        positions = np.array([self._position(vertex) for vertex in vertices.tolist()]).reshape(-1, 3)
        out[:, 3:] = positions[of_row]
        out[:, :3] *= momentum
        out[:, 3:] *= length
        return out

    def _sort_lines(self) -> None:
        """Check the lines, except those of HepMC3's particles, and sort them by first letter."""
        head = self._form.lines[b"E"].match(self._lines[0])
        if head is None:
            raise self._wrong(0)
        self.number = int(head[1])
        if not -(2**63) <= self.number < 2**63:
            raise FileFormatError(f"line {self._first}: event number {self.number} {LARGER_THAN_KEPT}")
        self._name = f"event {self.number}, "
        unchecked = b"P" if self._form is _FORM3 else b"none"
        for place, line in enumerate(self._lines):
            letter = line[:1]
            if letter == b"P":
                self._at.append(place)
            if letter == unchecked:
                continue
            pattern = self._form.lines.get(letter)
            found = pattern.match(line) if pattern else None
            if found is not None:
                self._rows[letter].append((place, found))
            elif line.strip():
                raise self._wrong(place)

    def _words(self) -> list[list[bytes]]:
        """The words of the particles' lines, column by column; raises FileFormatError."""
        lines = [self._lines[place] for place in self._at]
        width = self._form.words
        if self._form is _FORM3:
            text = b" ".join(lines)
            words = text.split()
            # If each line has one P, and each tenth word is P, then each line has ten words.
            right = len(words) == width * len(lines) and all(word == b"P" for word in words[::width])
            if not right or text.translate(None, _OF_NUMBERS) != b"P" * len(lines):
                raise self._wrong_particle()
            return [words[place::width] for place in range(width)]
        split = [line.split(maxsplit=width) for line in lines]
        return [[words[place] for words in split] for place in range(width)]

    def _wrong_particle(self) -> FileFormatError:
        """The error for the first invalid line of a particle."""
        right = self._form.lines[b"P"].match
        return self._wrong(next((place for place in self._at if not right(self._lines[place])), self._at[0]))

    def _wrong(self, place: int, why: str = "") -> FileFormatError:
        """The error for a line."""
        line = self._lines[place][:60].decode("utf-8", "replace")
        if not why:
            kinds = ", ".join(letter.decode() for letter in self._form.lines)
            known = self._lines[place][:1] in self._form.lines
            why = "has an invalid number, or too few or too many" if known else f"must begin with one of {kinds}"
        return FileFormatError(f"{self._name}line {self._first + place}: {line!r} {why}; write the file again")

    def _declared_units(self) -> tuple[float, float]:
        """Factors that convert the event's units to GeV and cm."""
        declared = self._rows[b"U"]
        if not declared:
            raise FileFormatError(
                f"{self._name}line {self._first}: the event has no line of units; add its units below the line E, e.g. "
                "'U GEV MM' (GEV or MEV, then MM or CM)"
            )
        for place, found in declared:
            if found[1] not in _GEV or found[2] not in _CENTIMETRES:
                raise self._wrong(place, "has unknown units; they must be GEV or MEV, then MM or CM")
        return _GEV[declared[-1][1][1]], _CENTIMETRES[declared[-1][1][2]]

    def _check_counts(self, what: str, said: bytes, found: int) -> None:
        if int(said) != found:
            raise FileFormatError(
                f"{self._name}line {self._first}: the event announces {int(said)} {what} but has {found}; it is "
                "damaged or truncated: write the file again"
            )

    def _links3(self, origins: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Read the vertices of HepMC3, where particles name their production vertex; returns `ends`."""
        head, count = self._rows[b"E"][0][1], len(self._at)
        in_order = self.barcode == np.arange(1, count + 1)
        if not in_order.all():
            raise self._wrong(
                self._at[int(np.argmin(in_order))], "is out of order: particles must be numbered 1, 2, 3, ..."
            )
        ends = np.zeros(count + 1, dtype=bool)
        self._positions, self._incoming = [head[4]], [0]
        index = {0: 0}
        for place, found in self._rows[b"V"]:
            names = [int(name) for name in re.findall(rb"\d+", found[2])]
            number = int(found[1])
            if any(not 1 <= name <= count for name in names):
                raise self._wrong(place, f"names a particle that does not exist; the event has 1 to {count}")
            if number >= 0 or number in index:
                raise self._wrong(place, "must have a negative number that no other vertex has")
            index[number] = len(self._positions)
            ends[names] = True
            self._incoming.append(names[0] if names else 0)
            self._positions.append(found[3])
        different, of_row = np.unique(origins, return_inverse=True)
        owner = []
        for origin in different.tolist():
            if origin not in index:
                if not 0 < origin <= count:
                    row = int(np.argmax(origins == origin))
                    raise self._wrong(self._at[row], f"comes from vertex or particle {origin}, which does not exist")
                index[origin] = len(self._positions)  # a vertex with one incoming particle has no line
                ends[origin] = True
                self._incoming.append(origin)
                self._positions.append(None)
            owner.append(index[origin])
        self._owner = np.array(owner, dtype=np.intp)[of_row]
        self._check_counts("vertices", head[2], len(self._positions) - 1)
        self._check_counts("particles", head[3], count)
        return ends[1:]

    def _links2(self, ends: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Read the vertices of HepMC2; returns `ends`.

        Below a vertex are its incoming particles without a production vertex, then its outgoing particles.
        """
        places = [0]
        orphans, leaving = [0], [0]
        self._positions = [None]
        index = {0: 0}
        for place, found in self._rows[b"V"]:
            index[int(found[1])] = len(places)
            places.append(place)
            self._positions.append(found[2])
            orphans.append(int(found[3]))
            leaving.append(int(found[4]))
        self._check_counts("vertices", self._rows[b"E"][0][1][2], len(places) - 1)
        owner = np.searchsorted(places, self._at, side="right") - 1
        said, there = np.add(orphans, leaving), np.bincount(owner, minlength=len(places))
        for vertex in np.flatnonzero(said != there)[:1].tolist():
            raise self._wrong(places[vertex], f"announces {said[vertex]} particles but is followed by {there[vertex]}")
        first = np.searchsorted(owner, np.arange(len(places)))
        orphan = np.arange(len(owner)) - first[owner] < np.array(orphans)[owner]
        self._owner = np.where(orphan, 0, owner)
        # As in HepMC3, a vertex without a position gets the origin of its first incoming particle; those without a
        # production vertex count first.
        self._incoming = np.where(np.array(orphans) > 0, first + 1, 0).tolist()
        for row, end in enumerate(ends.tolist()):
            if end not in index:
                raise self._wrong(self._at[row], f"ends at vertex {end}, which does not exist")
            if end:
                self._incoming[index[end]] = self._incoming[index[end]] or row + 1
        found_ends: NDArray[np.bool_] = ends != 0
        return found_ends

    def _position(self, vertex: int) -> NDArray[np.float64]:
        """Position of a vertex [event's unit], shape (3,); if it has none, or four zeros, that of its ancestor."""
        seen = set()
        while vertex not in seen:
            seen.add(vertex)
            numbers = [float(word) for word in (self._positions[vertex] or b"").split()]
            if any(numbers):  # true for NaN and inf too
                return np.array(numbers[:3])
            if vertex == 0:
                return np.zeros(3)
            parent = self._incoming[vertex]
            vertex = int(self._owner[parent - 1]) if parent else 0
        raise FileFormatError(f"{self._name}line {self._first}: a vertex is its own ancestor; write the file again")
