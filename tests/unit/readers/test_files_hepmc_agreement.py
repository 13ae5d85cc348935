"""Our reader and HepMC3's library agree: on random events, and on texts that the library accepts."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyhepmc
import pyhepmc.io
import pytest
from zdc_common.errors import FileFormatError
from zdc_readers import open_particles
from zdc_readers.hepmc_event import HepMCEvent
from zdc_readers.hepmc_listing import event_texts
from zdc_readers.opening import open_bytes

#: PDG code, status code, whether it decays, momentum [GeV/c] and vertex [cm] of each particle.
Rows = list[tuple[int, int, bool, tuple[float, ...]]]

RUN = """\
W first\\|second
T Pythia\\|8.3\\|a generator
A seed 5
"""
TEXT = f"""\
HepMC::Version 3.02.06
HepMC::Asciiv3-START_EVENT_LISTING
{RUN}E 1 1 4
U GEV MM
W 1.0 2.0
A 0 GenPdfInfo 1 2 0.1 0.2 10 0.3 0.4 0 0
P 1 0 2212 0 0 2680 2680 0.938 4
P 2 0 2212 0 0 -2680 2680 0.938 4
V -1 0 [1,2] @ 1 2 3 4
P 3 -1 2112 0.1 0 1500 1500.0003 0.939565 1
P 4 -1 22 0.1 0 -500 500 0 1
E 2 2 3 @ 1 2 3 4
U MEV CM
W 1.0 2.0
P 1 0 2212 0 0 2680 2680 0.938 4
V -1 0 [1]
P 2 -1 2112 0.1 0 1500 1500.0003 0.939565 1
P 3 2 22 0.1 0 -500 500 0 1
HepMC::Asciiv3-END_EVENT_LISTING

