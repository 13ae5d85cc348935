"""The journal of a simulation: one line per finished shower, appended as soon as it is finished.

A kill or a full disk can leave an incomplete last line, which the next reading drops. The first line says which
simulation it is.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from zdc_common.errors import ConfigError, FileFormatError
from zdc_common.file_lock import take_lock

from zdc_training.simulator.tasks import Shower


class Journal:
    """Finished and lost showers of one simulation.

    Parameters
    ----------
    path : The file; created if it does not exist.
    identity : What determines the showers; a journal of other showers is refused.

    Attributes
    ----------
    showers : Finished showers by row.
    lost : Why a row has no shower, by row.

    Raises
    ------
    ConfigError : the journal belongs to another simulation (names the first difference), or another process has it.
    FileFormatError : the file is no journal.
    """

    def __init__(self, path: Path, identity: dict[str, object]):
        self._path = path
        self.showers: dict[int, Shower] = {}
        self.lost: dict[int, str] = {}
        self._file: IO[bytes] = path.open("a+b")
        try:
            # Two processes that write to one journal would overwrite each other's showers.
            if not take_lock(self._file):
                raise ConfigError(f"{path}: another process adds showers to it; stop it, or choose another --output")
            self._resume(identity)
        except BaseException:
            self._file.close()
            raise

    def _resume(self, identity: dict[str, object]) -> None:
        """Read what there is, and drop an incomplete last line."""
        complete = 0
        for end, record in self._lines():
            if complete == 0:
                _check_same(self._path, record, identity)
            elif "lost" in record:
                self.lost[int(str(record["row"]))] = str(record["lost"])
            else:
                shower = _decode(record)
                self.showers[shower.row] = shower
                self.lost.pop(shower.row, None)
            complete = end
        self._file.truncate(complete)
        if complete == 0:
            self._append(identity)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _lines(self) -> Iterator[tuple[int, dict[str, object]]]:
        """Each complete line with the position of its end."""
        end = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise FileFormatError(f"{self._path}: byte {end - len(line)}: no record of a shower") from error
                yield end, record

    def add(self, shower: Shower) -> None:
        """Append a finished shower.

        Raises
        ------
        OSError : the disk is full; the showers before this one are safe.
        """
        self._append(_encode(shower))
        self.showers[shower.row] = shower
        self.lost.pop(shower.row, None)

    def lose(self, row: int, reason: str) -> None:
        """Note that a row has no shower."""
        self._append({"row": row, "lost": reason})
        self.lost[row] = reason

    def _append(self, record: dict[str, object]) -> None:
        self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink()


def _encode(shower: Shower) -> dict[str, object]:
    return {
        "row": shower.row,
        "cpu": round(shower.cpu_seconds, 4),
        "fibres": base64.b64encode(shower.fibres.astype("<u4").tobytes()).decode(),
        "rates": base64.b64encode(shower.rates.astype("<f4").tobytes()).decode(),
    }


def _decode(record: dict[str, object]) -> Shower:
    fibres = np.frombuffer(base64.b64decode(str(record["fibres"])), dtype="<u4").astype(np.uint32)
    rates = np.frombuffer(base64.b64decode(str(record["rates"])), dtype="<f4").astype(np.float32)
    return Shower(int(str(record["row"])), fibres, rates, float(str(record["cpu"])))


def _check_same(path: Path, found: dict[str, object], wanted: dict[str, object]) -> None:
    for key in wanted:
        if found.get(key) != wanted[key]:
            raise ConfigError(
                f"{path}: it has showers of another simulation: {key} was {json.dumps(found.get(key))[:200]} and is "
                f"{json.dumps(wanted[key])[:200]}; choose another --output, or add --overwrite"
            )
