"""Parts of a job: cutting, encoding as bytes, and their folder."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from helpers.calorimeters import BOARD
from helpers.models.tiny_model import some_particles
from zdc_common.errors import ConfigError, FileFormatError, IncompleteError
from zdc_detector.finish import Finish
from zdc_detector.particles import Particles
from zdc_readers import ParticleBlock
from zdc_service.bulk.cutting import Cutting
from zdc_service.bulk.folder import PartsFolder, SourceSummary
from zdc_service.bulk.job import BulkJob
from zdc_service.bulk.part import Part, simulate_part
from zdc_service.bulk.slices import Slice
from zdc_service.client import Client, ClientOptions, concatenate, connect
from zdc_service.settings import EngineSettings
from zdc_service.simulation import OutOfRange, Output
from zdc_service.writers import Rows

PARTICLES = some_particles(100)


def blocks_of(*sizes: int) -> Iterator[ParticleBlock]:
    at = 0
    for size in sizes:
        numbers = np.arange(at, at + size)
        yield ParticleBlock(PARTICLES[at : at + size], {"event": numbers}, lambda row, at=at: f"line {at + row}")  # type: ignore[misc]
        at += size


def job(**changes: object) -> BulkJob:
    values: dict[str, object] = {
        "software": "1", "input": "sha256:0", "tree": None, "status": None, "model": "tiny", "version": 1,
        "graph_sha256": "ab", "calorimeter": BOARD, "finish": Finish.POISSON, "seed": 7, "first_row": 5,
        "repeats": 3, "output": Output.HITS, "out_of_range": OutOfRange.SKIP, "rates": False, "rows_per_part": 30,
        "server": "in process",
    }  # fmt: skip
    return BulkJob.model_validate(values | changes)


@pytest.fixture(scope="module")
def client(models_folder: Path) -> Iterator[Client]:
    settings = EngineSettings(models=models_folder, default_model="tiny", threads=1)
    with connect(None, ClientOptions(rows_per_request=7), settings) as client:
        yield client


@pytest.mark.parametrize(("repeats", "rows"), [(1, 1), (1, 7), (3, 10), (3, 3), (3, 2), (7, 3), (1, 1000)])
def test_parts_do_not_depend_on_the_blocks_of_the_reader(repeats: int, rows: int) -> None:
    ways = [list(Cutting(repeats, rows).cut(blocks_of(*sizes))) for sizes in ((100,), (1,) * 100, (33, 0, 60, 7))]
    for way in ways:
        assert [part.number for part, _ in way] == list(range(len(way)))
        covered = []
        for part, place in way:
            assert len(part.particles) * part.repeats <= max(rows, 1)
            for i in range(len(part.particles)):
                assert place(i) == f"line {part.first_particle + i}"
                assert part.columns["event"][i] == part.first_particle + i
                covered += [
                    (part.first_particle + i, r) for r in range(part.first_repeat, part.first_repeat + part.repeats)
                ]
        assert covered == [(particle, repeat) for particle in range(100) for repeat in range(repeats)]
    for other in ways[1:]:
        for (a, _), (b, _) in zip(ways[0], other, strict=True):
            assert (a.first_particle, a.first_repeat, a.repeats) == (b.first_particle, b.first_repeat, b.repeats)
            assert a.particles.conditions.tobytes() == b.particles.conditions.tobytes()


@pytest.mark.parametrize(("repeats", "rows"), [(1, 1), (1, 7), (3, 10), (3, 2), (7, 3), (1, 1000)])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_range_of_parts_needs_only_its_particles(repeats: int, rows: int, number: int) -> None:
    cutting = Cutting(repeats, rows)
    whole = [part for part, _ in cutting.cut(blocks_of(100))]
    assert cutting.count(100) == len(whole)
    wanted = Slice(number, 3).stretch(len(whole))
    if not wanted:
        return
    start, stop = cutting.particles(wanted)
    (block,) = blocks_of(100)
    few = ParticleBlock(block.particles[start:stop], {"event": block.columns["event"][start:stop]}, str)
    found = [part for part, _ in cutting.cut([few], start)]
    assert len(found) <= len(wanted) + 2 * (cutting.count(1) - 1)
    by_number = {part.number: part for part in found}
    for each in whole[wanted.start : wanted.stop]:
        part = by_number[each.number]
        assert (part.first_particle, part.first_repeat, part.repeats) == (
            each.first_particle, each.first_repeat, each.repeats,
        )  # fmt: skip
        assert part.particles.conditions.tobytes() == each.particles.conditions.tobytes()
        assert part.columns["event"].tolist() == each.columns["event"].tolist()


@pytest.mark.parametrize("output", list(Output))
@pytest.mark.parametrize("rows", [2, 30, 1000])
def test_rows_are_restored_from_the_bytes_of_parts(tmp_path: Path, client: Client, output: Output, rows: int) -> None:
    wanted = job(output=output, rows_per_part=rows)
    with PartsFolder(tmp_path / "out.h5", alone=True) as folder:
        found, heads = [], []
        for part, _ in Cutting(wanted.repeats, rows).cut(blocks_of(40, 60)):
            folder.write(part.number, simulate_part(client, wanted, part))
            heads.append(folder.head(part.number, wanted))
            found += list(folder.rows(part.number))
    together = Rows.concatenate(found)
    asked = {"first_row": 5, "repeats": 3, "output": output, "model": "tiny", "version": 1}
    expected = concatenate(client.simulate(PARTICLES, seed=7, **asked))  # type: ignore[arg-type]
    index = expected.particle.astype(int)
    assert together.row.tolist() == expected.row.tolist()
    assert together.particle_id.tolist() == together.columns["event"].tolist() == index.tolist()
    assert together.particles.conditions.tobytes() == PARTICLES[index].conditions.tobytes()
    assert together.particles.pdg.tolist() == PARTICLES[index].pdg.tolist()
    assert together.side.tolist() == expected.side.tolist()
    assert together.channels.tobytes() == expected.channels.tobytes()
    if expected.response is not None:
        assert together.response is not None
        assert together.response.tobytes() == expected.response.tobytes()
    if expected.hits is not None:
        assert together.hits is not None
        for name in ("offsets", "fibre", "photons"):
            assert getattr(together.hits, name).tobytes() == getattr(expected.hits, name).tobytes()
    assert sum(head.rows for head in heads) == sum(head.asked for head in heads) == 300
    assert sum(head.particles for head in heads) == 100
    assert sum(head.empty for head in heads) == (~expected.channels.any(axis=1)).sum()


def test_skipped_particles_are_counted_once(tmp_path: Path, client: Client) -> None:
    charged = Particles.from_columns({"pdg": [211, 2112], "px": [0.0, 0.0], "py": [0.0, 0.0], "pz": [500.0, 500.0]})
    wanted = job(repeats=5, rows_per_part=2)
    with PartsFolder(tmp_path / "out.h5", alone=True) as folder:
        heads = []
        for part, _ in Cutting(5, 2).cut([ParticleBlock(charged, {}, str)]):
            folder.write(part.number, simulate_part(client, wanted, part))
            heads.append(folder.head(part.number, wanted))
    assert [head.rows for head in heads] == [0, 0, 0, 2, 2, 1]
    assert [head.skipped for head in heads] == [{"species": 1}, {}, {}, {}, {}, {}]
    assert [head.particles for head in heads] == [1, 0, 0, 1, 0, 0]


def some_part(client: Client, number: int = 0, wanted: BulkJob | None = None) -> bytes:
    return simulate_part(client, wanted or job(), Part(number, PARTICLES[:10], {}, 0, 0, 3))


def test_damaged_parts_and_parts_of_other_jobs_are_refused(tmp_path: Path, client: Client) -> None:
    whole = some_part(client)
    assert whole == some_part(client)  # byte for byte
    with PartsFolder(tmp_path / "out.h5", alone=True) as folder:
        for damaged in (whole[:-5], whole[:-40] + bytes(40), whole[: whole.index(b"\n") + 4]):
            folder.write(0, damaged)
            with pytest.raises(
                FileFormatError, match=r"00000000.part: the part is damaged: .*; delete it and run the command"
            ):
                list(folder.rows(0))
        folder.write(0, b"")
        with pytest.raises(FileFormatError, match="the part is damaged: its first line is invalid"):
            folder.head(0, job())
        folder.write(0, whole)
        with pytest.raises(FileFormatError, match="the file is part 0 of another job"):
            folder.head(0, job(seed=8))
        folder.write(3, whole)
        with pytest.raises(FileFormatError, match="the file is part 0 of another job"):
            folder.head(3, job())


def test_the_error_names_missing_parts(tmp_path: Path, client: Client) -> None:
    with PartsFolder(tmp_path / "out.h5", alone=True) as folder:
        for number in (0, 2):
            folder.write(number, some_part(client, number))
        with pytest.raises(IncompleteError, match="found 2 parts of an unknown number"):
            folder.check_complete()
        folder.write_source(SourceSummary(parts=5, line="read 50 particles", read=50, left_out={}, columns=()))
        with pytest.raises(IncompleteError, match="3 of 5 parts are missing: 1, 3, 4; run their slices again"):
            folder.check_complete()


def test_a_result_is_complete_or_absent(tmp_path: Path) -> None:
    with PartsFolder(tmp_path / "out.h5", alone=True) as folder:
        with suppress(FileNotFoundError), folder.result() as path:
            path.write_bytes(b"half of it")
            list(folder.rows(3))
        assert not path.exists()
        assert not (tmp_path / "out.h5").exists()
        with folder.result() as path:
            path.write_bytes(b"all of it")
    assert (tmp_path / "out.h5").read_bytes() == b"all of it"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_the_error_names_the_file_on_a_full_disk(tmp_path: Path) -> None:
    with PartsFolder(tmp_path / "out.h5", alone=True) as folder:
        (folder.path / f"00000007.part.{os.uname().nodename}.{os.getpid()}.tmp").symlink_to("/dev/full")
        with pytest.raises(OSError, match=r"No space left on device: '.*out\.h5\.parts'"):
            folder.write(7, b"content")
        assert folder.numbers() == []


def test_if_two_jobs_start_together_one_wins(tmp_path: Path) -> None:
    one, other = PartsFolder(tmp_path / "out.h5", alone=False), PartsFolder(tmp_path / "out.h5", alone=False)
    with one, other:
        assert one.start(job(seed=1)).seed == 1
        assert other.start(job(seed=2)).seed == 1
        assert other.job() == job(seed=1)


def test_a_folder_is_for_one_process_or_for_slices(tmp_path: Path) -> None:
    def folder(alone: bool) -> PartsFolder:
        return PartsFolder(tmp_path / "out.h5", alone)

    with folder(True), pytest.raises(ConfigError, match="another process works on this output"), folder(False):
        pass
    with folder(False), pytest.raises(ConfigError, match="another process works on this output"), folder(True):
        pass
    with folder(False), folder(False):
        pass


def test_a_folder_without_parts_is_removed(tmp_path: Path) -> None:
    with PartsFolder(tmp_path / "out.h5", alone=True) as folder:
        folder.start(job())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("seed", 8, "seed was 7 and is now 8"),
        ("graph_sha256", "cd", "graph_sha256 was ab and is now cd"),
        ("output", "channels", "output was hits and is now channels"),
        ("tree", "mine", "tree was None and is now mine"),
        ("input", "sha256:0123456789abcdef", "input was sha256:0... and is now sha256:0123456789ab..."),
    ],
)
def test_the_error_names_the_difference_between_jobs(name: str, value: object, shown: str) -> None:
    job(server="grpc://a:1").check_same(job(), Path("out.h5.parts"))
    with pytest.raises(ConfigError) as caught:
        job(**{name: value}).check_same(job(), Path("out.h5.parts"))
    assert f"out.h5.parts: the folder has parts of another job: {shown}; use the same" in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert job(**{name: value}).digest != job().digest


def test_a_job_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.h5.parts").mkdir()
    text = json.loads(job().model_dump_json()) | {"layout": 3}
    (tmp_path / "out.h5.parts" / "job.json").write_text(json.dumps(text))
    with (
        PartsFolder(tmp_path / "out.h5", alone=False) as folder,
        pytest.raises(FileFormatError, match=r"not a job file of this version of zdc \(layout: "),
    ):
        folder.job()


@pytest.mark.parametrize("parts", [0, 1, 2, 3, 8, 9])
def test_slices_share_all_parts(parts: int) -> None:
    slices = [Slice.parse(f"{k}/3") for k in (1, 2, 3)]
    assert [part for each in slices for part in each.stretch(parts)] == list(range(parts))
    assert sorted(part for each in slices for part in range(parts) if each.takes(part)) == list(range(parts))
    assert max(len(each.stretch(parts)) for each in slices) - min(len(each.stretch(parts)) for each in slices) <= 1
    assert Slice().stretch(parts) == range(parts)
    assert all(Slice().takes(part) for part in range(parts))


def test_invalid_slices_are_refused() -> None:
    for wrong in ("0/3", "4/3", "1", "a/b", "1/0", "-1/3"):
        with pytest.raises(ConfigError, match=r"must be K/N with 1 <= K <= N"):
            Slice.parse(wrong)
