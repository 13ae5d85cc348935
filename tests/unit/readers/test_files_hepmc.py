"""Particles that reach a calorimeter, from HepMC3 files."""

import gzip
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyhepmc
import pytest
from zdc_common.errors import FileFormatError
from zdc_detector.particles import PX, PZ, VX, VZ
from zdc_readers import ParticleBlock, open_particles

EXCERPT = Path(__file__).parents[2] / "data" / "events_excerpt.hepmc3.gz"
FACE_Z, HALF_WIDTH = 11259.8, 3.52  # cm

Row = tuple[int, float, float, float]


def independent_count(path: Path) -> tuple[Counter[str], set[tuple[int, int]]]:
    """Reasons and kept (event, id), from the text of a file in GeV with all vertices at the origin."""
    neutral = {22, 111, 130, 310, 311, 221, 2112, 3122, 3212, 3322, 12, 14, 16, 421, 441, 511, 531, 4132, 5122}
    counts: Counter[str] = Counter()
    kept = set()
    event = -1
    with gzip.open(path, "rt") as file:
        for line in file:
            words = line.split()
            if line.startswith("E "):
                event = int(words[1])
            if not line.startswith("P ") or words[-1] != "1":
                continue
            counts["final"] += 1
            px, py, pz = map(float, words[4:7])
            if abs(int(words[3])) not in neutral:
                counts["charged"] += 1
            elif max(abs(px), abs(py)) * FACE_Z >= HALF_WIDTH * abs(pz):
                counts["misses the face"] += 1
            else:
                kept.add((event, int(words[1])))
    return counts, kept


def test_counts_agree_with_an_independent_reading() -> None:
    expected, kept = independent_count(EXCERPT)
    reader = open_particles(EXCERPT, block_rows=4)
    blocks = list(reader)
    assert all(len(block.particles) <= 4 for block in blocks)
    pairs = [
        pair
        for block in blocks
        for pair in zip(block.columns["event"].tolist(), block.columns["barcode"].tolist(), strict=True)
    ]
    assert len(pairs) == len(set(pairs)) > 5
    assert set(pairs) == kept
    assert reader.read == expected.pop("final")
    assert reader.skipped == expected
    assert reader.read == sum(expected.values()) + len(pairs)
    sides = {side for block in blocks for side in block.particles.side.tolist()}
    assert sides == {b"A", b"C"}
    assert reader.has_whole_events
    assert reader.progress == (EXCERPT.stat().st_size,) * 2


def generator_event(number: int, unit: str, length: str, rows: list[Row], vertex: float = 0.0) -> pyhepmc.GenEvent:
    """One event whose final-state particles (pdg, px, py, pz) come from one vertex at (vertex, 0, vertex)."""
    event = pyhepmc.GenEvent(getattr(pyhepmc.Units, unit), getattr(pyhepmc.Units, length))
    event.event_number = number
    beam = pyhepmc.GenParticle(pyhepmc.FourVector(0, 0, 1, 1), 2212, 4)
    point = pyhepmc.GenVertex(pyhepmc.FourVector(vertex, 0, vertex, 0))
    point.add_particle_in(beam)
    for pdg, px, py, pz in rows:
        momentum = pyhepmc.FourVector(px, py, pz, math.sqrt(px**2 + py**2 + pz**2))
        point.add_particle_out(pyhepmc.GenParticle(momentum, pdg, 1))
    event.add_vertex(point)
    return event


def write(path: Path, *events: pyhepmc.GenEvent) -> Path:
    with pyhepmc.open(path, "w") as file:
        for event in events:
            file.write(event)
    return path


def only_block(path: Path) -> ParticleBlock:
    (block,) = list(open_particles(path))
    return block


@pytest.mark.parametrize("ending", [".hepmc3", ".hepmc3.gz", ".hepmc"])
@pytest.mark.parametrize(("unit", "momentum"), [("GEV", 1.0), ("MEV", 1e-3)])
@pytest.mark.parametrize(("length", "centimetres"), [("MM", 0.1), ("CM", 1.0)])
def test_declared_units_are_converted(
    tmp_path: Path, ending: str, unit: str, momentum: float, length: str, centimetres: float
) -> None:
    rows = [(2112, 0.1 / momentum, 0.0, -1500.0 / momentum)]
    path = write(tmp_path / f"events{ending}", generator_event(5, unit, length, rows, vertex=2.0))
    block = only_block(path)
    conditions = block.particles.conditions[0]
    assert conditions[PX] == pytest.approx(0.1)
    assert conditions[PZ] == pytest.approx(-1500.0)
    assert conditions[VX] == pytest.approx(2.0 * centimetres)
    assert conditions[VZ] == pytest.approx(2.0 * centimetres)
    assert block.columns["event"].tolist() == [5]
    assert block.columns["barcode"].tolist() == [2]
    assert block.place(0) == "event 5, particle 2"


