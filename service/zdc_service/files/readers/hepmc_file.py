"""Particles that reach a calorimeter, picked from complete generator events in a HepMC3 or HepMC2 file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError
from zdc_common.words import counted
from zdc_detector.calorimeter import ZN, Calorimeter
from zdc_detector.particles import KINEMATICS, LARGEST

from zdc_service.files.blocks import (
    BLOCK_ROWS,
    OF_STATUS,
    SOURCE_COLUMNS,
    STATUS,
    ParticleBlock,
    ParticleReader,
    place_by_event,
)
from zdc_service.files.readers.hepmc_event import HepMCEvent
from zdc_service.files.readers.hepmc_listing import event_texts
from zdc_service.files.readers.opening import open_bytes
from zdc_service.files.readers.selection import Selection

#: Neutral particles that are gathered from many small events before one vectorised check against the face.
_CANDIDATES = 32768

#: What the format itself gives a meaning: nothing, decayed, documentation, beam.
_NEVER_FINAL = (0, 2, 3, 4)

MISLABELLED = (
    "its listing is named as HepMC2's or HepMC3's and its events are in the other's form, as which they are read"
)

_Columns = dict[str, NDArray[np.generic]]


class HepMCReader(ParticleReader):
    """Particles of the statuses that are taken and that `Selection` lets pass.

    Units are those that each event declares. Momentum and production vertex come from the event record; energy and
    mass follow from the PDG table, since generators round masses in the fourth digit.

    Particles of a generator's own statuses that do not decay in the record and would reach the face, such as the
    spectators of some generators of ions, are counted as left out. `read` counts these and those of
    the statuses that are taken.
    """

    has_whole_events = True
    has_status = True
    source_columns = SOURCE_COLUMNS

    def __init__(
        self,
        path: Path,
        block_rows: int = BLOCK_ROWS,
        statuses: tuple[int, ...] | None = None,
        calorimeter: Calorimeter = ZN,
    ):
        super().__init__(path, block_rows, statuses)
        self._path = path
        self._selection = Selection(self.skipped, calorimeter)
        self._other = Selection(Counter(), calorimeter)
        self._size = path.stat().st_size
        self._position = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the file as it is on the disk."""
        return self._position, self._size

    def __iter__(self) -> Iterator[ParticleBlock]:
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
        """Add the event's neutral particles to those that are taken and to the others; returns how many."""
        rows = np.flatnonzero(_among(event.status, self._statuses.tolist()))
        self.read += len(rows)
        kept = rows[self._selection.neutral(event.pdg[rows])]
        if len(kept):
            gathered.append(_columns(event, kept))
        not_final = event.ends | _among(event.status, (*_NEVER_FINAL, *self._statuses.tolist()))
        rows = np.flatnonzero(~not_final)
        other = rows[self._other.neutral(event.pdg[rows])] if len(rows) else rows
        if len(other):
            others.append(_columns(event, other))
        return len(kept) + len(other)

    def _reaching(self, gathered: list[_Columns]) -> Iterator[ParticleBlock]:
        """Blocks of the gathered particles that meet the face."""
        if gathered:
            yield from self._selection.reaching(self.source, _joined(gathered), place_by_event, self._block_rows)

    def _count(self, others: list[_Columns]) -> None:
        """Count the particles of other statuses that meet the face."""
        columns = _joined(others) if others else {}
        if not others or not len(columns["pdg"]):
            return
        # What is wrong with a particle that is not taken is no reason to refuse the file.
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
    """As `numpy.isin`, faster for events of some hundred particles."""
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
