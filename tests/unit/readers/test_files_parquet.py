"""Particles from Parquet files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.files.table_files import FEW, read_all, table
from zdc_common.errors import FileFormatError
from zdc_readers import open_particles

#: Prints the increase of memory [kB] between reading the first block of a file and reading all.
READ_ALL = """
import resource, sys
from pathlib import Path
from zdc_readers import open_particles
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
        ({"event": [1.5]}, "row 0: event = 1.5 must be a whole number"),
        (
            {"event": np.array([2**24 + 2], dtype=np.float32)},
            "may have been rounded: float32 holds whole numbers exactly",
        ),
        ({"event": np.array([2**63], dtype=np.uint64)}, "event = 9223372036854775808 is outside the range of int64"),
        ({"event": [float("nan")]}, "row 0: event = nan must be a whole number"),
        ({"pdg": [22.5]}, "row 0: pdg = 22.5 must be a whole number"),
        ({"vx": ["a"]}, "column 'vx' has type string; it must have numbers"),
        ({"vx": [[1.0]]}, "column 'vx' has type list<element: double>; it must have numbers"),
        ({"pdg": [["a"]]}, "column 'pdg' has type list<element: string>; it must have numbers"),
        ({"pdg": [[22]], "px": [[0.0, 1.0]]}, "entry 0: pdg has 1 particle and px has 2; the lists"),
        ({"pdg": [[22, 22]], "px": [[None, 1.0]]}, "entry 0: px is null; write a number"),
        ({"pdg": pa.array([None], pa.list_(pa.int32()))}, "entry 0: pdg is null; write an empty list"),
        ({"pdg": [[22.5]]}, "entry 0: pdg = 22.5 must be a whole number"),
    ],
)
def test_parquet_names_a_wrong_column(tmp_path: Path, column: dict[str, list[object]], message: str) -> None:
    path = tmp_path / "particles.parquet"
    pq.write_table(pa.table({"pdg": [22], "px": [0.0], "py": [0.0], "pz": [1.0]} | column), path)
    with pytest.raises(FileFormatError) as caught:
        read_all(path)
    assert message in str(caught.value)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "particles.parquet"
    path.write_text("pdg,px\n")
    with pytest.raises(FileFormatError, match="cannot be read as Parquet"):
        read_all(path)


def test_parquet_of_chosen_rows_has_the_index_of_pandas(tmp_path: Path) -> None:
    FEW.loc[[1, 0, 2]].astype({"pdg": float}).to_parquet(tmp_path / "particles.parquet")
    reader = open_particles(tmp_path / "particles.parquet")
    (block,) = list(reader)
    assert block.particles.pdg.tolist() == [22, 2112, 22]
    assert reader.notes == ["ignored column __index_level_0__"]


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


def test_column_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({**FEW, "weight": [1.0] * len(FEW["pdg"])}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"weight", b"\xc3eight"))
    with pytest.raises(FileFormatError, match=r"a\.parquet: cannot be read as Parquet: 'utf-8' codec"):
        open_particles(path)
