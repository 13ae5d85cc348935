"""From a trained run to `models/<name>/<version>/`: graph, card, golden file, README and pictures."""

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from particle import Particle as PdgEntry
from pydantic import ValidationError
from zdc_detector.card import (
    CARD_FILE,
    GRAPH_FILE,
    ConditionSpec,
    DataSpec,
    ModelCard,
    NoiseSpec,
    Ranges,
    SpeciesRange,
    sha256_of,
)
from zdc_detector.errors import ConfigError
from zdc_detector.particles import CONDITIONS, ENERGY, UNITS, VX, VZ, by_frequency
from zdc_detector.showers import Showers
from zdc_detector.whole_file import whole_folder
from zdc_metrics import Report

from zdc_training.config import AnyConfig, data_path, held_out_path
from zdc_training.data import load_split
from zdc_training.fast_config import FastConfig
from zdc_training.graph import OPSET, ExportedGraph, check_parity, flops, write_golden, write_graph
from zdc_training.image_generator import ImageGenerator
from zdc_training.learner import Generator
from zdc_training.model_readme import model_readme
from zdc_training.run import Run

#: With `cell` scaling a vertex acts through the impact point (and vz a little, in the trained range): 1 cm across and
#: 100 cm along the beam change the angle by at most 0.1 mrad, 0.1 mm over the metre of the calorimeter.
_VERTEX = ((-1.0, 1.0), (-1.0, 1.0), (-100.0, 100.0))

#: What no graph of this kind can do, whatever it was trained on.
_LIMITATIONS = (
    "A particle whose straight line misses the face gives an empty response. For photons that is exact; for particles "
    "that may decay on the way (K0S, Lambda) it neglects decay products that would reach the face.",
)
_WITHOUT_PDG = (
    "Species are told apart by mass and charge alone: neutron and antineutron, and K0S and K0L, give equal responses.",
)


def export(run: Run, models: Path, overwrite: bool = False, version: int | None = None) -> Path:
    """Write the run's best model as a folder that the service loads; the folder appears whole or not at all.

    Parameters
    ----------
    models : Gets <name>/<version>/.
    overwrite : Replace a version that is there.
    version : Default: the configuration's, or else the next one.

    Raises
    ------
    ConfigError : the run was not trained or not evaluated, or the version exists and `overwrite` is false.
    ModelError : ONNX and torch disagree by more than 1e-4 of the largest pixel.
    """
    config = run.config()
    training, validation = load_split(config.data)
    model = run.load_model()
    if not run.metrics.is_file():
        raise ConfigError(f"{run.folder} has no {run.metrics.name}; run `train-zdc evaluate {run.folder}` first")
    try:
        report = Report.model_validate_json(run.metrics.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{run.metrics}: is no report; run `train-zdc evaluate {run.folder}` again") from error
    folder = models / config.output.name
    target = folder / str(choose_version(folder, version or config.output.version, overwrite))
    with whole_folder(target) as folder:
        graph = ExportedGraph(model).eval()
        write_graph(graph, folder / GRAPH_FILE)
        check_parity(graph, folder / GRAPH_FILE, validation.particles)
        write_golden(folder, validation, graph)
        card = build_card(config, int(target.name), graph, training, report, sha256_of(folder / GRAPH_FILE))
        (folder / CARD_FILE).write_text(card.model_dump_json(indent=1) + "\n")
        pictures = [shutil.copy(path, folder) for path in sorted(run.folder.glob("*.png"))]
        text = model_readme(card, report, (folder / GRAPH_FILE).stat().st_size, [Path(p).name for p in pictures])
        (folder / "README.md").write_text(text)
    return target


def choose_version(folder: Path, wanted: int | None, overwrite: bool) -> int:
    """The version to write beside those in `folder`: the wanted one, or else the next.

    Raises
    ------
    ConfigError : the wanted version is there and `overwrite` is false, or `overwrite` is true and none is wanted.
    """
    present = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []
    if wanted is None and overwrite:
        raise ConfigError(
            f"--overwrite replaces one version: say which with --model-version ({folder} has "
            f"{', '.join(map(str, present)) or 'none'}); without both the next one is written"
        )
    if wanted is None:
        return max(present, default=0) + 1
    if wanted in present and not overwrite:
        raise ConfigError(f"{folder / str(wanted)} exists; add --overwrite, or name no version to write the next one")
    return wanted


def build_card(
    config: AnyConfig, version: int, graph: ExportedGraph, training: Showers, report: Report, graph_sha256: str
) -> ModelCard:
    """Everything the card says, from the run and the training set."""
    train, test = data_path(config.data.train), held_out_path(config.data)
    return ModelCard(
        name=config.output.name,
        version=version,
        description=config.output.description,
        calorimeter=training.calorimeter,
        conditions=tuple(ConditionSpec(name=n, unit=u) for n, u in zip(CONDITIONS, UNITS, strict=True)),
        scaler=_scaler(config, graph.model),
        ranges=trained_ranges(training, "cell" if isinstance(config, FastConfig) else config.model.scaling),
        noise=NoiseSpec(dimension=graph.noise),
        takes_pdg=graph.takes_pdg,
        output=graph.model.output,
        finish=config.output.finish,
        opset=OPSET,
        flops_per_response=flops(graph),
        data=DataSpec(
            description=config.data.description,
            files={path.name: sha256_of(path) for path in (train, test)},
            split_seed=config.data.split_seed,
        ),
        config=json.loads(config.model_dump_json()),
        git_commit=git_commit(Path(__file__)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        metrics=report.card_metrics(),
        limitations=(*_LIMITATIONS, *(() if graph.takes_pdg else _WITHOUT_PDG), *config.output.limitations),
        graph_sha256=graph_sha256,
    )


def _scaler(config: AnyConfig, model: Generator) -> dict[str, object]:
    if isinstance(config, FastConfig):
        return {"kind": "entry", "species": list(config.model.species)}
    assert isinstance(model, ImageGenerator)
    scaler = model.scaler
    return {"kind": config.model.scaling, "mean": scaler.mean.tolist(), "scale": scaler.scale.tolist()}


def trained_ranges(training: Showers, scaling: str) -> Ranges:
    """Species, most frequent first, their energies (rounded outward to two digits), and the vertices to ask for."""
    particles = training.particles
    species = []
    for code in by_frequency(particles.pdg)[0]:
        energy = particles.conditions[particles.pdg == code, ENERGY].astype(np.float64)
        low, high = _two_digits(energy.min(), math.floor), _two_digits(energy.max(), math.ceil)
        species.append(SpeciesRange(pdg=int(code), name=PdgEntry.from_pdgid(int(code)).name, energy=(low, high)))
    if scaling == "cell":
        return Ranges(species=tuple(species), vertex=_VERTEX)
    vertices = particles.conditions[:, VX : VZ + 1].astype(np.float64)
    x, y, z = ((float(column.min()), float(column.max())) for column in vertices.T)
    return Ranges(species=tuple(species), vertex=(x, y, z))


def _two_digits(value: float, rounding: Callable[[float], int]) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return rounding(value / unit) * unit


def git_commit(file: Path) -> str:
    """The commit of the checkout that tracks `file`, with ``-dirty`` where it was changed; ``unknown`` without one."""
    commands = (
        ["git", "ls-files", "--error-unmatch", file.name],  # an environment may lie inside another project's checkout
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
    )
    answer = ""
    for command in commands:
        try:
            found = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
        except FileNotFoundError:  # no git here
            return "unknown"
        if found.returncode:
            return "unknown"
        answer = found.stdout.strip()
    return answer
