"""`zdc validate`: write a report that compares generated with simulated responses."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic_settings import BaseSettings, CliPositionalArg, SettingsConfigDict
from zdc_common.commands import ListedText, end
from zdc_common.errors import ConfigError, InvalidInputError
from zdc_common.whole_file import write_whole

from zdc_service.commands.bounds import Bound, Kind
from zdc_service.commands.provenance import origin_of, origin_section
from zdc_service.commands.validate_extra import need_validate_extra

if TYPE_CHECKING:
    from zdc_metrics.reports.html_report import ReportSection
    from zdc_metrics.reports.validation import Validation
    from zdc_metrics.samples.samples import Sample

#: Exit code in addition to those of `zdc_common.commands`: the report is written, but a figure fails its bound.
BEYOND = 3


class Validate(BaseSettings):
    """Compare a file of generated responses with simulated responses, and write an HTML report.

    For example, with a reference in which each particle was simulated five times:

      zdc simulate --input geant.h5 --repeats 50 --output generated.h5
      zdc validate generated.h5 --reference geant.h5 --output report.html

    Figures with a floor need the same particles in both files, with at least four simulated and two generated responses
    each; with fifty generated responses, the generator's fluctuations hardly contribute. Distributions are compared in
    any case.

    Exit codes: 0 done; 2 an option or a file is invalid, or a figure with a bound cannot be computed; 3 the report is
    written, but a figure fails its bound.
    """

    model_config = SettingsConfigDict(env_prefix="ZDC_VALIDATE_", extra="forbid")

    generated: CliPositionalArg[Path] = Field(description="HDF5 file of generated responses, from zdc simulate")
    reference: Path = Field(description="HDF5 file of simulated responses, in the same layout")
    output: Path | None = Field(
        None, description="HTML file to write or replace; default: the generated file's name ending in .html"
    )
    json_output: Path | None = Field(None, description="also write all numbers to this JSON file")
    fail_above: list[ListedText] = Field(
        [],
        description="exit with code 3 if a figure is larger, e.g. auc=0.65,crps_ratio=1.1; NAME is a figure over all "
        "particles, NAME_ratio is its ratio to the floor; repeatable",
    )
    fail_below: list[ListedText] = Field(
        [], description="exit with code 3 if a figure is smaller, e.g. dispersion=0.9; repeatable"
    )
    seed: int = Field(0, ge=0, description="random seed of the bootstrap and the classifier")
    resamples: int = Field(200, ge=10, description="bootstrap resamples for the intervals")

    def cli_cmd(self) -> None:
        """Run the command; if a figure fails its bound, print one line and exit with code 3."""
        need_validate_extra("zdc validate")
        lines, beyond = run(self)
        print("\n".join(lines))
        if beyond:
            end("zdc validate", "; ".join(beyond), BEYOND)


def run(command: Validate) -> tuple[list[str], list[str]]:
    """Compare the files and write the report.

    Returns
    -------
    Lines of a summary, and one message for each figure that fails its bound.

    Raises
    ------
    ConfigError : an option is invalid; checked before the files are read.
    FileFormatError : a file cannot be read.
    InvalidInputError : the files have no particles in common, or a figure with a bound cannot be computed; no report is
        written in this case.
    """
    from zdc_metrics.reports.html_report import write_report
    from zdc_metrics.reports.validation import validate
    from zdc_metrics.reports.validation_page import sections
    from zdc_metrics.samples.samples import read_sample
    from zdc_metrics.scores.report import HEADINGS, WITHOUT_RATIO

    bounds = [
        *(Bound.parse(text, Kind.ABOVE) for texts in command.fail_above for text in texts.split(",")),
        *(Bound.parse(text, Kind.BELOW) for texts in command.fail_below for text in texts.split(",")),
    ]
    for bound in bounds:
        bound.check(HEADINGS, WITHOUT_RATIO)
    output = command.output or command.generated.with_suffix(".html")
    _check_outputs(command, output)
    reference = read_sample(command.reference)
    generated = read_sample(command.generated, "generated")
    if generated.name == reference.name:
        generated = replace(generated, name=f"{generated.name} ({command.generated.stem})")
    try:
        found = validate(
            reference, generated, reference_file=command.reference, seed=command.seed, resamples=command.resamples
        )
    except InvalidInputError as error:
        raise InvalidInputError(f"{command.generated} and {command.reference}: {error}") from error
    beyond = _check_bounds(bounds, found)
    origin = origin_of((command.reference, reference), (command.generated, generated))
    write_report(
        output,
        f"{command.generated.name} against {command.reference.name}",
        [*_bounds_section(bounds, beyond), *sections(found), origin_section(origin)],
        _lead(found, command),
    )
    if command.json_output is not None:
        record = {
            "provenance": origin.model_dump(mode="json"),
            "beyond_bounds": beyond,
            **found.record().model_dump(mode="json"),
        }
        write_whole(command.json_output, json.dumps(record, indent=1, allow_nan=False) + "\n")
    return [*_lines(found), f"wrote {output}"], beyond


def _check_outputs(command: Validate, output: Path) -> None:
    for path in (output, command.json_output):
        if path is None:
            continue
        if path.is_dir():
            raise ConfigError(f"{path}: this is a folder; name a file")
        if not path.parent.is_dir():
            raise ConfigError(f"{path}: the folder {path.parent} does not exist; create it first")
        if path.resolve() in (command.generated.resolve(), command.reference.resolve()):
            raise ConfigError(f"{path}: this is one of the files to compare; choose another name")


def _check_bounds(bounds: list[Bound], found: "Validation") -> list[str]:
    if bounds and found.report is None:
        raise InvalidInputError(f"{bounds[0].name} has a bound but cannot be computed: {found.why_unpaired}")
    if found.report is None:
        return []
    return [text for text in (bound.exceeded(found.report.overall.figures) for bound in bounds) if text is not None]


def _bounds_section(bounds: list[Bound], beyond: list[str]) -> "list[ReportSection]":
    from zdc_metrics.reports.html_report import ReportSection, TextBlock

    if not bounds:
        return []
    required = TextBlock(f"Required: {', '.join(str(bound) for bound in bounds)}.")
    found = f"Failed: {'; '.join(beyond)}." if beyond else "All bounds are met."
    return [ReportSection("Bounds", [required, TextBlock(found, warning=bool(beyond))])]


def _lead(found: "Validation", command: Validate) -> str:
    first, second = found.names
    return (
        f"Responses of {found.compared.reference.calorimeter.name}. {first}: {command.reference.name}"
        f"{_titled(found.reference)}. {second}: {command.generated.name}{_titled(found.generated)}."
    )


def _titled(sample: "Sample") -> str:
    title = sample.attributes.get("title")
    return f" ({title})" if title else ""


def _lines(found: "Validation") -> list[str]:
    used = found.compared
    lines = [f"compared {len(used.generated)} generated with {len(used.reference)} reference responses"]
    lines += [f"note: {text}" for text in used.left_out]
    lines += [f"note: {found.copies_in_words}"] if found.copies else []
    if found.report is None:
        return [*lines, f"figures with a floor are not computed: {found.why_unpaired}"]
    for name, figure in found.report.overall.figures.items():
        ratio = "" if figure.ratio is None else f", ratio {figure.ratio:.3g}"
        shown = ["–" if value is None else f"{value:.3g}" for value in (figure.value, figure.floor)]
        lines.append(f"{name} {shown[0]} (floor {shown[1]}{ratio})")
    return lines
