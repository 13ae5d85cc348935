"""Particles from CSV and Parquet files and from arguments."""

import csv
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zdc_detector.errors import ConfigError, FileFormatError, InvalidInputError
from zdc_detector.particles import Particles
from zdc_service.files import ParticleBlock, open_particles
from zdc_service.files.arguments import ArgumentReader

HEADER = "pdg,px,py,pz,vx,vy,vz,event,barcode"


def table(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "pdg": rng.choice([22, 2112, 3122], rows),
        "px": rng.normal(0, 0.2, rows),
        "py": rng.normal(0, 0.2, rows),
        "pz": rng.uniform(100, 2000, rows) * rng.choice([-1, 1], rows),
        "vx": rng.normal(0, 0.01, rows),
        "vy": rng.normal(0, 0.01, rows),
        "vz": rng.normal(0, 5, rows),
        "event": np.arange(rows) // 3,
        "barcode": np.arange(rows) * 10,
    }


def write_csv(path: Path, columns: dict[str, np.ndarray]) -> Path:
    lines = [
        ",".join(columns),
        *(",".join(map(repr, row)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_parquet(path: Path, columns: dict[str, np.ndarray]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def read_all(path: Path, block_rows: int = 8192) -> list[ParticleBlock]:
    return list(open_particles(path, block_rows))


def write_zipped_csv(path: Path, columns: dict[str, np.ndarray]) -> Path:
    path.write_bytes(gzip.compress(write_csv(path, columns).read_bytes()))
    return path


@pytest.mark.parametrize(
    ("ending", "write"), [(".csv", write_csv), (".csv.gz", write_zipped_csv), (".parquet", write_parquet)]
)
@pytest.mark.parametrize("block_rows", [7, 100, 101])
def test_tables_give_their_particles_in_blocks(tmp_path: Path, ending: str, write: object, block_rows: int) -> None:
    columns = table(100)
    assert callable(write)
    reader = open_particles(write(tmp_path / f"particles{ending}", columns), block_rows)
    blocks = list(reader)
    assert [len(block.particles) for block in blocks[:-1]] == [block_rows] * (len(blocks) - 1)
    assert all(len(block.particles) <= block_rows for block in blocks)
    together = Particles.concatenate([block.particles for block in blocks])
    expected = Particles.from_columns({k: v for k, v in columns.items() if k not in ("event", "barcode")})
    np.testing.assert_array_equal(together.conditions, expected.conditions)
    np.testing.assert_array_equal(together.pdg, expected.pdg)
    for name in ("event", "barcode"):
        np.testing.assert_array_equal(np.concatenate([block.columns[name] for block in blocks]), columns[name])
    assert reader.read == 100
    done, total = reader.progress
    assert done == total > 0


@pytest.mark.parametrize("cut", [200, -4])
def test_a_zipped_csv_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = write_zipped_csv(tmp_path / "particles.csv.gz", table(100))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FileFormatError, match=r"csv.gz: .*; the file is damaged or cut short: write it again"):
        read_all(path, 7)


#: Prints how much more memory [kB] reading all blocks of a file takes than reading the first.
READ_ALL = """
import resource, sys
from pathlib import Path
from zdc_service.files import open_particles
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
blocks = iter(open_particles(Path(sys.argv[1])))
rows, first = len(next(blocks).particles), peak()
for block in blocks:
    rows += len(block.particles)
print(rows, peak() - first)
"""


@pytest.mark.parametrize("groups", [1, 10])
def test_a_million_particles_of_parquet_take_no_more_memory_than_a_few(tmp_path: Path, groups: int) -> None:
    columns = {name: np.resize(values, 1_000_000) for name, values in table(1000).items()}
    path = tmp_path / "particles.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1_000_000 // groups)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", READ_ALL, path], capture_output=True, check=True, env=environment)
    rows, grown = map(int, found.stdout.split())
    assert rows == 1_000_000
    assert grown < 20_000  # the columns are 72 MB


def test_event_and_barcode_are_optional(tmp_path: Path) -> None:
    (block,) = read_all(
        write_csv(tmp_path / "p.csv", {"pdg": np.array([22]), "px": np.zeros(1), "py": np.zeros(1), "pz": np.ones(1)})
    )
    assert block.columns == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2112,0,0,fast,0,0,0,1,1", "line 5: pz = 'fast' is not a number"),
        ("2112,0,0,,0,0,0,1,1", "line 5: pz = '' is not a number"),
        ("n0,0,0,100,0,0,0,1,1", "line 5: pdg = 'n0' is not a whole number"),
        ("2112,0,0,100,0,0,0,1.5,1", "line 5: event = '1.5' is not a whole number"),
        ("2112,0,0,100,0,0,0,1,99999999999999999999", "line 5: barcode = '99999999999999999999' is not a whole number"),
        ("2112,0,0,100", "line 5 has 4 values; the header has 9 columns"),
        ("2112,0,0,0,0,0,0,1,1", "line 5: pz = 0 GeV/c must not be 0"),
        ("2112,0,0,nan,0,0,0,1,1", "line 5: pz = nan GeV/c must be finite"),
        ("123456,0,0,100,0,0,0,1,1", "line 5: pdg 123456 is not in the PDG table"),
        ('2112,0,0,"100,0,0,0,1,1', "unexpected end of data; the file must be CSV"),
    ],
)
def test_a_wrong_csv_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "particles.csv"
    good = "2112,0,0,100,0,0,0,1,1"
    path.write_text(f"{HEADER}\n{good}\n\n{good}\n{line}\n{good}\n")
    with pytest.raises(FileFormatError) as caught:
        read_all(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_the_line_is_right_in_later_blocks(tmp_path: Path) -> None:
    path = tmp_path / "particles.csv"
    path.write_text("pdg,px,py,pz\n" + "22,0,0,100\n" * 10 + "22,0,0,0\n")
    with pytest.raises(FileFormatError, match="line 12: pz = 0 GeV/c must not be 0"):
        read_all(path, block_rows=4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; the first line names the columns, out of pdg, energy"),
        (" \n\n", "is empty"),
        ("pdg;px;py;pz\n22;0;0;1\n", "line 1 has semicolons between the columns; write commas there"),
        ("\npdg\tpx\tpy\tpz\n22\t0\t0\t1\n", "line 2 has tabs between the columns"),
        ("pdg,px,py,pz,colour\n22,0,0,1,3\n", "line 1: 'colour' is unknown"),
        ("pdg,px,py,pz,pz\n22,0,0,1,1\n", "line 1: 'pz' is unknown or there twice"),
        ("22,0,0,1\n", "line 1: '22', '0', '1' is unknown or there twice: leave it out or rename it"),
        ("pdg,px,py\n22,0,0\n", "missing columns ['pz']"),
    ],
)
def test_a_wrong_csv_header_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "particles.csv"
    path.write_text(text)
    with pytest.raises(FileFormatError) as caught:
        read_all(path)
    assert message in str(caught.value)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "particles.csv"
    path.write_bytes(b"pdg,px,py,pz\n22,0,0,1\n22,0,0,\xff\n")
    with pytest.raises(FileFormatError, match="UTF-8"):
        read_all(path)


