"""Particles from CSV and Parquet files and from arguments."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
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
        ("", "line 1: '' is unknown or there twice"),
        ("pdg,px,py,pz,colour\n22,0,0,1,3\n", "line 1: 'colour' is unknown"),
        ("pdg,px,py,pz,pz\n22,0,0,1,1\n", "line 1: 'pz' is unknown or there twice"),
        ("22,0,0,1\n", "line 1: '22' is unknown"),
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
        ({"event": [1.5]}, "needs integers"),
        ({"vx": ["a"]}, "needs numbers"),
    ],
)
def test_parquet_names_a_wrong_column(tmp_path: Path, column: dict[str, list[object]], message: str) -> None:
    path = tmp_path / "particles.parquet"
    pq.write_table(pa.table({"pdg": [22], "px": [0.0], "py": [0.0], "pz": [1.0], **column}), path)
    with pytest.raises(FileFormatError) as caught:
        read_all(path)
    assert message in str(caught.value)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "particles.parquet"
    path.write_text("pdg,px\n")
    with pytest.raises(FileFormatError, match="cannot be read as Parquet"):
        read_all(path)


def test_unknown_endings_and_absent_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no such file"):
        open_particles(tmp_path / "particles.csv")
    (tmp_path / "particles.txt").write_text("")
    with pytest.raises(FileFormatError, match=r"ends in \.csv, \.csv\.gz, \.root, \.parquet, "):
        open_particles(tmp_path / "particles.txt")


def test_an_absent_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "particles.parquet", table(1))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"pip install 'zdc-fastsim\[hep\]'"):
        open_particles(path)


def test_arguments_are_particles() -> None:
    (block,) = ArgumentReader(["pdg=2112,pz=1500,px=0.1", "pz=-800 pdg=22  vz=2"])
    expected = Particles.from_columns(
        {"pdg": [2112, 22], "px": [0.1, 0], "py": [0, 0], "pz": [1500, -800], "vz": [0, 2]}
    )
    np.testing.assert_array_equal(block.particles.conditions, expected.conditions)
    np.testing.assert_array_equal(block.particles.pdg, expected.pdg)


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
