"""`zdc show`: pictures of responses."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic_settings import BaseSettings, CliPositionalArg, SettingsConfigDict
from zdc_common.errors import ConfigError, InvalidInputError
from zdc_common.words import counted
from zdc_detector.shower_rows import Choose, read_rows

from zdc_service.commands.validate_extra import need_validate_extra

#: Rows that one picture can hold, and how many it does unless told otherwise.
MOST, SHOWN = 100, 12

_RANGE = re.compile(r"(\d*):(\d*)|(\d+)")


class Show(BaseSettings):
    """Draw responses of a file on a logarithmic colour scale, each with its particle, photon sum and channel sums.

    For example: zdc show responses.h5 --rows 0:12

    Exit codes: 0 done; 2 an option or a file is wrong.
    """

    model_config = SettingsConfigDict(env_prefix="ZDC_SHOW_", extra="forbid")

    file: CliPositionalArg[Path] = Field(
        description="HDF5 file of responses or hits, from zdc simulate or from Geant4 in the same layout"
    )
    rows: str | None = Field(
        None, description=f"FIRST:END, counted from 0 and without END, or one number; default: 0:{SHOWN}"
    )
    particle: int | None = Field(None, description=f"the first {MOST} rows with this particle_id, instead of --rows")
    output: Path | None = Field(
        None, description="PNG or PDF file to write or replace; default: the file's name ending in .png"
    )

    def cli_cmd(self) -> None:
        """Run."""
        need_validate_extra("zdc show")
        print(run(self))


def run(command: Show) -> str:
    """Read and draw; what was written, in words.

    Raises
    ------
    ConfigError : an option is wrong.
    FileFormatError : the file holds no responses in the project's layout.
    InvalidInputError : it has no such rows.
    """
    from zdc_metrics.reports.face_pictures import draw_rows
    from zdc_metrics.reports.plot_style import save_figure

    output = command.output or command.file.with_suffix(".png")
    if output.suffix.lower() not in (".png", ".pdf"):
        raise ConfigError(f"--output {output}: pictures are PNG or PDF files; name one that ends in .png or .pdf")
    if not output.parent.is_dir():
        raise ConfigError(f"{output}: the folder {output.parent} does not exist; make it first")
    stored = read_rows(command.file, _choice(command))
    title = " ".join(str(stored.attributes[name]) for name in ("model", "version") if name in stored.attributes)
    heading = f"{command.file.name}: {title or stored.attributes.get('title', 'responses')}"
    save_figure(draw_rows(stored, heading), output)
    first, last = stored.rows[0], stored.rows[-1]
    which = f"row {first}" if len(stored.rows) == 1 else f"{len(stored.rows)} rows from {first} to {last}"
    return f"wrote {output}: {which}"


def _choice(command: Show) -> Choose:
    if command.particle is not None:
        if command.rows is not None:
            raise ConfigError("--rows and --particle both choose rows; leave one out")
        return lambda particle_id: _of_particle(particle_id, command.particle)
    first, end = _parse(command.rows)

    def rows(particle_id: NDArray[np.int64]) -> NDArray[np.intp]:
        if first >= len(particle_id):
            raise InvalidInputError(f"has {counted(len(particle_id), 'row')}, counted from 0; there is no row {first}")
        chosen = np.arange(first, min(end or len(particle_id), len(particle_id)))
        if len(chosen) > MOST:
            raise InvalidInputError(
                f"{len(chosen)} rows are chosen, one picture holds at most {MOST}; choose --rows {first}:{first + MOST}"
            )
        return chosen

    return rows


def _of_particle(particle_id: NDArray[np.int64], wanted: int | None) -> NDArray[np.intp]:
    rows = np.flatnonzero(particle_id == wanted)
    if not len(rows):
        raise InvalidInputError(
            f"no row has particle_id {wanted}; they lie between {particle_id.min()} and {particle_id.max()}"
        )
    return rows[:MOST]


def _parse(text: str | None) -> tuple[int, int | None]:
    """First row, and the one after the last; None for the end of the file."""
    if text is None:
        return 0, SHOWN
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"--rows {text!r}: write FIRST:END, such as 0:{SHOWN}, or one row's number")
    if found[3]:
        return int(found[3]), int(found[3]) + 1
    first, end = int(found[1] or 0), int(found[2]) if found[2] else None
    if end is not None and end <= first:
        raise ConfigError(f"--rows {text!r}: holds no row; END is the one after the last")
    return first, end