def test_the_vertex_decides_whether_the_face_is_met(tmp_path: Path) -> None:
    rows: list[Row] = [(22, 0.0, 0.0, 100.0), (22, 0.0, 0.0, -100.0)]
    path = write(
        tmp_path / "events.hepmc3",
        generator_event(1, "GEV", "CM", rows, 3.5),
        generator_event(2, "GEV", "CM", rows, 3.6),
    )
    reader = open_particles(path)
    (block,) = list(reader)
    assert block.columns["event"].tolist() == [1, 1]
    assert reader.skipped == {"misses the face": 2}


def test_a_vertex_without_position_inherits_its_ancestors(tmp_path: Path) -> None:
    event = generator_event(1, "GEV", "MM", [(3122, 0.0, 0.0, 500.0)], vertex=20.0)
    decaying = event.particles[-1]
    decaying.status = 2
    decay = pyhepmc.GenVertex()
    decay.add_particle_in(decaying)
    decay.add_particle_out(pyhepmc.GenParticle(pyhepmc.FourVector(0, 0, 400, 400), 2112, 1))
    event.add_vertex(decay)
    block = only_block(write(tmp_path / "events.hepmc3", event))
    assert block.particles.pdg.tolist() == [2112]
    np.testing.assert_allclose(block.particles.conditions[0, VX : VZ + 1], [2.0, 0.0, 2.0])


def test_every_reason_is_counted(tmp_path: Path) -> None:
    rows: list[Row] = [
        (2112, 0.0, 0.0, 1000.0),
        (2212, 0.0, 0.0, 1000.0),
        (-211, 0.0, 0.0, 1000.0),
        (22, 1.0, 0.0, 10.0),
        (22, 1.0, 0.0, 0.0),
        (22, 1.0, 0.0, 1e-12),
        (99999999, 0.0, 0.0, 100.0),
    ]
    reader = open_particles(write(tmp_path / "events.hepmc3", generator_event(1, "GEV", "MM", rows)))
    (block,) = list(reader)
    assert block.particles.pdg.tolist() == [2112]
    assert reader.read == 7
    assert reader.skipped == {"charged": 2, "misses the face": 3, "not in the PDG table": 1}


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.decompress(EXCERPT.read_bytes())
    between_events = whole.index(b"\nE 7 ") + 1
    for cut in (len(whole) // 2, between_events, len(whole) - 40):
        path = tmp_path / "events.hepmc3"
        path.write_bytes(whole[:cut])
        with pytest.raises(FileFormatError, match=r"truncated|write the file again"):
            list(open_particles(path))


def test_damaged_compression_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.hepmc3.gz"
    data = EXCERPT.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(
        FileFormatError, match=r"after [1-9]+ events: the gzip stream is truncated; write the file again"
    ):
        list(open_particles(path))


def test_compression_is_recognised_from_the_content(tmp_path: Path) -> None:
    expected = only_block(EXCERPT).particles.conditions
    for name, content in (
        ("a.hepmc3.gz", gzip.decompress(EXCERPT.read_bytes()) + b"\n" * 600),
        ("a.hepmc3", EXCERPT.read_bytes()),
    ):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(only_block(tmp_path / name).particles.conditions, expected)


def test_listings_one_after_the_other_are_all_read(tmp_path: Path) -> None:
    (tmp_path / "a.hepmc3.gz").write_bytes(EXCERPT.read_bytes() * 2)
    both = [block.particles.conditions for block in open_particles(tmp_path / "a.hepmc3.gz")]
    expected = only_block(EXCERPT).particles.conditions
    np.testing.assert_array_equal(np.concatenate(both), np.concatenate([expected, expected]))


def test_a_damaged_record_is_refused_with_its_place(tmp_path: Path) -> None:
    lines = gzip.decompress(EXCERPT.read_bytes()).split(b"\n")
    third = [i for i, line in enumerate(lines) if line.startswith(b"E ")][2]
    lines[third + 10] = b"P 6 -1 garbage"
    path = tmp_path / "events.hepmc3"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(
        FileFormatError, match=r"after 2 events: event 2, line \d+: 'P 6 -1 garbage' has an invalid number, or too few"
    ):
        list(open_particles(path))
