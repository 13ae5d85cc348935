"""The whole validation: showers, tables, pictures."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from zdc_common.whole_file import write_whole
from zdc_detector.showers import read_showers
from zdc_metrics.reports.plot_style import save_figure
from zdc_metrics.statistics.tables import header, row

from zdc_training.simulator.data_files import DataFiles
from zdc_training.simulator.set_up import SetUp, read_set_up
from zdc_training.validation import drawing
from zdc_training.validation.parts import PARTS, Part
from zdc_training.validation.plan import (
    ELECTRON,
    NAMES,
    NEUTRON,
    PHOTON,
    PROTON,
    large_studies,
    setting_studies,
)
from zdc_training.validation.response import INSIDE, Response, cloud_of, leakage, ratio, responses
from zdc_training.validation.rows import Row, leakage_rows, response_rows, setting_rows, shipped_rows
from zdc_training.validation.shipped import compared, report_of, simulate_again
from zdc_training.validation.studies import probed

PAGE, TABLE = "validation.md", "validation.csv"
#: Set-ups and the hadron that each calorimeter is built for.
HADRONS = {"zn": NEUTRON, "zp": PROTON}
#: Shipped files of repeated simulations: how many showers of each particle are simulated again, and whether a smaller
#: share means fewer of them, and not fewer particles.
REPEATS = {"zn_geant4_test.h5": (2, False), "zn_geant4_repeats.h5": (10, True)}
TRAINING = "zn_geant4_train.h5"
#: Figures of merit with floors need so many particles.
_FEWEST_FOR_REPORT = 40
_SPECIES = {"neutron": (NEUTRON,), "proton": (PROTON,), "electron": (ELECTRON, -ELECTRON), "photon": (PHOTON,)}
#: Edges of the bins of energy [GeV].
ENERGY_EDGES = np.geomspace(4.0, 7000.0, 11)


@dataclass(frozen=True)
class Validation:
    """Options.

    Attributes
    ----------
    folder : For showers, tables and pictures; what is there is not simulated again.
    data : Folder with the shipped showers.
    showers : Files of showers at the face, made with `train-zdc simulate --spectrum`, for the response.
    share : Share of the showers of the plan, and of the shipped particles.
    workers : Processes.
    data_files : Data files of Geant4.
    parts : What to do.
    """

    folder: Path
    data: Path
    showers: tuple[Path, ...]
    share: float
    workers: int
    data_files: DataFiles
    parts: tuple[Part, ...] = PARTS


def validate(options: Validation) -> Path:
    """Simulate what is missing and write ``validation.md``, ``validation.csv`` and the pictures; returns the page.

    Raises
    ------
    TrainingError : a shower is lost.
    ConfigError, FileFormatError : see `zdc_training.simulator.job.run_job` and `zdc_detector.showers.read_showers`.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    text = [f"Simulated with {options.data_files}."]
    if "response" in options.parts:
        for path in options.showers:
            _add(rows, text, _response(options, path))
    if "shipped" in options.parts:
        for file, (repeats, all_particles) in REPEATS.items():
            _add(rows, text, _shipped(options, file, repeats, all_particles))
    for name, hadron in HADRONS.items():
        if "leakage" in options.parts:
            _add(rows, text, _leakage(options, read_set_up(name), hadron))
        if "settings" in options.parts and name == "zn":
            _add(rows, text, _settings(options, read_set_up(name)))
    write_whole(options.folder / TABLE, _csv(rows))
    write_whole(options.folder / PAGE, "\n".join(text) + "\n")
    return options.folder / PAGE


def _response(options: Validation, path: Path) -> tuple[list[Row], list[str]]:
    """Response from a file of showers at the face, and beside it that of the shipped showers."""
    showers = read_showers(path)
    name = showers.calorimeter.name
    codes = _SPECIES | {"electromagnetic": (PHOTON, ELECTRON, -ELECTRON)}
    hadron = NAMES[HADRONS[name.lower()]]
    cloud = cloud_of(showers)
    found = {species: responses(cloud, each, ENERGY_EDGES) for species, each in codes.items()}
    found = {species: each for species, each in found.items() if each}
    rows = list(response_rows(name, found, hadron, cloud, codes[hadron]))
    drawn = {species: each for species, each in found.items() if species in _SPECIES}
    save_figure(drawing.draw_response(drawn), options.folder / f"{name}-response.png")
    lines = header(
        "particle", "energy [GeV]", "showers", "photons per GeV", "sigma / mean", "radius with 50 % of the light [cm]",
        "with 90 % [cm]",
    )  # fmt: skip
    for species, each in found.items():
        for r in each:
            cells = map(str, (r.per_gev, r.resolution, r.half, r.most))
            lines.append(row(species, f"{r.energy:.3g}", str(r.showers), *cells))
    text = [
        *_beside_shipped(options, name, found),
        "",
        f"## {name}: response",
        "",
        f"{len(showers)} showers of {path.name}. Of energies and widths: those whose particle hits the face at least "
        f"{INSIDE:g} cm from its edge. Errors are standard deviations of a bootstrap over showers.",
        "",
        *_table(rows),
        "",
        f"![Photons per GeV and resolution by energy]({name}-response.png)",
        "",
        *lines,
    ]
    return rows, text


