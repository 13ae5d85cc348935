"""`zdc show`: draw responses."""

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

#: Maximum and default number of rows in one picture.
MOST, SHOWN = 100, 12

_RANGE = re.compile(r"(\d*):(\d*)|(\d+)")


class Show(BaseSettings):
    """Draw responses of a file on a logarithmic colour scale, each with its particle, photon sum and channel sums.

    For example: zdc show responses.h5 --rows 0:12

    Exit codes: 0 done; 2 an option or a file is invalid.
    """

    model_config = SettingsConfigDict(env_prefix="ZDC_SHOW_", extra="forbid")

    file: CliPositionalArg[Path] = Field(
        description="HDF5 file of responses or hits, from zdc simulate or from Geant4 in the same layout"
    )
    rows: str | None = Field(
        None, description=f"rows FIRST:END, counted from 0, END excluded; or one row's number; default: 0:{SHOWN}"
    )
    particle: int | None = Field(
        None, description=f"draw the first {MOST} rows with this particle_id; instead of --rows"
    )
    geometry: bool = Field(
        False, description="draw the geometry that a file of train-zdc simulate was made with, and impact points"
    )
    output: Path | None = Field(
        None, description="PNG or PDF file to write or replace; default: the file's name ending in .png"
    )

    def cli_cmd(self) -> None:
        """Run the command."""
        need_validate_extra("zdc show")
        print(run(self))


def run(command: Show) -> str:
    """Draw the rows, and return a line that names the picture.

    Raises
    ------
    ConfigError : an option is invalid.
    FileFormatError : the file has no responses in the layout of `zdc_detector.showers`.
    InvalidInputError : the file does not have these rows.
    """
    from zdc_metrics.reports.face_pictures import draw_rows
    from zdc_metrics.reports.geometry_picture import draw_geometry
    from zdc_metrics.reports.plot_style import save_figure

    output = command.output or command.file.with_suffix(".png")
    if output.suffix.lower() not in (".png", ".pdf"):
        raise ConfigError(f"--output {output}: the name must end in .png or .pdf")
    if not output.parent.is_dir():
        raise ConfigError(f"{output}: the folder {output.parent} does not exist; create it first")
    stored = read_rows(command.file, _choice(command))
    draw = draw_geometry if command.geometry else draw_rows
    title = " ".join(str(stored.attributes[name]) for name in ("model", "version") if name in stored.attributes)
    heading = f"{command.file.name}: {title or stored.attributes.get('title', 'responses')}"
    save_figure(draw(stored, heading), output)
    first, last = stored.rows[0], stored.rows[-1]
    which = f"row {first}" if len(stored.rows) == 1 else f"{len(stored.rows)} rows from {first} to {last}"
    return f"wrote {output}: {which}"


def _choice(command: Show) -> Choose:
    if command.particle is not None:
        if command.rows is not None:
            raise ConfigError("--rows and --particle exclude each other; leave one out")
        return lambda particle_id: _of_particle(particle_id, command.particle)
    first, end = _parse(command.rows)

    def rows(particle_id: NDArray[np.int64]) -> NDArray[np.intp]:
        if first >= len(particle_id):
            raise InvalidInputError(
                f"there is no row {first}; the file has {counted(len(particle_id), 'row')}, counted from 0"
            )
        chosen = np.arange(first, min(end or len(particle_id), len(particle_id)))
        if len(chosen) > MOST:
            raise InvalidInputError(
                f"{len(chosen)} rows are too many, a picture has at most {MOST}; choose --rows {first}:{first + MOST}"
            )
        return chosen

    return rows


def _of_particle(particle_id: NDArray[np.int64], wanted: int | None) -> NDArray[np.intp]:
    rows = np.flatnonzero(particle_id == wanted)
    if not len(rows):
        raise InvalidInputError(
            f"no row has particle_id {wanted}; it must be from {particle_id.min()} to {particle_id.max()}"
        )
    return rows[:MOST]


def _parse(text: str | None) -> tuple[int, int | None]:
    """The first row, and the row after the last one; None for the end of the file."""
    if text is None:
        return 0, SHOWN
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"--rows {text!r} must be FIRST:END, e.g. 0:{SHOWN}, or one row's number")
    if found[3]:
        return int(found[3]), int(found[3]) + 1
    first, end = int(found[1] or 0), int(found[2]) if found[2] else None
    if end is not None and end <= first:
        raise ConfigError(f"--rows {text!r} selects no row; END is the row after the last one")
    return first, end
