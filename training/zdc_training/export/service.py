"""Export of a trained run to `models/<name>/<version>/`: graph, card, golden file, README and pictures."""

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
from zdc_training.runs.weights_file import save_weights

#: Limitations of every exported graph.
_LIMITATIONS = (
    "A particle whose straight line misses the face gives an empty response. For photons this is exact; for particles "
    "that can decay before the face (K0S, Lambda) it neglects decay products that would reach it.",
)
_WITHOUT_PDG = (
    "The model distinguishes species only by mass and charge: neutron and antineutron have the same response, and so "
    "have K0S and K0L.",
)


def export(run: Run, models: Path, overwrite: bool = False, version: int | None = None) -> Path:
    """Write the best model of a run as a folder for the service; the folder appears complete or not at all.

    Parameters
    ----------
    models : Parent of the folder <name>/<version>/.
    overwrite : Replace an existing version.
    version : Version to write; default: that of the configuration, or else the next free number.

    Raises
    ------
    ConfigError : the run is not trained or not evaluated, its training file has changed or its record is missing, or
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
            save_weights(folder, model),
        )
        (folder / CARD_FILE).write_text(card.model_dump_json(indent=1) + "\n")
        pictures = [shutil.copy(path, folder) for path in sorted(run.folder.glob("*.png"))]
        text = model_readme(card, report, (folder / GRAPH_FILE).stat().st_size, [Path(p).name for p in pictures])
        (folder / "README.md").write_text(text)
    return target


def choose_version(folder: Path, wanted: int | None, overwrite: bool) -> int:
    """The version to write into `folder`: the wanted one, or else the next free number.

    Raises
    ------
    ConfigError : the wanted version exists and `overwrite` is false, or `overwrite` is true without a wanted version.
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
        raise ConfigError(f"{run.metrics}: is not a report; run `train-zdc evaluate {run.folder}` again") from error


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
    weights_sha256: str,
) -> ModelCard:
    """The model card, with the state of training and evaluation; file names without their folders.

    Parameters
    ----------
    version : Version of the model.
    record, training : Data and cost of the training.
    report : Result of `train-zdc evaluate`.
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
        config=_without_folders(config, record, report),
        git_commit=record.sessions[-1].commit,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        metrics=report.card_metrics(),
        limitations=_limitations(config, graph, record),
        graph_sha256=graph_sha256,
        weights_sha256=weights_sha256,
        fine_tuned_from=record.source,
    )


def _description(config: Experiment, record: Provenance) -> str:
    """The description of the showers: of the configuration, or else the title of the training file."""
    unknown = f"showers of {record.train.name}, which does not say how they were simulated"
    return config.data.description or record.title or unknown


def _limitations(config: Experiment, graph: ExportedGraph, record: Provenance) -> tuple[str, ...]:
    filtered = (
        f"A filter dropped all responses with fewer than {record.minimum_photons} photons from the training file, so "
        f"the "
        "model gives too few faint and empty responses.",
    )
    return (
        *_LIMITATIONS,
        *(() if graph.takes_pdg else _WITHOUT_PDG),
        *(filtered if record.minimum_photons else ()),
        *config.output.limitations,
        *config.data.limitations,
    )


def _without_folders(config: Experiment, record: Provenance, report: Report) -> dict[str, object]:
    """The configuration for a public card, without folders, and with the test file of the figures."""
    tree: dict[str, object] = json.loads(config.model_dump_json())
    names = {"train": config.data.train.name, "test": report.test_file or None}
    source = record.source
    if source is not None:
        tree["start_from"] = source.name if source.version is None else f"{source.name}/{source.version}"
    return tree | {"data": {**json.loads(config.data.model_dump_json()), **names}}