"""


def ours(path: Path) -> list[tuple[int, Rows]]:
    found = []
    with open_bytes(path) as (stream, _):
        for text in event_texts(stream):
            event = HepMCEvent(text)
            numbers = event.kinematics(np.arange(len(event.pdg)))
            columns = (event.pdg.tolist(), event.status.tolist(), event.ends.tolist(), map(tuple, numbers.tolist()))
            found.append((event.number, list(zip(*columns, strict=True))))
    return found


def theirs(path: Path) -> list[tuple[int, Rows]]:
    found = []
    with pyhepmc.open(path) as file:
        for event in file:
            gev = 1.0 if event.momentum_unit == pyhepmc.Units.GEV else 1e-3
            cm = 1.0 if event.length_unit == pyhepmc.Units.CM else 0.1
            rows: Rows = []
            for particle in event.particles:
                p, x = particle.momentum, particle.production_vertex.position
                numbers = (p.x * gev, p.y * gev, p.z * gev, x.x * cm, x.y * cm, x.z * cm)
                rows.append((particle.pid, particle.status, particle.end_vertex is not None, numbers))
            found.append((event.event_number, rows))
    return found


def four_vector(random_numbers: random.Random) -> pyhepmc.FourVector:
    scale = random_numbers.choice([1e-9, 1.0, 1e6])
    return pyhepmc.FourVector(*(random_numbers.choice([0.0, random_numbers.gauss(0, scale)]) for _ in range(4)))


def random_event(random_numbers: random.Random, run: pyhepmc.GenRunInfo | None) -> pyhepmc.GenEvent:
    """An event with vertices with and without position, of one or several particles, attributes and weights."""
    choice, chance = random_numbers.choice, random_numbers.random

    def particle(status: int) -> pyhepmc.GenParticle:
        return pyhepmc.GenParticle(
            four_vector(random_numbers), choice([22, 2112, -2112, 111, 1000822080, 9999999]), status
        )

    event = pyhepmc.GenEvent(
        choice([pyhepmc.Units.GEV, pyhepmc.Units.MEV]), choice([pyhepmc.Units.MM, pyhepmc.Units.CM])
    )
    event.event_number = choice([0, 7, -3, 2**31 - 1])
    free = [particle(4) for _ in range(2)]
    incoming = 2  # of the first vertex; the others have one, because several may have different origins
    for _ in range(random_numbers.randint(1, 7)):
        vertex = choice([pyhepmc.GenVertex, lambda: pyhepmc.GenVertex(four_vector(random_numbers))])()
        for _ in range(incoming):
            vertex.add_particle_in(free.pop(random_numbers.randrange(len(free))))
        incoming = 1
        for _ in range(random_numbers.randint(1, 4)):
            free.append(particle(choice([1, 2, 14, 62])))
            vertex.add_particle_out(free[-1])
        vertex.status = choice([0, 5])
        event.add_vertex(vertex)
    if run is not None:
        event.run_info, event.weights = run, [chance(), chance()]
    if chance() < 0.5:
        event.cross_section, event.heavy_ion = pyhepmc.GenCrossSection(), pyhepmc.GenHeavyIon()
        event.cross_section.set_cross_section(1.0, 0.1)
    if chance() < 0.5:
        event.pdf_info = pyhepmc.GenPdfInfo()
        event.attributes = {"text": "lines\nE 1 2 3\nHepMC::x \\ |", "many": [1, 2], "scale": 1.5}
        event.particles[0].attributes, event.vertices[0].attributes = {"flow": 101}, {"name": "hard"}
    return event


@pytest.mark.parametrize(
    ("writer", "precisions"),
    [(pyhepmc.io.WriterAscii, (2, 8, 16, 20)), (pyhepmc.io.WriterAsciiHepMC2, (2, 8, 16, 20))],
    ids=["HepMC3", "HepMC2"],
)
@pytest.mark.parametrize("seed", range(20))
def test_random_events_are_read_as_hepmc_reads_them(
    tmp_path: Path, writer: Callable[..., pyhepmc.io.WriterAscii], precisions: tuple[int, ...], seed: int
) -> None:
    random_numbers = random.Random(seed)
    run = pyhepmc.GenRunInfo()
    run.weight_names = ["first", "second"]
    run.tools = [pyhepmc.GenRunInfo.ToolInfo("Pythia", "8.3", "two\nlines")]
    run.attributes = {"seed": 5}
    path = tmp_path / "events.hepmc"
    events = [random_event(random_numbers, run if seed % 2 else None) for _ in range(5)]
    with writer(str(path)) as file:
        file.precision = random_numbers.choice(precisions)
        for event in events:
            file.write(event)
    found, expected = ours(path), theirs(path)
    assert [number for number, _ in found] == [number for number, _ in expected]
    for (_, rows), (_, same) in zip(found, expected, strict=True):
        if writer is pyhepmc.io.WriterAsciiHepMC2:  # the library puts particles in another order
            rows, same = sorted(rows, key=repr), sorted(same, key=repr)
        assert rows == same


SECOND = TEXT.index("E 2 ")


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.replace("\n", "\r\n"),
        TEXT.rstrip("\n"),
        TEXT + TEXT,
        TEXT.partition("\n")[2],
        TEXT.replace("W first", "N first"),
        TEXT[:SECOND] + RUN + TEXT[SECOND:],
        "# made by hand\n" + TEXT.replace("\nW f", "\n# of the run\nW f").replace("\nP 3", "\n# neutrons\nP 3"),
        TEXT.replace(" 2112 ", " +2112 ").replace("[1,2]", "[1, 2]"),
        TEXT.replace("\nU MEV", "\nA 3 flow1 101\nA 0 note \nU MEV"),
        TEXT.replace(" 1500 ", " 1e-320 ").replace(" -500 ", " -1.5E+3 "),
    ],
    ids=[
        "plain",
        "CRLF",
        "no last line feed",
        "twice",
        "no version",
        "N",
        "run amidst",
        "notes",
        "signs",
        "attributes",
        "numbers",
    ],
)
def test_texts_that_hepmc_accepts_are_read_like_by_hepmc(tmp_path: Path, text: str) -> None:
    path = tmp_path / "events.hepmc3"
    path.write_text(text, newline="")
    assert ours(path) == theirs(path)
    assert len(ours(path)) == text.count("E 1 ") + text.count("E 2 ")


@pytest.mark.parametrize("left", ["", "HepMC::", "HepMC::Asciiv3-END_EV"])
def test_a_file_truncated_within_its_last_line_is_refused(tmp_path: Path, left: str) -> None:
    path = tmp_path / "events.hepmc3"
    path.write_text(TEXT[: TEXT.index("HepMC::Asciiv3-END")] + left)
    with pytest.raises(FileFormatError, match="the file has no END_EVENT_LISTING line: it is truncated"):
        list(open_particles(path))


def test_a_vertex_of_hepmc2_without_position_inherits_that_of_its_first_particle(tmp_path: Path) -> None:
    """Incoming particles without a production vertex count first, as in HepMC3."""
    path = tmp_path / "events.hepmc2"
    path.write_text(
        "HepMC::IO_GenEvent-START_EVENT_LISTING\nE 0 -1 0 0 0 0 0 2 1 4 0 0\nU GEV CM\n"
        "V -1 0 1 2 3 4 1 2 0\nP 1 2212 0 0 9 9 1 4 0 0 -1 0\n"
        "P 2 22 0 0 7 7 0 1 0 0 0 0\nP 3 3122 0 0 8 8 1 2 0 0 -2 1 1 501\n"
        "V -2 0 0 0 0 0 1 1 0\nP 4 2212 0 0 -9 9 1 4 0 0 -2 0\nP 5 2112 0 0 6 6 1 1 0 0 0 0\n"
        "HepMC::IO_GenEvent-END_EVENT_LISTING\n"
    )
    ((_, found),) = ours(path)
    ((_, expected),) = theirs(path)
    assert sorted(found) == sorted(expected)
    assert (2112, 1, False, (0, 0, 6, 0, 0, 0)) in found


@pytest.mark.parametrize("number", [-5, 2**31, 2**53 + 1, 2**63 - 1])
def test_event_numbers_keep_all_digits(tmp_path: Path, number: int) -> None:
    """HepMC3's reader truncates them to 32 bits."""
    path = tmp_path / "events.hepmc3"
    path.write_text(TEXT.replace("E 2 ", f"E {number} "))
    assert [found for found, _ in ours(path)] == [1, number]


def test_an_event_number_beyond_int64_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.hepmc3"
    path.write_text(TEXT.replace("E 2 ", f"E {2**63} "))
    with pytest.raises(FileFormatError, match=f"line 15: event number {2**63} is outside the range of int64"):
        list(open_particles(path))
