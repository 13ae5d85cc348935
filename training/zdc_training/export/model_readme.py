"""The README of an exported model: its card as text."""

from zdc_common.words import counted
from zdc_detector.card import ModelCard
from zdc_detector.finish import Finish
from zdc_detector.frames import Frame
from zdc_metrics import Report

from zdc_training.evaluation.curves import CURVES_FILE
from zdc_training.evaluation.evaluate import DISTRIBUTIONS_FILE, RESPONSES_FILE

_CAPTIONS = {
    RESPONSES_FILE: "Rows: test particles; columns: simulated and generated responses; logarithmic colour scale",
    DISTRIBUTIONS_FILE: "Distributions of the photon sum and the channels, simulated and generated, and their ratio",
    CURVES_FILE: "Training: loss terms and validation figures by epoch",
}


#: How the output of the graph becomes photon counts, by finish.
_COUNTS = {
    Finish.NONE: "output of the networks unchanged",
    Finish.ROUND: "output of the networks rounded to photon counts",
    Finish.POISSON: "photon counts drawn from a Poisson distribution around the model's rates",
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


def _source(card: ModelCard) -> str:
    source = card.fine_tuned_from
    if source is None:
        return ""
    files = ", ".join(f"{name} (sha256 {digest[:12]}...)" for name, digest in source.trained_on.items())
    return f"\nFine-tuned from {source}, which was trained on {files or 'showers that are not recorded'}."


def _floor(report: Report) -> str:
    if report.simulated_repeats < 2:
        return ""
    same = f"{report.simulation} against {report.simulation}"
    return (
        f" The floor is the same figure for {same} at the same sample size "
        "(MAE, CRPS and empty share do not depend on it)."
    )


def _at_face(card: ModelCard) -> str:
    """What the model knows of particles at the face, as sentences."""
    face = card.ranges.face
    if face is None:
        return "Particles that are given at the face are refused."
    (x, y), slopes = face.position, face.slope
    bounds = f"x {x[0]:g} to {x[1]:g}, y {y[0]:g} to {y[1]:g}"
    bounds_of = zip(("px/pz", "py/pz"), slopes, strict=True)
    angles = "; ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in bounds_of)
    text = f"Particles at the face (`frame = face`) [cm]: {bounds}; {angles}."
    if Frame.VERTEX in card.ranges.frames:
        return text
    return f"{text} All training showers were at the face: neutral particles from a vertex are carried there."


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
    frames = _at_face(card)
    return f"""# {card.name}, version {card.version}

{card.description}. Calorimeter {card.calorimeter.name}, responses of {rows} x {columns} fibres, {_COUNTS[card.finish]}.
Trained on {card.data.description}, commit `{card.git_commit}`{_took(card)}.{_source(card)}
Licence: {card.licence or "not stated"}.
{graph_bytes / 1e6:.2f} MB, {card.flops_per_response / 1e6:.1f} MFLOP per response (1 multiply-add = 2).

## What it can do

| PDG code | species | trained energies [GeV] |
| --- | --- | --- |
{species}

Vertices [cm]: {vertex}. {frames} For particles that fly to -z, the mirror image is simulated.

## What it cannot do

{limits}

## Figures of merit

Photon counts of the model for {report.test_file or "the test file"}, which was not used in training.{_floor(report)}
The data are not those of the paper, so these figures cannot be compared with the paper's.

{report.to_markdown()}
## Pictures

{shown}
"""
