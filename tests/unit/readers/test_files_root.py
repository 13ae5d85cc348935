"""Particles from ROOT files written by uproot."""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.calorimeters import ZN
from numpy.typing import NDArray
from zdc_common.errors import ConfigError, FileFormatError
from zdc_detector.particles import Particles
from zdc_readers import ParticleBlock, open_particles

Columns = dict[str, NDArray[Any]]


def table(rows: int) -> Columns:
    rng = np.random.default_rng(3)
    return {
        "pdg": rng.choice([22, 2112, 3122, 211], rows).astype(np.int32),
        "px": rng.normal(0, 0.2, rows).astype(np.float32),
        "py": rng.normal(0, 0.2, rows).astype(np.float32),
        "pz": (rng.uniform(100, 2000, rows) * rng.choice([-1, 1], rows)).astype(np.float32),
        "vz": rng.normal(0, 5, rows),
    }


def write(path: Path, trees: dict[str, dict[str, Any]], parts: int = 1) -> Path:
    """A function that writes a TTree with this number of baskets."""
    with uproot.recreate(path) as file:
        for name, branches in trees.items():
            file.mktree(name, {key: branch_type(values) for key, values in branches.items()})
            size = -(-len(branches["pdg"] if "pdg" in branches else next(iter(branches.values()))) // parts)
            for part in range(parts):
                file[name].extend({k: values[part * size : (part + 1) * size] for k, values in branches.items()})
    return path


def branch_type(values: Any) -> Any:
    return values.dtype if isinstance(values, np.ndarray) else values.type.content


def read_all(path: Path, block_rows: int = 8192, tree: str | None = None) -> list[ParticleBlock]:
    return list(open_particles(path, block_rows, tree))


def together(blocks: list[ParticleBlock]) -> tuple[Particles, Columns]:
    names = blocks[0].columns
    columns = {name: np.concatenate([block.columns[name] for block in blocks]) for name in names}
    return Particles.concatenate([block.particles for block in blocks]), columns


def test_one_entry_a_particle(tmp_path: Path) -> None:
    columns = table(1000) | {"event": np.arange(1000) // 3, "weight": np.ones(1000)}
    path = write(tmp_path / "particles.root", {"particles": columns}, parts=7)
    reader = open_particles(path, 300)
    assert not reader.has_whole_events
    blocks = list(reader)
    assert all(len(block.particles) <= 300 for block in blocks)
    particles, found = together(blocks)
    expected = Particles.from_columns({k: v for k, v in columns.items() if k not in ("event", "weight")})
    np.testing.assert_array_equal(particles.conditions, expected.conditions)
    np.testing.assert_array_equal(particles.pdg, columns["pdg"])
    np.testing.assert_array_equal(found["event"], columns["event"])
    assert (reader.read, reader.progress) == (1000, (1000, 1000))
    assert reader.notes == ["ignored branch weight"]


@pytest.mark.parametrize("kind", ["TTree", "RNTuple", "Parquet"])
@pytest.mark.parametrize("named", [False, True])
def test_one_entry_an_event(tmp_path: Path, kind: str, named: bool) -> None:
    columns = table(5000)
    counts = np.random.default_rng(1).multinomial(5000, np.full(200, 1 / 200))
    counts[0], counts[1] = 0, counts[0] + counts[1]
    entry = np.repeat(np.arange(200), counts)
    branches: dict[str, Any] = {name: ak.unflatten(values, counts) for name, values in columns.items() if name != "vz"}
    branches["vz"] = table(200)["vz"]  # one number an event
    if named:
        branches |= {"event": 1000 + np.arange(200), "barcode": ak.unflatten(np.arange(5000), counts)}
    path = tmp_path / ("events.parquet" if kind == "Parquet" else "events.root")
    if kind == "TTree":
        write(path, {"events": branches}, parts=3)
    elif kind == "Parquet":
        ak.to_parquet(ak.zip(branches, depth_limit=1), path, row_group_size=70)
    else:
        with uproot.recreate(path) as file:
            file.mkrntuple("events", branches)
    reader = open_particles(path, 64)
    assert reader.has_whole_events
    assert reader.count is None
    particles, found = together(list(reader))

    flat = columns | {"vz": np.repeat(branches["vz"], counts)}
    everything = Particles.from_columns(flat)
    neutral = flat["pdg"] != 211
    hits = neutral & ZN.hits_face(everything.conditions)
    assert 0 < hits.sum() < neutral.sum()
    np.testing.assert_array_equal(particles.conditions, everything.conditions[hits])
    place = np.arange(5000) - np.repeat(np.cumsum(counts) - counts, counts)
    np.testing.assert_array_equal(found["event"], (entry + 1000 * named)[hits])
    np.testing.assert_array_equal(found["barcode"], (np.arange(5000) if named else place)[hits])
    assert reader.read == 5000
    assert reader.skipped == {"charged": (~neutral).sum(), "misses the face": (neutral & ~hits).sum()}
    assert reader.progress == (200, 200)
    assert reader.notes == []


def test_the_tree_is_chosen(tmp_path: Path) -> None:
    trees: dict[str, dict[str, Any]] = {"run": {"number": np.arange(3)}, "particles": table(5)}
    both = write(tmp_path / "both.root", trees)
    assert sum(len(block.particles) for block in read_all(both)) == 5
    other = write(tmp_path / "other.root", {"run": {"number": np.arange(3)}, "mine": table(6)})
    with pytest.raises(FileFormatError, match=r"several trees: the file has run, mine; choose one with --tree"):
        read_all(other)
    assert sum(len(block.particles) for block in read_all(other, tree="mine")) == 6
    with pytest.raises(ConfigError, match="there is no tree 'yours'; the file has run, mine; choose one with --tree"):
        read_all(other, tree="yours")
    with pytest.raises(FileFormatError, match="run: there is no branch 'pdg'; found number; particles need pdg"):
        read_all(other, tree="run")
    (tmp_path / "a.csv").write_text("pdg,px,py,pz\n22,0,0,1\n")
    with pytest.raises(ConfigError, match="--tree is for ROOT files only"):
        read_all(tmp_path / "a.csv", tree="mine")


def test_a_tree_in_a_folder_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", {"generator/particles": table(5)})
    assert sum(len(block.particles) for block in read_all(path)) == 5


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("pdg", np.full(5, 22.5), "entry 0: pdg = 22.5 must be a whole number"),
        ("pdg", np.array([22, 22, np.nan, 22, 22]), "entry 2: pdg = nan must be a whole number"),
        ("pz", np.array([1, 1, 1, 0, 1.0]), "entry 3: pz = 0 GeV/c must not be 0"),
        ("px", np.ones((5, 2)), "'px' has type .*; it must have numbers"),
        ("px", ak.Array([[1.0]] * 5), "'px' has type .*; it must have numbers"),
    ],
)
def test_wrong_branches_are_named(tmp_path: Path, name: str, values: Any, message: str) -> None:
    columns: dict[str, Any] = {"pdg": np.full(5, 22), "px": np.zeros(5), "py": np.zeros(5), "pz": np.ones(5)}
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        kind = np.dtype((values.dtype, values.shape[1:])) if isinstance(values, np.ndarray) else branch_type(values)
        file.mktree("t", {key: each.dtype for key, each in columns.items()} | {name: kind})
        file["t"].extend(columns | {name: values})
    with pytest.raises(FileFormatError, match=message):
        read_all(path)


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    branches = {
        "pdg": ak.Array([[22, 22], [22]]),
        "px": ak.Array([[0.0], [0.0, 0.0]]),
        "py": ak.Array([[0.0, 0.0], [0.0]]),
        "pz": ak.Array([[1.0, 1.0], [1.0]]),
    }
    with pytest.raises(FileFormatError, match="entry 0: pdg has 2 particles and px has 1"):
        read_all(write(tmp_path / "a.root", {"events": branches}))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", {"particles": table(5000)})
    content = path.read_bytes()
    path.write_bytes(b"no ROOT file at all")
    with pytest.raises(FileFormatError, match=r"a\.root: cannot be read as ROOT"):
        read_all(path)
    path.write_bytes(content[:500] + bytes(2000) + content[2500:])
    with pytest.raises(FileFormatError, match=r"a\.root"):
        read_all(path)
    for end in range(len(content) // 3, len(content), len(content) // 7):
        path.write_bytes(content[:end])
        with pytest.raises(FileFormatError, match=r"a\.root: .*[^\n]*$"):
            read_all(path)


def test_branches_that_cannot_be_decompressed_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", {"particles": table(5000)})
    content = path.read_bytes()
    assert b"ZL\x08" in content  # as ROOT marks what zlib packed
    path.write_bytes(content.replace(b"ZL\x08", b"XX\x08"))
    with pytest.raises(FileFormatError, match=r"a\.root: particles: .*; write the file again"):
        read_all(path)


def test_codes_are_read_from_trees_of_floats(tmp_path: Path) -> None:
    """As in ROOT's TNtuple."""
    columns = {name: values.astype(np.float32) for name, values in table(100).items()}
    (block,) = read_all(write(tmp_path / "a.root", {"particles": columns}))
    assert block.particles.pdg.tolist() == columns["pdg"].tolist()


@pytest.mark.parametrize("kind", ["TTree", "RNTuple"])
@pytest.mark.parametrize(("start", "stop"), [(0, 1000), (0, 10), (140, 150), (990, 2000), (50, 50)])
def test_only_some_entries_are_read(tmp_path: Path, kind: str, start: int, stop: int) -> None:
    columns = table(1000)
    columns |= {"event": np.arange(1000)}
    path = tmp_path / "a.root"
    if kind == "TTree":
        write(path, {"particles": columns}, parts=7)
    else:
        with uproot.recreate(path) as file:
            file.mkrntuple("particles", columns)
    reader = open_particles(path, 64)
    assert reader.count == 1000
    reader.only(start, stop)
    blocks = list(reader)
    assert [int(each) for block in blocks for each in block.columns["event"]] == list(range(1000))[start:stop]
    places = [block.place(i) for block in blocks for i in range(len(block.particles))]
    assert places == [f"entry {entry}" for entry in range(1000)[start:stop]]
    assert reader.progress == (len(places), len(places))


def test_a_file_without_a_tree_is_refused(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        file["text"] = "nothing else"
    with pytest.raises(FileFormatError, match="there is no tree"):
        read_all(tmp_path / "a.root")


DATA = Path(__file__).parents[2] / "data"


@pytest.mark.parametrize(
    ("file", "tree"),
    [("root_6_40", "events"), ("root_6_40", "arrays"), ("root_6_40", "flat"), ("root_6_40_rntuple", None)],
)
def test_files_that_root_wrote(file: str, tree: str | None) -> None:
    (table,) = read_all(DATA / "root_6_40.csv")
    reader = open_particles(DATA / f"{file}.root", tree=tree)
    (block,) = list(reader)
    wanted = table.particles.conditions.copy()
    if tree in ("arrays", "flat"):  # without vertices
        wanted[:, 3] = 0
    chosen = np.full(len(wanted), True)
    if tree != "flat":
        chosen = ~np.isin(table.particles.pdg, [211, -211, 2212]) & ZN.hits_face(wanted)
        assert reader.skipped.total() == (~chosen).sum() > 0
    assert reader.read == len(chosen)
    np.testing.assert_array_equal(block.particles.conditions, wanted[chosen])
    np.testing.assert_array_equal(block.particles.pdg, table.particles.pdg[chosen])
    if tree in ("events", None):
        assert reader.has_whole_events
        for name in ("event", "barcode"):
            np.testing.assert_array_equal(block.columns[name], table.columns[name][chosen])