def test_parquet_names_the_row_of_a_null_and_of_a_wrong_value(tmp_path: Path) -> None:
    columns: dict[str, list[float | None]] = {"pdg": [22] * 10, "px": [0.0] * 10, "py": [0.0] * 10, "pz": [1.0] * 10}
    path = tmp_path / "particles.parquet"
    pq.write_table(pa.table({**columns, "px": [0.0] * 6 + [None] + [0.0] * 3}), path)
    with pytest.raises(FileFormatError, match="row 6: px is null"):
        read_all(path, block_rows=4)
    pq.write_table(pa.table({**columns, "pz": [1.0] * 9 + [0.0]}), path)
    with pytest.raises(FileFormatError, match="row 9: pz = 0 GeV/c must not be 0"):
        read_all(path, block_rows=4)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"colour": [1.0]}, "'colour' is unknown"),
        (
            {"event": [1.5]},
            "row 0: event = 1.5 must be a whole number of at most 9007199254740992 in size, up to which",
        ),
        ({"event": np.array([2**24 + 2], dtype=np.float32)}, "must be a whole number of at most 16777216 in size"),
        ({"event": np.array([2**63], dtype=np.uint64)}, "must be a whole number of at most 9223372036854775807 in"),
        ({"event": [float("nan")]}, "row 0: event = nan must be a whole number"),
        ({"pdg": [22.5]}, "row 0: pdg = 22.5 must be an integer PDG code"),
        ({"vx": ["a"]}, "column 'vx' has type string; it needs numbers"),
        ({"vx": [[1.0]]}, "column 'vx' has type list<element: double>; it needs numbers"),
        ({"pdg": [["a"]]}, "column 'pdg' has type list<element: string>; it needs numbers"),
        ({"pdg": [[22]], "px": [[0.0, 1.0]]}, "px and pdg have lists of different lengths in an entry from 0 on"),
        ({"pdg": [[22, 22]], "px": [[None, 1.0]]}, "'px' has type 2 * ?float64; it needs numbers, and no nulls"),
        ({"pdg": pa.array([None], pa.list_(pa.int32()))}, "'pdg' has nulls for lists; write empty lists"),
        ({"pdg": [[22.5]]}, "entry 0: pdg = 22.5 must be a whole number"),
    ],
)
def test_parquet_names_a_wrong_column(tmp_path: Path, column: dict[str, list[object]], message: str) -> None:
    path = tmp_path / "particles.parquet"
    pq.write_table(pa.table({"pdg": [22], "px": [0.0], "py": [0.0], "pz": [1.0]} | column), path)
    with pytest.raises(FileFormatError) as caught:
        read_all(path)
    assert message in str(caught.value)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "particles.parquet"
    path.write_text("pdg,px\n")
    with pytest.raises(FileFormatError, match="cannot be read as Parquet"):
        read_all(path)


