"""From a trained run to `models/<name>/<version>/`: graph, card, golden file, README and pictures."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError
from zdc_common.errors import ConfigError
from zdc_common.file_content import sha256_of
from zdc_common.whole_file import whole_folder
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.card import CARD_FILE, GRAPH_FILE, ConditionSpec, DataSpec, ModelCard, NoiseSpec, TrainingSpec
from zdc_detector.particles import CONDITIONS, UNITS
from zdc_metrics import Report

from zdc_training.config.sections import Experiment
from zdc_training.data.datasets import load_split
from zdc_training.export.model_readme import model_readme
from zdc_training.nn.graph import OPSET, ExportedGraph, check_parity, flops, write_golden, write_graph
from zdc_training.runs.provenance import Provenance, located, read_provenance
from zdc_training.runs.run import Run
from zdc_training.runs.warm_start import save_weights

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
    ConfigError : the run was not trained or not evaluated, its training file has changed or its record is missing, or
        the version exists and `overwrite` is false.
    ModelError : ONNX and torch disagree by more than 1e-4 of the largest pixel.
    """
    config = run.config()
    model = run.load_model()
    record, report = _recorded(run), _evaluated(run)
    _, validation = load_split(located(run, config.data))
    folder = models / config.output.name
    target = folder / str(choose_version(folder, version or config.output.version, overwrite))
    with whole_folder(target) as folder:
        graph = ExportedGraph(model).eval()
        write_graph(graph, folder / GRAPH_FILE)
        check_parity(graph, folder / GRAPH_FILE, validation.particles)
        write_golden(folder, validation, graph)
        card = build_card(
            config,
            int(target.name),
            graph,
            validation.calorimeter,
            record,
            _spent(run, record),
            report,
            sha256_of(folder / GRAPH_FILE),
        )
        (folder / CARD_FILE).write_text(card.model_dump_json(indent=1) + "\n")
        save_weights(folder, model, card.graph_sha256)
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


def _recorded(run: Run) -> Provenance:
    record = read_provenance(run)
    if record is None:
        raise ConfigError(
            f"{run.folder} does not say what it was trained on: an earlier version trained it; train another run"
        )
    return record


def _evaluated(run: Run) -> Report:
    if not run.metrics.is_file():
        raise ConfigError(f"{run.folder} has no {run.metrics.name}; run `train-zdc evaluate {run.folder}` first")
    try:
        return Report.model_validate_json(run.metrics.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{run.metrics}: is no report; run `train-zdc evaluate {run.folder}` again") from error


def _spent(run: Run, record: Provenance) -> TrainingSpec:
    epochs, last = run.records(), record.sessions[-1]
    return TrainingSpec(
        seconds=round(sum(epoch["seconds"] for epoch in epochs), 1),
        epochs=len(epochs),
        device=last.device,
        threads=last.threads,
        processes=last.processes,
    )


def build_card(
    config: Experiment,
    version: int,
    graph: ExportedGraph,
    calorimeter: Calorimeter,
    record: Provenance,
    training: TrainingSpec,
    report: Report,
    graph_sha256: str,
) -> ModelCard:
    """Everything the card says, as it was when the run was trained and evaluated; names of files without their folders.

    Parameters
    ----------
    version : Of the model.
    record, training : What the run was trained on, and what it took.
    report : What `evaluate` found.
    """
    files = {record.train.name: record.train_sha256}
    if report.test_file:
        files[report.test_file] = report.test_sha256
    return ModelCard(
        name=config.output.name,
        version=version,
        description=config.output.description,
        calorimeter=calorimeter,
        conditions=tuple(ConditionSpec(name=n, unit=u) for n, u in zip(CONDITIONS, UNITS, strict=True)),
        scaler=graph.model.describe_scaler(),
        ranges=record.ranges,
        noise=NoiseSpec(dimension=graph.noise),
        takes_pdg=graph.takes_pdg,
        output=graph.model.output,
        finish=config.output.finish,
        opset=OPSET,
        flops_per_response=flops(graph),
        data=DataSpec(description=_description(config, record), files=files, split_seed=config.data.split_seed),
        training=training,
        licence=config.output.licence,
        config=_without_folders(config, report),
        git_commit=record.sessions[-1].commit,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        metrics=report.card_metrics(),
        limitations=_limitations(config, graph, record),
        graph_sha256=graph_sha256,
    )


def _description(config: Experiment, record: Provenance) -> str:
    """What the showers are: the user's words, or the file's; nobody else knows."""
    unknown = f"showers of {record.train.name}, which does not say how they were simulated"
    return config.data.description or record.title or unknown


def _limitations(config: Experiment, graph: ExportedGraph, record: Provenance) -> tuple[str, ...]:
    filtered = (
        f"The training file holds no response with fewer than {record.minimum_photons} photons: a filter dropped them, "
        "and the model gives too few faint and empty ones.",
    )
    return (
        *_LIMITATIONS,
        *(() if graph.takes_pdg else _WITHOUT_PDG),
        *(filtered if record.minimum_photons else ()),
        *config.output.limitations,
        *config.data.limitations,
    )


def _without_folders(config: Experiment, report: Report) -> dict[str, object]:
    """The configuration for a public card, with the test file that the figures were taken on."""
    tree: dict[str, object] = json.loads(config.model_dump_json())
    names = {"train": config.data.train.name, "test": report.test_file or None}
    return tree | {"data": {**json.loads(config.data.model_dump_json()), **names}}
