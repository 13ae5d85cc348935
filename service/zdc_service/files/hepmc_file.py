"""Particles that reach a calorimeter, picked from complete generator events in a HepMC3 file."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import ZN, Calorimeter
from zdc_detector.errors import FileFormatError
from zdc_detector.particles import KINEMATICS

from zdc_service.files.blocks import BLOCK_ROWS, ParticleBlock, ParticleReader, hep_package, place_by_event
from zdc_service.files.opening import GZIP_ERRORS, is_gzip
from zdc_service.files.selection import Selection

FINAL_STATE = 1
GEV = {"GEV": 1.0, "MEV": 1e-3}
CENTIMETRES = {"MM": 0.1, "CM": 1.0}

#: Neutral particles that are gathered from many small events before one vectorised check against the face.
_CANDIDATES = 32768
_START, _END = b"HepMC::Asciiv3", b"END_EVENT_LISTING"


class HepMCReader(ParticleReader):
    """Final-state particles that `Selection` lets pass.

    Units are those that each event declares. Momentum and production vertex come from the event record; energy and
    mass follow from the PDG table, since generators round masses in the fourth digit. `read` counts particles in the
    final state.
    """

    has_whole_events = True

    def __init__(self, path: Path, block_rows: int = BLOCK_ROWS, calorimeter: Calorimeter = ZN):
        super().__init__(path, block_rows)
        self._path = path
        self._selection = Selection(self.skipped, calorimeter)
        self._hepmc = hep_package("pyhepmc", "HepMC3 files")
        self._hepmc_io = hep_package("pyhepmc.io", "HepMC3 files")
        self._size = path.stat().st_size
        self._position = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes of the file as it lies on the disk."""
        return self._position, self._size

    def __iter__(self) -> Iterator[ParticleBlock]:
        gathered: list[dict[str, NDArray[np.generic]]] = []
        for event in self._events():
            gathered.append(self._neutral(event))
            if sum(len(columns["pdg"]) for columns in gathered) >= _CANDIDATES:
                yield from self._reaching(gathered)
                gathered = []
        yield from self._reaching(gathered)

    def _events(self) -> Iterator[Any]:
        # Failures are raised as exceptions here; without this the C++ library also prints each.
        self._hepmc.Setup.print_errors = False
        self._hepmc.Setup.debug_level = 0
        done = 0
        with self._path.open("rb") as raw:
            stream = _Watched(gzip.GzipFile(fileobj=raw) if is_gzip(self._path) else raw)
            if _START not in stream.head:
                reason = stream.error or "convert it with HepMC3's own tools"
                raise FileFormatError(f"{self.source}: is not a HepMC3 ASCII file: {reason}")
            reader = self._hepmc_io.ReaderAscii(self._hepmc_io.pyiostream(stream))
            while not reader.failed():
                event = self._hepmc.GenEvent()
                if not reader.read_event(event):
                    reason = stream.error or "the record is damaged or cut short"
                    raise FileFormatError(f"{self.source}: after {done} events: {reason}; write the file again")
                self._position = raw.tell()
                if len(event.numpy.particles.id):  # HepMC3 ends a listing with an event of nothing
                    done += 1
                    yield event
        if _END not in stream.tail:
            raise FileFormatError(
                f"{self.source}: ends after {done} events without its {_END.decode()} line: it was cut short; write it "
                "again"
            )

    def _neutral(self, event: Any) -> dict[str, NDArray[np.generic]]:
        """Columns of the event's neutral final-state particles."""
        record = event.numpy.particles
        final = np.flatnonzero(record.status == FINAL_STATE)
        self.read += len(final)
        rows = final[self._selection.neutral(record.pid[final])]
        particles = event.particles if len(rows) else []
        vertices = [particles[row].production_vertex for row in rows]
        positions = [vertex.position if vertex is not None else event.event_pos() for vertex in vertices]
        momentum, length = GEV[event.momentum_unit.name], CENTIMETRES[event.length_unit.name]
        columns: dict[str, NDArray[np.generic]] = {
            "pdg": record.pid[rows].astype(np.int64),
            "event": np.full(len(rows), event.event_number, dtype=np.int64),
            "barcode": record.id[rows].astype(np.int64),
        }
        for name in KINEMATICS[:3]:
            columns[name] = getattr(record, name)[rows] * momentum
        for name in KINEMATICS[3:]:
            columns[name] = np.array([getattr(position, name[1]) for position in positions], dtype=np.float64) * length
        return columns

    def _reaching(self, gathered: list[dict[str, NDArray[np.generic]]]) -> Iterator[ParticleBlock]:
        """Blocks of the gathered particles that meet the face."""
        if gathered:
            columns = {name: np.concatenate([event[name] for event in gathered]) for name in gathered[0]}
            yield from self._selection.reaching(self.source, columns, place_by_event, self._block_rows)


class _Watched(io.RawIOBase):
    """Passes bytes to HepMC3's C++ reader, which swallows Python exceptions; keeps them and the last bytes."""

    def __init__(self, source: IO[bytes] | gzip.GzipFile):
        self._source = source
        self.error: Exception | None = None
        self.head = self.tail = self._read(4096)
        self._unread = self.head

    def _read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except (OSError, *GZIP_ERRORS) as error:
            self.error = error
            return b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """As `io.RawIOBase`: fill the buffer, return the number of bytes; 0 is the end."""
        data = self._unread[: len(buffer)] or self._read(len(buffer))
        self._unread = self._unread[len(buffer) :]
        self.tail = (self.tail + data).rstrip()[-256:]
        buffer[: len(data)] = data
        return len(data)