FEW = pd.DataFrame({"pdg": [2112, 22, 22], "px": [0.1, 0, 0], "py": [0, 0.2, 0], "pz": [1500.0, 300, -300]})


@pytest.mark.parametrize(
    "write",
    [
        lambda path: FEW.to_csv(path),  # with its index, in a column without a name
        lambda path: FEW.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n"),  # as Excel saves
        lambda path: FEW.to_csv(path, index=False, quoting=csv.QUOTE_ALL),
        lambda path: FEW.astype(float).to_csv(path, index=False),  # pdg is 2112.0
        lambda path: np.savetxt(path, FEW, delimiter=",", header="pdg,px,py,pz"),  # and 2.112e+03 below a comment
        lambda path: path.write_text(FEW.to_csv(index=False).replace(",", " , ").replace("\n", "\n  \n,,,\n")),
        lambda path: path.write_bytes(gzip.compress(FEW.to_csv(index=False).encode())),  # whatever its name says
    ],
)
def test_csv_as_other_programs_write_it(tmp_path: Path, write: Callable[[Path], object]) -> None:
    write(tmp_path / "particles.csv")
    (block,) = read_all(tmp_path / "particles.csv")
    expected = Particles.from_columns({name: FEW[name].to_numpy() for name in FEW})
    np.testing.assert_array_equal(block.particles.conditions, expected.conditions)
    np.testing.assert_array_equal(block.particles.pdg, FEW["pdg"])


def test_an_unpacked_csv_that_kept_its_name_is_read(tmp_path: Path) -> None:
    FEW.to_csv(tmp_path / "particles.csv.gz", index=False, compression=None)
    assert sum(len(block.particles) for block in read_all(tmp_path / "particles.csv.gz")) == 3