def _beside_shipped(options: Validation, name: str, found: Mapping[str, Sequence[Response]]) -> list[str]:
    """A table of ratios to the shipped training showers, which begin at the interaction point; not paired."""
    if name != "ZN":
        return []
    cloud = cloud_of(read_showers(options.data / TRAINING))
    lines = [
        "",
        f"## {name}: new over shipped showers",
        "",
        f"Shipped are the showers of {TRAINING} whose particle hits the face at least {INSIDE:g} cm from its edge.",
        "",
        *header("particle", "energy [GeV]", "new", "shipped", "photons per GeV", "sigma / mean", "radius with 50 %",
                "radius with 90 %"),
    ]  # fmt: skip
    for species in ("neutron", "photon"):
        theirs = {r.bin: r for r in responses(cloud, _SPECIES[species], ENERGY_EDGES)}
        for ours in found.get(species, ()):
            other = theirs.get(ours.bin)
            if other is not None:
                ratios = (
                    ratio(getattr(ours, key), getattr(other, key)) for key in ("per_gev", "resolution", "half", "most")
                )
                cells = (f"{ours.energy:.3g}", str(ours.showers), str(other.showers), *map(str, ratios))
                lines.append(row(species, *cells))
    return lines


def _leakage(options: Validation, set_up: SetUp, hadron: int) -> tuple[list[Row], list[str]]:
    name = set_up.calorimeter.name
    large = list(large_studies(set_up, hadron, options.share))
    found = probed(large, options.folder / "probes", options.workers, options.data_files)
    depth, half = set_up.geometry.length, min(set_up.calorimeter.half_width)
    named = {f"{NAMES[s.pdg]} of {s.energy:g} GeV": found[s.name] for s in large}
    rows = list(leakage_rows(name, [(what, leakage(each, depth, half)) for what, each in named.items()]))
    save_figure(drawing.draw_profiles(named, depth, half), options.folder / f"{name}-profiles.png")
    return rows, ["", f"## {name}: leakage", "", *_table(rows), "", f"![Where the light is made]({name}-profiles.png)"]


def _settings(options: Validation, set_up: SetUp) -> tuple[list[Row], list[str]]:
    name = set_up.calorimeter.name
    settings = list(setting_studies(set_up, not options.data_files.official, options.share))
    found = probed([study for _, study in settings], options.folder / "probes", options.workers, options.data_files)
    rows = list(setting_rows(name, settings, found))
    save_figure(drawing.draw_settings(rows), options.folder / f"{name}-settings.png")
    text = ["", f"## {name}: dependence on settings", "", *_table(rows)]
    return rows, [*text, "", f"![Photons with a changed setting over those without]({name}-settings.png)"]


def _table(rows: Sequence[Row]) -> list[str]:
    lines = header("quantity", "simulator", "unit", "published", "source")
    lines += [row(r.what, str(r.value), r.unit, r.published, r.source) for r in rows]
    return lines


def _shipped(options: Validation, file: str, repeats: int, all_particles: bool) -> tuple[list[Row], list[str]]:
    """Against one shipped file."""
    share = 1.0 if all_particles else options.share
    again = max(2, round(options.share * repeats)) if all_particles else repeats
    pair = simulate_again(
        options.data / file, options.folder, read_set_up("zn"), again, share, options.workers, options.data_files
    )
    groups = compared(pair)
    stem = Path(file).stem
    save_figure(drawing.draw_shipped(pair), options.folder / f"{stem}.png")
    text = [
        "",
        f"## Against {file}",
        "",
        f"{len(pair.reference.particles)} particles, {pair.reference.responses.shape[1]} shipped and "
        f"{pair.ours.responses.shape[1]} new showers of each; new over shipped, with the standard deviation of a "
        "bootstrap over particles.",
        "",
        *header("particles", "n", "photon sum", "spread of repeats", "width", "lit fibres", "empty", "empty, shipped"),
    ]
    for g in groups:
        cells = (g.photons, g.spread, g.width, g.lit, g.empty, g.reference_empty)
        text.append(row(g.group, str(g.particles), *map(str, cells)))
    text += ["", f"![New against shipped showers of the same particles]({stem}.png)"]
    if len(pair.reference.particles) >= _FEWEST_FOR_REPORT:
        text += ["", report_of(pair).to_markdown().rstrip()]
    return list(shipped_rows(file, groups)), text


def _add(rows: list[Row], text: list[str], found: tuple[list[Row], list[str]]) -> None:
    rows += found[0]
    text += found[1]


def _csv(rows: Sequence[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["section", "quantity", "value", "error", "unit", "published", "source"])
    for r in rows:
        value = f"{r.value.value:.6g}", f"{r.value.error:.3g}"
        writer.writerow([r.section, r.what, *value, r.unit, r.published, r.source])
    return buffer.getvalue()
