from pathlib import Path

import numpy as np
import pytest
from helpers.calorimeters import ZN
from helpers.models.tiny_model import TinyModel, write_model
from zdc_common.errors import ModelError
from zdc_common.file_content import sha256_of
from zdc_detector.card import CARD_FILE, GRAPH_FILE, ModelCard
from zdc_detector.particles import Particles
from zdc_detector.ranges import RANGES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path, TinyModel())


def test_a_card_survives_its_file(folder: Path) -> None:
    card = ModelCard.read(folder)
    assert ModelCard.model_validate_json(card.model_dump_json()) == card
    assert card.graph_sha256 == sha256_of(folder / GRAPH_FILE)


def test_another_graph_is_refused(folder: Path) -> None:
    with (folder / GRAPH_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match=r"model.onnx: sha256 is \w{12}..., the card says \w{12}...; copy it again"):
        ModelCard.read(folder)


def test_a_missing_graph_is_named(folder: Path) -> None:
    (folder / GRAPH_FILE).unlink()
    with pytest.raises(ModelError, match=r"model\.onnx: no such file"):
        ModelCard.read(folder)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"card.json: No such file.*a model folder holds card.json and model.onnx"):
        ModelCard.read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version":', '"versoin":', r"card.json: version: Field required \(2 problems\)"),
        ('"output": "rate"', '"output": "counts"', r"card.json: output: Input should be 'rate' or 'count'"),
        (
            '"unit": "MeV"',
            '"unit": "GeV"',
            r"card.json: conditions: .* takes energy .* mass \[GeV\].* must take .* \[MeV\]",
        ),
        ('"schema_version": 1', '"schema_version": 2', "card.json: schema_version"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    path = folder / CARD_FILE
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(ModelError, match=message):
        ModelCard.read(folder)


def test_reasons_name_species_energy_and_vertex(folder: Path) -> None:
    card = ModelCard.read(folder)
    particles = Particles.from_columns(
        {
            "pdg": [2112, 2112, 22, 2212, 22, 22],
            "px": [0] * 6,
            "py": [0] * 6,
            "pz": [1000, -1000, 5, 100, 100, -100],
            "vx": [0, 0, 0, 0, 2, 0],
            "vz": [0, 0, 0, 0, 0, 29],
        }
    )
    assert card.ranges.outside(particles, ZN).tolist() == [0, 0, 2, 1, 3, 0]
    assert RANGES[1:] == ("species", "energy", "vertex", "frame", "position", "slope")
    reasons = {row: card.ranges.message(particles, row, ZN) for row in (2, 3, 4)}
    assert reasons[2].startswith("energy: 5 GeV is outside the trained range [10, 1500] GeV of gamma")
    assert reasons[3].startswith("species: pdg 2212 was not in the training set; it has 2112 (n), 22 (gamma)")
    assert reasons[4].startswith("vertex: vx = 2 cm is outside the trained range [-0.1, 0.1] cm")


@pytest.mark.parametrize(
    ("pz", "vz", "message"),
    [
        (1500.0002, 0.0, "energy: 1500.00024 GeV is outside the trained range [10, 1500] GeV"),
        (100.0, 30.00001, "vertex: vz = 30.0000095 cm is outside the trained range [-30, 30] cm"),
        (-100.0, -40.0, "vertex: vz = -40 cm is outside the trained range [-30, 30] cm"),
    ],
)
def test_what_is_wrong_is_seen_in_the_digits_and_the_signs_that_were_sent(
    folder: Path, pz: float, vz: float, message: str
) -> None:
    ranges = ModelCard.read(folder).ranges
    particles = Particles.from_columns({"pdg": [22], "px": [0.0], "py": [0.0], "pz": [pz], "vz": [vz]})
    assert ranges.outside(particles, ZN).any()
    assert ranges.message(particles, 0, ZN).startswith(message)


@pytest.mark.parametrize("name", ["vx", "vy", "vz", "energy"])
def test_a_bound_is_within_the_range(folder: Path, name: str) -> None:
    """Also if rounding to float32 makes it larger: 0.1 cm was once outside [-0.1, 0.1] cm."""
    bound = np.float32(0.1) if name != "energy" else np.float32(100.1)
    card = ModelCard.read(folder)
    species = tuple(one.model_copy(update={"energy": (0.1, 100.1)}) for one in card.ranges.species)
    ranges = card.ranges.model_copy(update={"species": species, "vertex": ((-0.1, 0.1),) * 3})
    for value, inside in ((bound, True), (np.nextafter(bound, np.float32(1e9)), False)):
        for side in (1, -1):
            columns = {"pdg": [22], "px": [0], "py": [0], "pz": [side * 50.0]}
            columns |= {"pz": [side * value]} if name == "energy" else {name: [side * value]}
            particles = Particles.from_columns(columns)
            assert (ranges.outside(particles, ZN) == 0).all() == inside
            if not inside:
                text = ranges.message(particles, 0, ZN)
                assert text.startswith("energy: " if name == "energy" else f"vertex: {name} = ")


def test_vertices_are_compared_as_mirrored(folder: Path) -> None:
    """The range of vz need not be symmetric: a particle to -z is looked up as its mirror image."""
    card = ModelCard.read(folder)
    ranges = card.ranges.model_copy(update={"vertex": ((-0.1, 0.1), (-0.1, 0.1), (-30.0, 5.0))})
    card = card.model_copy(update={"ranges": ranges})
    columns = {"pdg": [22] * 4, "px": [0] * 4, "py": [0] * 4, "pz": [100, 100, -100, -100], "vz": [10, -10, 10, -10]}
    assert card.ranges.outside(Particles.from_columns(columns), ZN).tolist() == [3, 0, 0, 3]