def test_what_was_passed_over_or_looks_cut_off_is_said(tmp_path: Path) -> None:
    path = tmp_path / "particles.csv"
    path.write_text(FEW.to_csv()[:-1])
    reader = open_particles(path)
    list(reader)
    assert reader.notes == [
        "passed over a column without a name",
        "its last line has no end: make sure that nothing was cut off",
    ]


def test_parquet_of_chosen_rows_has_the_index_of_pandas(tmp_path: Path) -> None:
    FEW.loc[[1, 0, 2]].astype({"pdg": float}).to_parquet(tmp_path / "particles.parquet")
    reader = open_particles(tmp_path / "particles.parquet")
    (block,) = list(reader)
    assert block.particles.pdg.tolist() == [22, 2112, 22]
    assert reader.notes == ["passed over pandas' index"]


@pytest.mark.parametrize("group", [7, 10, 100])
@pytest.mark.parametrize(("start", "stop"), [(0, 100), (0, 10), (10, 20), (3, 41), (69, 70), (95, 1000), (50, 50)])
def test_only_some_rows_of_parquet_are_read(tmp_path: Path, group: int, start: int, stop: int) -> None:
    columns = table(100)
    path = tmp_path / "particles.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=group)
    reader = open_particles(path, 4)
    assert reader.count == 100
    reader.only(start, stop)
    blocks = list(reader)
    found = [int(event) for block in blocks for event in block.columns["barcode"]]
    assert found == columns["barcode"][start:stop].tolist()
    places = [block.place(i) for block in blocks for i in range(len(block.particles))]
    assert places == [f"row {row}" for row in range(start, min(stop, 100))]
    assert reader.progress == (len(found), len(found))


def test_what_cannot_be_read_twice_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("pipe.csv", "-"):
        with pytest.raises(FileFormatError, match=r"pipes are not read, .*: write the particles to a file first"):
            open_particles(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileFormatError, match="is a folder; name a file"):
        open_particles(tmp_path / "folder.csv")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "particles.csv").write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)  # also where the tests run as root
    with pytest.raises(FileFormatError, match="you may not read it"):
        open_particles(tmp_path / "particles.csv")


def test_unknown_endings_and_absent_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no such file"):
        open_particles(tmp_path / "particles.csv")
    (tmp_path / "particles.parquet.gz").write_text("")
    with pytest.raises(FileFormatError, match=r"ends in \.csv, .*; unpack it first"):
        open_particles(tmp_path / "particles.parquet.gz")
    (tmp_path / "particles.txt").write_text("")
    with pytest.raises(FileFormatError, match=r"ends in \.csv, \.csv\.gz, \.root, \.parquet, "):
        open_particles(tmp_path / "particles.txt")


def test_an_absent_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "particles.parquet", table(1))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"pip install 'zdc-fastsim\[hep\]'"):
        open_particles(path)


def test_arguments_are_particles() -> None:
    reader = ArgumentReader(["pdg=2112,pz=1500,px=0.1", "pz=-800 pdg=22  vz=2"])
    (block,) = reader
    expected = Particles.from_columns(
        {"pdg": [2112, 22], "px": [0.1, 0], "py": [0, 0], "pz": [1500, -800], "vz": [0, 2]}
    )
    np.testing.assert_array_equal(block.particles.conditions, expected.conditions)
    np.testing.assert_array_equal(block.particles.pdg, expected.pdg)
    reader.only(1, 2)
    (block,) = reader
    assert (block.particles.pdg.tolist(), block.place(0)) == ([22], "'pz=-800 pdg=22  vz=2'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pdg=2112,pz", "'pz' is not name=number"),
        ("pdg=2112,pz=fast", "'pz=fast' is not name=number"),
        ("pdg=2112", "missing columns ['pz']"),
        ("pdg=2112,pz=1,colour=3", "unknown columns ['colour']"),
        ("pdg=2112,pz=100,mass=0.94", "did you send GeV?"),
    ],
)
def test_a_wrong_argument_is_quoted(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        list(ArgumentReader(["pdg=22,pz=1", text]))
    assert repr(text) in str(caught.value)
    assert message in str(caught.value)
