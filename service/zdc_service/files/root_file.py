"""Particles from a ROOT file: a TTree or RNTuple with one entry per particle, or with lists of particles per event."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_detector.errors import ConfigError, FileFormatError, ZdcError

from zdc_service.files.blocks import (
    BLOCK_ROWS,
    COLUMNS,
    INTEGER_COLUMNS,
    ParticleBlock,
    ParticleReader,
    hep_package,
    place_by_event,
    whole_numbers,
)
from zdc_service.files.selection import Selection

#: Trees that are taken without being named where a file has several, in this order.
DEFAULT_TREES = ("particles", "events")

_CLASSES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")
#: Of all branches together, uncompressed; one event is always read whole.
_STEP = "8 MB"


class RootReader(ParticleReader):
    """Branches named as in `COLUMNS`; others are passed over and said in `notes`.

    Where ``pdg`` is one number an entry, an entry is a particle. Where it is a list, an entry is an event, of which
    `Selection` lets particles pass; branches of one number an entry then hold for all its particles, and ``event`` and
    ``barcode``, where absent, are the entry and the place in it.
    """

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS, tree: str | None = None):
        super().__init__(path, block_rows)
        self._uproot, self._awkward = (hep_package(name, "ROOT files") for name in ("uproot", "awkward"))
        try:
            self._file = self._uproot.open(path, array_cache=None)
            classes: dict[str, str] = self._file.classnames(cycle=False)
            name = _choose(path, [name for name, kind in classes.items() if kind in _CLASSES], tree)
            self._tree = self._file[name]
            names = [str(name) for name in self._tree.keys()]  # noqa: SIM118 (a tree is no dictionary)
        except ZdcError:
            raise
        except Exception as error:  # uproot has no common class for what damaged files raise
            raise FileFormatError(f"{path}: cannot be read as ROOT: {_in_one_line(error)}") from error
        self._columns = self._known_branches(names)
        self.has_whole_events = self._is_list()
        if not self.has_whole_events:
            self.count = int(self._tree.num_entries)
        self._entries_read = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Entries."""
        return self._entries_read, len(self._within(self._tree.num_entries))

    def __iter__(self) -> Iterator[ParticleBlock]:
        selection = Selection(self.skipped)
        with self._file:
            for entries in self._steps():
                first = self._within(self._tree.num_entries).start + self._entries_read
                columns, counts = self._numbers(entries, first)
                self._entries_read += len(entries)
                self.read += len(columns["pdg"])
                if counts is None:
                    yield from self._flat(columns, first)
                    continue
                numbers = np.arange(first, first + len(entries), dtype=np.int64)
                columns.setdefault("event", np.repeat(numbers, counts))
                starts = np.repeat(np.cumsum(counts) - counts, counts)
                columns.setdefault("barcode", np.arange(len(starts), dtype=np.int64) - starts)
                kept = selection.neutral(columns["pdg"])
                columns = {name: values[kept] for name, values in columns.items()}
                yield from selection.reaching(self.source, columns, place_by_event, self._block_rows)

    def _known_branches(self, names: list[str]) -> list[str]:
        missing = [name for name in ("pdg", "px", "py", "pz") if name not in names]
        if missing:
            raise FileFormatError(
                f"{self.source}: {self._tree.name} has no branch {missing[0]!r}; it has {', '.join(names)}; "
                f"branches of particles are {', '.join(COLUMNS)}; --tree takes another tree"
            )
        # uproot and ROOT write a counter beside each branch of lists.
        counters = {f"n{name}" for name in COLUMNS}
        others = [name for name in names if name not in COLUMNS and name not in counters and "." not in name]
        if others:
            self.notes.append(f"passed over branches {', '.join(others)}")
        return [name for name in names if name in COLUMNS]

    def _is_list(self) -> bool:
        try:
            first = self._tree.arrays(["pdg"], entry_stop=1, library="ak")["pdg"]
        except Exception as error:
            raise self._unreadable(error) from error
        return bool(first.ndim > 1)

    def _steps(self) -> Iterator[Any]:
        wanted = self._within(self._tree.num_entries)
        if not wanted:
            return
        steps = self._tree.iterate(
            self._columns, step_size=_STEP, library="ak", entry_start=wanted.start, entry_stop=wanted.stop
        )
        while True:
            try:
                step = next(steps)
            except StopIteration:
                return
            except Exception as error:
                raise self._unreadable(error) from error
            yield step

    def _unreadable(self, error: Exception) -> FileFormatError:
        last = self._within(self._tree.num_entries).start + self._entries_read - 1
        after = f"after entry {last}: " if self.read else ""
        return FileFormatError(f"{self.source}: {self._tree.name}: {after}{_in_one_line(error)}; write the file again")

    def _numbers(self, entries: Any, first: int) -> tuple[dict[str, NDArray[np.generic]], NDArray[np.int64] | None]:
        """One number a particle in each column, and the particles of each entry where entries are events."""
        counts = None
        if self.has_whole_events:
            counts = self._awkward.to_numpy(self._awkward.num(entries["pdg"])).astype(np.int64)
        columns = {}
        for name in self._columns:
            values = entries[name]
            if values.ndim > 1 and counts is not None:
                if not np.array_equal(self._awkward.to_numpy(self._awkward.num(values)), counts):
                    raise FileFormatError(f"{self.source}: {name} and pdg have lists of different lengths in an entry")
                columns[name] = self._column(name, self._awkward.flatten(values))
            else:
                column = self._column(name, values)
                columns[name] = column if counts is None else np.repeat(column, counts)
        ends = np.cumsum(counts) if counts is not None else np.arange(1, len(entries) + 1)

        def place(row: int) -> str:
            return f"entry {first + int(np.searchsorted(ends, row, side='right'))}"

        for name in INTEGER_COLUMNS:
            if name in columns:
                columns[name] = whole_numbers(self.source, name, columns[name], place)
        return columns, counts

    def _column(self, name: str, values: Any) -> NDArray[np.generic]:
        try:
            column: NDArray[np.generic] = self._awkward.to_numpy(values, allow_missing=False)
        except (ValueError, TypeError):
            column = np.zeros((), dtype=object)
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            raise FileFormatError(f"{self.source}: branch {name!r} has type {values.type}; it needs numbers")
        return column

    def _flat(self, columns: Mapping[str, NDArray[np.generic]], first: int) -> Iterator[ParticleBlock]:
        for start in range(0, len(columns["pdg"]), self._block_rows):
            rows = {name: values[start : start + self._block_rows] for name, values in columns.items()}
            at = first + start
            yield ParticleBlock.from_columns(self.source, rows, lambda row, at=at: f"entry {at + row}")  # type: ignore[misc]


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _choose(path: Path, trees: list[str], wanted: str | None) -> str:
    """The tree that is meant, by its name in the file."""
    there = f"the file has {', '.join(trees) or 'none'}"
    if wanted is not None:
        if wanted not in trees:
            raise ConfigError(f"{path}: no tree {wanted!r}; {there}; name one with --tree")
        return wanted
    if len(trees) == 1:
        return trees[0]
    for name in DEFAULT_TREES:
        if name in trees:
            return name
    raise FileFormatError(f"{path}: which tree? {there}; name one with --tree" if trees else f"{path}: no tree")
