"""The README beside an exported model: its card in words, for people."""

from zdc_common.words import counted
from zdc_detector.card import ModelCard
from zdc_metrics import Report

from zdc_training.evaluation.curves import CURVES_FILE
from zdc_training.evaluation.evaluate import DISTRIBUTIONS_FILE, RESPONSES_FILE

_CAPTIONS = {
    RESPONSES_FILE: "Rows: test particles; columns: simulated and generated responses, logarithmic colours",
    DISTRIBUTIONS_FILE: "Photon sum and channels, simulated and generated, and their ratio",
    CURVES_FILE: "Training: the loss terms and the validation figures by epoch",
}


def _took(card: ModelCard) -> str:
    spent = card.training
    if spent is None:
        return ""
    where = counted(spent.threads, "thread") if spent.device == "cpu" else spent.device
    many = f" in each of {spent.processes} processes" if spent.processes > 1 else ""
    time = f"{spent.seconds / 60:.1f} minutes" if spent.seconds >= 60 else f"{spent.seconds:.0f} seconds"
    epochs = counted(spent.epochs, "epoch")
    return f", {epochs} in {time} on {where}{many}"


def _floor(report: Report) -> str:
    if report.simulated_repeats < 2:
        return ""
    same = f"{report.simulation} against {report.simulation}"
    return f" The floor is {same} at the same sample size (MAE, CRPS and empty share do not depend on it)."


def model_readme(card: ModelCard, report: Report, graph_bytes: int, pictures: list[str]) -> str:
    """Markdown text from the card and the evaluation report."""
    rows, columns = card.calorimeter.shape
    species = "\n".join(f"| {s.pdg} | {s.name} | {s.energy[0]:g} - {s.energy[1]:g} |" for s in card.ranges.species)
    limits = "\n".join(f"- {text}" for text in card.limitations)
    shown = "\n\n".join(
        f"![{_CAPTIONS.get(name, name)}]({name})\n\n*{_CAPTIONS.get(name, name)}.*" for name in pictures
    )
    vertex = "; ".join(
        f"{axis} {low:g} to {high:g}" for axis, (low, high) in zip(("vx", "vy", "vz"), card.ranges.vertex, strict=True)
    )
    return f"""# {card.name}, version {card.version}

{card.description}. Calorimeter {card.calorimeter.name}, responses of {rows} x {columns} fibres, finish `{card.finish}`.
Trained on {card.data.description}, commit `{card.git_commit}`{_took(card)}.
Licence: {card.licence or "not stated"}.
{graph_bytes / 1e6:.2f} MB, {card.flops_per_response / 1e6:.1f} MFLOP a response (1 multiply-add = 2).

## What it can do

| pdg | species | trained energies [GeV] |
| --- | --- | --- |
{species}

Vertices [cm]: {vertex}. Particles that fly to -z are simulated as their mirror image.

## What it cannot do

{limits}

## Figures of merit

On {report.test_file or "the test file"}, which was not trained on, finished counts.{_floor(report)}
These are not the paper's data: the figures cannot be compared with the paper's.

{report.to_markdown()}
## Pictures

{shown}
"""
