"""Particles from a ROOT file: a TTree or RNTuple with one entry per particle, or with lists of particles per event."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ConfigError, FileFormatError, ZdcError
from zdc_common.optional_packages import hep_package
from zdc_common.words import short

from zdc_readers.blocks import (
    BLOCK_ROWS,
    COLUMNS,
    ParticleBlock,
    ParticleReader,
    cut,
    known_columns,
)
from zdc_readers.events import Events

#: If a file has several trees and none is chosen, the first of these is taken.
DEFAULT_TREES = ("particles", "events")

#: Name of the tree that HepMC3's WriterRootTree writes.
_HEPMC3_TREE = "hepmc3_tree"
_CLASSES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")
#: Size of all branches of a step, uncompressed; an event is never split.
_STEP = "8 MB"


class RootReader(ParticleReader):
    """Reads branches with names from `COLUMNS`; ignores others, with a remark in `notes`.

    If ``pdg`` is a number, each entry is a particle. If it is a list, each entry is an event, and the particles that
    `Selection` accepts are read. A branch with one number per event applies to all its particles. If there is no
    ``event`` and ``barcode``, they are the entry's number and the particle's index in it.
    """

    def __init__(
        self,
        path: Path,
        block_rows: int = BLOCK_ROWS,
        statuses: tuple[int, ...] | None = None,
        tree: str | None = None,
    ):
        super().__init__(path, block_rows, statuses)
        self._entries_read = 0
        self._uproot, self._awkward = (hep_package(name, "ROOT files") for name in ("uproot", "awkward"))
        try:
            self._file = self._uproot.open(path, array_cache=None)
            classes: dict[str, str] = self._file.classnames(cycle=False)
            name = _choose(path, [name for name, kind in classes.items() if kind in _CLASSES], tree)
            self._tree = self._file[name]
            self._entries = int(self._tree.num_entries)
            names = [str(name) for name in self._tree.keys()]  # noqa: SIM118 (a tree is not a dictionary)
        except ZdcError:
            raise
        except Exception as error:  # uproot raises many unrelated classes for damaged files
            raise FileFormatError(f"{path}: cannot be read as ROOT: {short(error)}") from error
        self._columns = self._known_branches(names)
        self.has_whole_events = self._is_list()
        self._knows(self._columns, self._entries)

    @property
    def progress(self) -> tuple[int, int]:
        """Entries read, and in all."""
        return self._entries_read, len(self._within(self._entries))

    def __iter__(self) -> Iterator[ParticleBlock]:
        events = Events(self.source, self.skipped, self.calorimeter, self.frame, self._block_rows, self._chosen)
        with self._file:
            for entries in self._steps():
                first = self._within(self._entries).start + self._entries_read
                columns, counts = events.numbers({name: entries[name] for name in self._columns}, first)
                self._entries_read += len(entries)
                self.read += len(columns["pdg"])
                if counts is None:
                    yield from self._flat(columns, first)
                else:
                    yield from events.blocks(columns, counts, first)

    def _known_branches(self, names: list[str]) -> list[str]:
        if self._tree.name == _HEPMC3_TREE:
            raise FileFormatError(
                f"{self.source}: {_HEPMC3_TREE} is HepMC3's format of events in ROOT files, which is not supported; "
                "write the events as HepMC3 text (WriterAscii), or convert the file with HepMC3's convert_example"
            )
        # For each branch of lists, uproot and ROOT also write a branch with the lengths.
        counters = {f"n{name}" for name in COLUMNS}
        named = [name for name in names if name not in counters and "." not in name]
        return known_columns(f"{self.source}: {self._tree.name}", named, self.notes, "branch")

    def _is_list(self) -> bool:
        try:
            first = self._tree.arrays(["pdg"], entry_stop=1, library="ak")["pdg"]
        except Exception as error:
            raise self._unreadable(error) from error
        return bool(first.ndim > 1)

    def _steps(self) -> Iterator[Any]:
        wanted = self._within(self._entries)
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
        last = self._within(self._entries).start + self._entries_read - 1
        after = f"after entry {last}: " if self.read else ""
        return FileFormatError(f"{self.source}: {self._tree.name}: {after}{short(error)}; write the file again")

    def _flat(self, columns: Mapping[str, NDArray[np.generic]], first: int) -> Iterator[ParticleBlock]:
        for start in range(0, len(columns["pdg"]), self._block_rows):
            rows = {name: values[start : start + self._block_rows] for name, values in columns.items()}
            at = first + start
            yield from self._rows_of_table(rows, lambda row, at=at: f"entry {at + row}")  # type: ignore[misc]


def _choose(path: Path, trees: list[str], wanted: str | None) -> str:
    """Name of the tree to read."""
    there = f"the file has {cut(trees)}"
    if wanted is not None:
        if wanted not in trees:
            raise ConfigError(f"{path}: there is no tree {wanted!r}; {there}; choose one with --tree")
        return wanted
    if len(trees) == 1 or _HEPMC3_TREE in trees:
        return _HEPMC3_TREE if _HEPMC3_TREE in trees else trees[0]
    for name in DEFAULT_TREES:
        if name in trees:
            return name
    raise FileFormatError(
        f"{path}: several trees: {there}; choose one with --tree" if trees else f"{path}: there is no tree"
    )
