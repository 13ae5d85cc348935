"""Select the particles that reach a calorimeter from complete generator events in a HepMC3 or HepMC2 file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError
from zdc_common.words import counted
from zdc_detector.particles import KINEMATICS, LARGEST

from zdc_readers.blocks import (
    BLOCK_ROWS,
    OF_STATUS,
    SOURCE_COLUMNS,
    STATUS,
    ParticleBlock,
    ParticleReader,
    place_by_event,
)
from zdc_readers.hepmc_event import HepMCEvent
from zdc_readers.hepmc_listing import event_texts
from zdc_readers.opening import open_bytes
from zdc_readers.selection import Selection

#: Number of neutral particles, from many small events, per vectorised check against the face.
_CANDIDATES = 32768

#: Status codes that the format defines: null, decayed, documentation, beam.
_NEVER_FINAL = (0, 2, 3, 4)

MISLABELLED = "its listing names one version of HepMC (2 or 3), but its events have the other, and are read as such"

_Columns = dict[str, NDArray[np.generic]]


class HepMCReader(ParticleReader):
    """Reads the particles that have a chosen status code and that `Selection` accepts.

    Each event declares its units. Momentum and production vertex come from the event record; energy and mass follow
    from the PDG table, because generators round masses in the fourth digit.

    Some generators give final particles special status codes, e.g. the spectators of ion collisions. Such
    particles are left out and counted, if they do not decay in the record and would reach the face. `read` counts
    them and the particles with a chosen status code.
    """

    has_whole_events = True
    has_status = True
    source_columns = SOURCE_COLUMNS

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS, statuses: tuple[int, ...] | None = None):
        super().__init__(path, block_rows, statuses)
        self._path = path
        self._size = path.stat().st_size
        self._position = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes read and in all, as stored on the disk."""
        return self._position, self._size

    def __iter__(self) -> Iterator[ParticleBlock]:
        self._selection = Selection(self.skipped, self.calorimeter, self.frame)
        self._other = Selection(Counter(), self.calorimeter, self.frame)
        done = candidates = 0
        try:
            gathered: list[_Columns] = []
            others: list[_Columns] = []
            for event in self._events():
                candidates += self._sort(event, gathered, others)
                done += 1
                if candidates >= _CANDIDATES:
                    yield from self._reaching(gathered)
                    self._count(others)
                    gathered, others, candidates = [], [], 0
            yield from self._reaching(gathered)
            self._count(others)
        except FileFormatError as error:
            if str(error).startswith(f"{self.source}: "):
                raise
            after = f"after {counted(done, 'event')}: " if done else ""
            remedy = "" if "write" in str(error) else "; write the file again"
            raise FileFormatError(f"{self.source}: {after}{error}{remedy}") from error

    def _events(self) -> Iterator[HepMCEvent]:
        with open_bytes(self._path) as (stream, raw):
            for text in event_texts(stream):
                self._position = raw.tell()
                event = HepMCEvent(text)
                if event.mislabelled and MISLABELLED not in self.notes:
                    self.notes.append(MISLABELLED)
                yield event
            self._position = raw.tell()

    def _sort(self, event: HepMCEvent, gathered: list[_Columns], others: list[_Columns]) -> int:
        """Add particles that may reach the face to `gathered` (chosen status) or `others`; returns their number."""
        rows = np.flatnonzero(_among(event.status, self._statuses.tolist()))
        self.read += len(rows)
        kept = rows[self._selection.possible(event.pdg[rows])]
        if len(kept):
            gathered.append(_columns(event, kept))
        not_final = event.ends | _among(event.status, (*_NEVER_FINAL, *self._statuses.tolist()))
        rows = np.flatnonzero(~not_final)
        other = rows[self._other.possible(event.pdg[rows])] if len(rows) else rows
        if len(other):
            others.append(_columns(event, other))
        return len(kept) + len(other)

    def _reaching(self, gathered: list[_Columns]) -> Iterator[ParticleBlock]:
        """Blocks of the gathered particles that reach the face."""
        if gathered:
            yield from self._selection.reaching(self.source, _joined(gathered), place_by_event, self._block_rows)

    def _count(self, others: list[_Columns]) -> None:
        """Count the particles with other status codes that would reach the face."""
        columns = _joined(others) if others else {}
        if not others or not len(columns["pdg"]):
            return
        # Ignore invalid particles here: they are left out anyway, so the file need not be refused.
        sound = np.all([np.abs(columns[name]) <= LARGEST for name in KINEMATICS], axis=0)
        columns = {name: values[sound] for name, values in columns.items()}
        status = columns.pop(STATUS)
        columns["barcode"] = np.arange(len(status))
        for block in self._other.reaching(self.source, columns, place_by_event, self._block_rows):
            codes, counts = np.unique(status[block.columns["barcode"]], return_counts=True)
            for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
                self.read += count
                self.skipped[f"{OF_STATUS} {code} that would reach the face"] += count


def _among(values: NDArray[np.int64], few: Iterable[int]) -> NDArray[np.bool_]:
    """Like `numpy.isin`, but faster for events with a few hundred particles."""
    found = np.zeros(len(values), dtype=bool)
    for value in few:
        found |= values == value
    return found


def _columns(event: HepMCEvent, rows: NDArray[np.intp]) -> _Columns:
    columns: _Columns = {
        "pdg": event.pdg[rows],
        "event": np.full(len(rows), event.number, dtype=np.int64),
        "barcode": event.barcode[rows],
        STATUS: event.status[rows],
    }
    return columns | dict(zip(KINEMATICS, event.kinematics(rows).T, strict=True))


def _joined(gathered: list[_Columns]) -> _Columns:
    return {name: np.concatenate([event[name] for event in gathered]) for name in gathered[0]}
