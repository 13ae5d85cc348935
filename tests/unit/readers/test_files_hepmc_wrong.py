"""HepMC files that make HepMC3's reader fail or return wrong values; on valid files both agree."""

import math
from pathlib import Path

import numpy as np
import pyhepmc
import pytest
from zdc_common.errors import FileFormatError
from zdc_readers import open_particles
from zdc_readers.hepmc_event import HepMCEvent
from zdc_readers.hepmc_listing import event_texts
from zdc_readers.opening import open_bytes

_HEAD = "HepMC::Version 3.02.05\nHepMC::Asciiv3-START_EVENT_LISTING\n"
_END = "HepMC::Asciiv3-END_EVENT_LISTING\n"
_LINES = {
    "E": "E 8 1 3",
    "U": "U GEV MM",
    "1": "P 1 0 2212 0 0 2680 2680 0.938 4",
    "2": "P 2 0 2212 0 0 -2680 2680 0.938 4",
    "V": "V -1 0 [1,2] @ 1 0 0 0",
    "3": "P 3 -1 2112 0.1 0 1500 1500 0.94 1",
}


def read(path: Path, changed: dict[str, str], head: str = _HEAD, end: str = _END) -> int:
    lines = [line for line in (_LINES | changed).values() if line]
    path.write_text(head + "\n".join(lines) + "\n" + end)
    return sum(len(block.particles) for block in open_particles(path))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"U": ""}, "event 8, line 3: the event has no line of units; add its units below the line E"),
        ({"U": "U TEV MM"}, "'U TEV MM' has unknown units"),
        ({"U": "U GEV M"}, "'U GEV M' has unknown units"),
        ({"U": "U GEV"}, "event 8, line 4: 'U GEV' has an invalid number, or too few or too many"),
        ({"V": "V -1 0 [1,2] @ bad 2 3 4"}, "event 8, line 7: 'V -1 0 [1,2] @ bad 2 3 4' has an invalid number"),
        ({"V": "V -1 0 [1,2] @ 1 2 3"}, "has an invalid number, or too few"),
        ({"V": "V -1 0 [1,99] @ 1 0 0 0"}, "names a particle that does not exist; the event has 1 to 3"),
        ({"V": "V -1 0 [3]"}, "event 8, line 3: a vertex is its own ancestor"),
        ({"V": "V -1 0 [1,2] @ inf 0 0 0"}, "event 8, particle 3: vx = inf must be finite"),
        ({"V": "V 1 0 [1,2]"}, "must have a negative number"),
        ({"3": "P 3 -1 2112 0.1 0 1.5.0 1500 0.94 1"}, "line 8: 'P 3 -1 2112 0.1 0 1.5.0 1500 0.94 1' has an invalid"),
        ({"3": "P 3 -1 2112 0.1 0 0x5 1500 0.94 1"}, "event 8, line 8: "),
        ({"3": "P 3 -1 2112 0.1 0 1500 1500 0.94"}, "has an invalid number, or too few"),
        ({"3": "P 3 -1 2112 0.1 0 1500 1500 0.94 1.0"}, "has an invalid number"),
        ({"3": "P 3 -1 21_12 0.1 0 1500 1500 0.94 1"}, "has an invalid number"),
        ({"3": "P 3 -1 2112 inf 0 1500 1500 0.94 1"}, "event 8, particle 3: px = inf must be finite"),
        ({"3": "P 3 -9 2112 0.1 0 1500 1500 0.94 1"}, "comes from vertex or particle -9, which does not exist"),
        ({"3": "P 7 -1 2112 0.1 0 1500 1500 0.94 1"}, "is out of order: particles must be numbered 1, 2, 3"),
        ({"E": "E 8 1 4"}, "the event announces 4 particles but has 3"),
        ({"E": "E 8 2 3"}, "the event announces 2 vertices but has 1"),
        ({"E": "E 8 1"}, "line 3: 'E 8 1' has an invalid number, or too few"),
        ({"E": ""}, "line 3: 'U GEV MM' before the first event"),
        (
            {"2": "p 2 0 2212 0 0 -2680 2680 0.938 4"},
            "line 6: 'p 2 0 2212 0 0 -2680 2680 0.938 4' must begin with one of",
        ),
    ],
)
def test_a_wrong_line_is_named(
    tmp_path: Path, changed: dict[str, str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileFormatError) as caught:
        read(tmp_path / "a.hepmc3", changed)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'a.hepmc3'}: ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("head", "end", "message"),
    [
        ("", "", "line 1: an event outside a listing"),
        (_HEAD, "", "after 1 event: the file has no END_EVENT_LISTING line: it is truncated"),
        (_HEAD, _END + "E 2 0 0\nU GEV MM\n", "line 10: an event outside a listing; remove the text after the end"),
        (_HEAD, _END + "and so on\n", "line 10: 'and so on' after the end of the listing"),
        (_HEAD.replace("Asciiv3", "IO_Ascii"), _END, "is an unknown format; known are HepMC3 (HepMC::Asciiv3) and"),
        ("hello\n", "", "this is not a HepMC file: it begins with 'hello'"),
    ],
)
def test_text_without_a_listing_is_refused(tmp_path: Path, head: str, end: str, message: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        read(tmp_path / "a.hepmc3", {}, head, end)
    assert message in str(caught.value)


def test_large_numbers_are_kept(tmp_path: Path) -> None:
    assert read(tmp_path / "a.hepmc3", {"E": "E 99999999999 1 3"}) == 1
    (block,) = open_particles(tmp_path / "a.hepmc3")
    assert block.columns["event"].tolist() == [99999999999]
    reader = open_particles(tmp_path / "a.hepmc3")
    assert read(tmp_path / "a.hepmc3", {"3": "P 3 -1 99999999999 0.1 0 1500 1500 0.94 1"}) == 0
    assert list(reader) == []
    assert reader.skipped == {"not in the PDG table": 1}


def random_event(number: int, rng: np.random.Generator) -> pyhepmc.GenEvent:
    """A tree of decays; some vertices have no position."""
    event = pyhepmc.GenEvent(
        pyhepmc.Units.MEV if number % 2 else pyhepmc.Units.GEV, pyhepmc.Units.CM if number % 3 else pyhepmc.Units.MM
    )
    event.event_number = number
    leaves = []
    for _ in range(2):
        beam = pyhepmc.GenParticle(pyhepmc.FourVector(0, 0, 1, 1), 2212, 4)
        leaves.append(beam)
    for _ in range(12):
        place = pyhepmc.FourVector(*rng.normal(size=4)) if rng.random() < 0.6 else pyhepmc.FourVector(0, 0, 0, 0)
        vertex = pyhepmc.GenVertex(place)
        for _ in range(1 + (rng.random() < 0.3)):
            vertex.add_particle_in(leaves.pop(int(rng.integers(len(leaves)))))
        for _ in range(int(rng.integers(2, 4))):
            px, py, pz = rng.normal(size=3)
            momentum = pyhepmc.FourVector(px, py, pz, math.sqrt(px**2 + py**2 + pz**2))
            leaves.append(pyhepmc.GenParticle(momentum, int(rng.choice([22, 2112, 211, 111])), int(rng.integers(1, 3))))
            vertex.add_particle_out(leaves[-1])
        event.add_vertex(vertex)
    return event


@pytest.mark.parametrize("form", ["hepmc3", "hepmc2"])
def test_events_are_read_as_the_library_reads_them(tmp_path: Path, form: str) -> None:
    pyhepmc.Setup.print_warnings = False  # that HepMC2 is old
    rng = np.random.default_rng(1)
    path = tmp_path / "a.hepmc"
    with pyhepmc.open(path, "w", format=form) as file:
        for number in range(30):
            file.write(random_event(number, rng))
    with open_bytes(path) as (stream, _):
        found = [HepMCEvent(text) for text in event_texts(stream)]
    with pyhepmc.open(path, format=form) as file:
        expected = list(file)
    assert len(found) == len(expected) == 30
    for event, theirs in zip(found, expected, strict=True):
        record, particles = theirs.numpy.particles, theirs.particles
        assert event.number == theirs.event_number
        if form == "hepmc3":
            np.testing.assert_array_equal(event.barcode, record.id)
            order = np.arange(len(record.id))
        else:  # the library renumbers, in another order
            key = (
                np.lexsort((record.pz, record.px)),
                np.lexsort(event.kinematics(np.arange(len(event.pdg)))[:, [2, 0]].T),
            )
            order = np.empty(len(record.id), dtype=int)
            order[key[1]] = key[0]
        np.testing.assert_array_equal(event.pdg, record.pid[order])
        np.testing.assert_array_equal(event.status, record.status[order])
        gev = 1e-3 if theirs.momentum_unit.name == "MEV" else 1.0
        centimetres = 0.1 if theirs.length_unit.name == "MM" else 1.0
        sources = [particles[i].production_vertex for i in order]
        places = [source.position if source is not None else theirs.event_pos() for source in sources]
        kinematics = event.kinematics(np.arange(len(event.pdg)))
        np.testing.assert_allclose(kinematics[:, 2], record.pz[order] * gev)
        np.testing.assert_allclose(
            kinematics[:, 3:], np.array([[place.x, place.y, place.z] for place in places]) * centimetres
        )
        assert event.ends.tolist() == [particles[i].end_vertex is not None for i in order]


_EVENT2 = (
    'E 3 0 0.0 0.0 0.0 0 0 1 10001 10002 0 1 1.0\nN 1 "0"\nU MEV CM\nC 1 1\nV -1 0 0.1 0 3 4 2 1 0\n'
    "P 10001 2212 0 0 2680 2680 0.938 4 0 0 -1 0\nP 10002 2212 0 0 -2680 2680 0.938 4 0 0 -1 0\n"
    "P 10003 2112 100 0 1500000 1500000 939 1 0 0 0 1 1 501\n"
)


def read2(path: Path, text: str) -> list[tuple[object, ...]]:
    head, end = (
        "HepMC::Version 2.06.09\nHepMC::IO_GenEvent-START_EVENT_LISTING\n",
        "HepMC::IO_GenEvent-END_EVENT_LISTING\n",
    )
    path.write_text(head + text + end)
    return [
        (block.columns["barcode"][i], *block.particles.conditions[i, [1, 3, 4, 6]].tolist())
        for block in open_particles(path)
        for i in range(len(block.particles))
    ]


def test_hepmc2_keeps_its_barcodes_and_units(tmp_path: Path) -> None:
    ((barcode, *numbers),) = read2(tmp_path / "a.hepmc", _EVENT2)
    assert barcode == 10003
    assert numbers == pytest.approx([0.1, 3.0, 0.1, 1500.0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("U MEV CM\n", "", "event 3, line 3: the event has no line of units"),
        ("100 0 1500000 1", "100 0 bad 1", "event 3, line 10: 'P 10003 2112 100 0 bad"),
        (
            "3 4 2 1 0\n",
            "3 4 2 2 0\n",
            "event 3, line 7: 'V -1 0 0.1 0 3 4 2 2 0' announces 4 particles but is followed by 3",
        ),
        ("4 0 0 -1 0\nP 10002", "4 0 0 -5 0\nP 10002", "ends at vertex -5, which does not exist"),
        ("0 0 1 10001", "0 0 2 10001", "the event announces 2 vertices but has 1"),
        ("E 3 0 0.0", "E 3 0.0", "line 3: 'E 3 0.0 0.0 0.0 0 0 1 10001 10002 0 1 1.0' has an invalid number"),
    ],
)
def test_a_wrong_line_of_hepmc2_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert _EVENT2.count(old) == 1
    with pytest.raises(FileFormatError) as caught:
        read2(tmp_path / "a.hepmc", _EVENT2.replace(old, new))
    assert message in str(caught.value)
