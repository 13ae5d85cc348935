"""The provenance of a report: input files with hashes, command, versions and date."""

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field
from zdc_common.file_content import sha256_of
from zdc_common.versions import installed_version

if TYPE_CHECKING:
    from zdc_metrics.reports.html_report import ReportSection
    from zdc_metrics.samples.samples import Sample

#: Packages on which numbers and pictures may depend.
_PACKAGES = ("numpy", "scipy", "scikit-learn", "matplotlib", "mplhep", "h5py")


class FileRecord(BaseModel):
    """An input file of a report."""

    file: str
    sha256: str
    responses: int
    attributes: dict[str, str | int | float]


class ReportOrigin(BaseModel):
    """The command, versions and input files of a report."""

    command: str
    date: str = Field(description="UTC, ISO 8601")
    software: str = Field(description="version of zdc-fastsim")
    packages: dict[str, str]
    reference: FileRecord
    generated: FileRecord


def origin_of(reference: tuple[Path, "Sample"], generated: tuple[Path, "Sample"]) -> ReportOrigin:
    """The provenance of a report that this process makes from two files and their samples."""
    return ReportOrigin(
        command=shlex.join(["zdc", *sys.argv[1:]]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        software=installed_version(),
        packages={name: installed_version(name) for name in _PACKAGES},
        reference=_record(*reference),
        generated=_record(*generated),
    )


def _record(path: Path, sample: "Sample") -> FileRecord:
    return FileRecord(
        file=str(path), sha256=sha256_of(path), responses=len(sample.showers), attributes=sample.attributes
    )


def origin_section(origin: ReportOrigin) -> "ReportSection":
    """The provenance as the last section of the report."""
    from zdc_metrics.reports.html_report import ReportSection, TableBlock, TextBlock

    files = origin.reference, origin.generated
    rows = [(name, *(str(getattr(file, name)) for file in files)) for name in ("file", "sha256", "responses")]
    for name in {**origin.reference.attributes, **origin.generated.attributes}:
        rows.append((name, *(str(file.attributes.get(name, "")) for file in files)))
    packages = ", ".join(f"{name} {number}" for name, number in origin.packages.items())
    return ReportSection(
        "ReportOrigin",
        [
            TableBlock(("entry", "reference", "generated"), rows),
            TextBlock(f"Command: {origin.command}"),
            TextBlock(f"Made on {origin.date} with zdc-fastsim {origin.software}, {packages}."),
        ],
    )
