"""The description of a job: all that determines its rows, and how it is cut into parts."""

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from zdc_common.errors import ConfigError, FileFormatError
from zdc_common.file_content import sha256_of
from zdc_common.frozen import Frozen
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.finish import Finish
from zdc_detector.frames import Frame

from zdc_service.simulation import OutOfRange, Output
from zdc_service.writers import FileDescription


class BulkJob(Frozen):
    """The job file of a folder of parts.

    Attributes
    ----------
    layout : Version of the layout of the folder and its parts.
    software : Version of this package.
    input : SHA-256 of the file of particles, or of the particles on the command line.
    tree : Option --tree, for a ROOT file.
    status : Option --status: status codes of the particles to simulate.
    model, version, graph_sha256 : The model.
    calorimeter, finish : Properties of the model's results.
    seed, first_row, repeats, output, out_of_range, rates, frame : As in `SimulationRequest`.
    rows_per_part : Maximum number of rows of a part.
    server : The server of the first run; it does not influence the rows.
    """

    layout: Literal[2] = 2
    software: str
    input: str
    tree: str | None
    status: tuple[int, ...] | None
    model: str
    version: int
    graph_sha256: str
    calorimeter: Calorimeter
    finish: Finish
    seed: int
    first_row: int
    repeats: int
    output: Output
    out_of_range: OutOfRange
    rates: bool
    frame: Frame = Frame.VERTEX
    rows_per_part: int
    server: str

    @classmethod
    def read(cls, path: Path) -> "BulkJob":
        """Read a job file; raises FileFormatError if it is invalid."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise FileFormatError(
                f"{path}: not a job file of this version of zdc ({_first_line(error)}); start again with --overwrite"
            ) from error

    @property
    def digest(self) -> str:
        """Hash of all fields that determine the rows; each part contains it."""
        return hashlib.sha256(self.model_dump_json(exclude={"server"}).encode()).hexdigest()[:16]

    @property
    def about(self) -> FileDescription:
        """Attributes of the output file."""
        return FileDescription(
            self.calorimeter,
            {
                "software": f"zdc-fastsim {self.software}",
                "model": self.model,
                "version": self.version,
                "graph_sha256": self.graph_sha256,
                "seed": self.seed,
                "finish": self.finish.value,
                "server": self.server,
                "frame": self.frame.value,
                "output": self.output.value,
                "repeats": self.repeats,
                "first_row": self.first_row,
            },
        )

    def check_same(self, other: "BulkJob", where: Path) -> None:
        """Raise ConfigError, with the first difference, unless the other job has the same rows in the same parts.

        Parameters
        ----------
        other : The job of the folder `where`.
        """
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        for name, value in mine.items():
            if name != "server" and theirs[name] != value:
                raise ConfigError(
                    f"{where}: the folder has parts of another job: {name} was {_short(theirs[name])} and is now "
                    f"{_short(value)}; use the same {name}, choose another --output, or start again with --overwrite"
                )


def input_of(path: Path | None, particles: list[str]) -> str:
    """The value of `BulkJob.input` for a file, or for particles on the command line."""
    if path is not None:
        return f"sha256:{sha256_of(path)}"
    return f"sha256:{hashlib.sha256(chr(10).join(particles).encode()).hexdigest()}"


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:19]}..." if text.startswith("sha256:") else text


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error)
