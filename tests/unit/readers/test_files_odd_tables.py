"""Tables of other programs in all formats: unusual types, nulls, records, status codes, extra columns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from zdc_common.errors import FileFormatError
from zdc_readers import ParticleReader, open_particles

TWO: dict[str, Any] = {"pdg": [2112, 22], "px": [0.1, 0.0], "py": [0.0, 0.05], "pz": [1500.0, -300.0]}
ONE = {"pdg": 2112, "px": 0.0, "py": 0.0, "pz": 1500.0}
RECORD = pa.struct([("pdg", pa.int64()), *((name, pa.float64()) for name in ("px", "py", "pz"))])


def parquet(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def hdf5(path: Path, columns: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values
    return path


def root(path: Path, columns: dict[str, Any]) -> Path:
    with uproot.recreate(path) as file:
        file.mkrntuple("events", {name: ak.Array(values) for name, values in columns.items()})
    return path


def csv(path: Path, columns: dict[str, Any]) -> Path:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


CONTAINERS: dict[str, Callable[[Path, dict[str, Any]], Path]] = {
    ".parquet": parquet, ".h5": hdf5, ".root": root, ".csv": csv,
}  # fmt: skip
every_container = pytest.mark.parametrize("ending", CONTAINERS)


def write(folder: Path, ending: str, columns: dict[str, Any]) -> Path:
    return CONTAINERS[ending](folder / f"a{ending}", columns)


def codes(reader: ParticleReader) -> list[int]:
    return [code for block in reader for code in block.particles.pdg.tolist()]


@every_container
def test_other_columns_are_ignored_and_named_once(tmp_path: Path, ending: str) -> None:
    reader = open_particles(write(tmp_path, ending, TWO | {"weight": [1.0, 2.0], "colour": [3, 4]}), 1)
    assert codes(reader) == [2112, 22]
    (note,) = reader.notes
    assert note.startswith("ignored ")
    assert sorted(note.split()[-2:]) in (["colour", "weight,"], ["colour,", "weight"])


@every_container
def test_particles_are_selected_by_status(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, ending, TWO | {"status": [2, 1], "event": [7, 8]})
    reader = open_particles(path)
    (block,) = reader
    assert block.particles.pdg.tolist() == [22]
    assert block.columns["event"].tolist() == [8]
    assert block.place(0) in ("row 1", "entry 1", "line 3")
    assert (reader.read, reader.count, reader.skipped) == (2, None, {"of status 2": 1})
    assert codes(open_particles(path, statuses=(1, 2))) == [2112, 22]


@every_container
def test_column_names_in_upper_case_are_refused(tmp_path: Path, ending: str) -> None:
    with pytest.raises(FileFormatError, match=r"unknown .* 'Vz'; rename it to 'vz', or remove it"):
        codes(open_particles(write(tmp_path, ending, TWO | {"Vz": [1.0, 2.0]})))


@every_container
def test_messages_do_not_list_every_column(tmp_path: Path, ending: str) -> None:
    columns = {f"column_number_{i}": [1.0, 2.0] for i in range(300)}
    with pytest.raises(
        FileFormatError, match=r"there is no .* 'pdg'; found column_number_.* and 29[0-9] more"
    ) as caught:
        codes(open_particles(write(tmp_path, ending, columns)))
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@every_container
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["px", "pz", "vx"])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, ending: str, name: str, value: float) -> None:
    columns = TWO | {"vx": [0.0, 0.0]}
    with pytest.raises(FileFormatError, match=rf"1: {name} = (nan|inf).* must be finite|line 3: {name} = (nan|inf)"):
        codes(open_particles(write(tmp_path, ending, columns | {name: [columns[name][0], value]})))


@pytest.mark.parametrize("ending", [".parquet", ".root"])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("name", ["px", "pz", "vx"])
def test_values_that_are_not_finite_are_refused_in_lists(tmp_path: Path, ending: str, name: str, value: float) -> None:
    columns: dict[str, Any] = {key: [values, []] for key, values in (TWO | {"vx": [0.0, 0.0]}).items()}
    columns[name] = [[columns[name][0][0], value], []]
    with pytest.raises(FileFormatError, match=rf"event 0, particle 1: {name} = (nan|-inf) must be finite"):
        codes(open_particles(write(tmp_path, ending, columns)))


@pytest.mark.parametrize("ending", [".parquet", ".root"])
def test_a_status_per_event_applies_to_all_its_particles(tmp_path: Path, ending: str) -> None:
    columns: dict[str, Any] = {name: [values, values] for name, values in TWO.items()}
    reader = open_particles(write(tmp_path, ending, columns | {"status": [1, 2]}))
    assert codes(reader) == [2112, 22]
    assert reader.skipped == {"of status 2": 2}


@pytest.mark.parametrize(
    "columns",
    [
        TWO | {"pdg": pa.array([2112, 22]).dictionary_encode()},
        TWO | {"pdg": pa.array([2112, 22], pa.decimal128(20, 0))},
        TWO | {"pz": pa.array([1500, -300], pa.decimal256(40, 3))},
        TWO | {"pz": np.array([1500, -300], dtype=np.float16)},
        {"particle": pa.array([ONE, ONE | {"pdg": 22}], RECORD)},
        {"particles": pa.array([[ONE, ONE | {"pdg": 22}], []], pa.list_(RECORD)), "event": [7, 8]},
        {"pdg": [[2112, 22]], "px": [[0, 0]], "py": [[0, 0]], "pz": pa.array([[9, 9]], pa.list_(pa.decimal128(8, 2)))},
    ],
)
def test_types_of_arrow_are_read(tmp_path: Path, columns: dict[str, Any]) -> None:
    assert codes(open_particles(parquet(tmp_path / "a.parquet", columns))) == [2112, 22]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"status": [True, False]}, "column 'status' has type bool; it must have numbers"),
        ({"pdg": ["neutron", "gamma"]}, "column 'pdg' has type string; it must have numbers"),
        ({"pdg": np.array([3122, 22], dtype=np.float16)}, "row 0: pdg = 3122.0 may have been rounded: float16 holds"),
        ({"pdg": pa.array([2112, 10**25], pa.decimal128(30, 0))}, "row 1: pdg = 1e+25 may have been rounded"),
        ({"vx": pa.nulls(2)}, "column 'vx' has type null; it must have numbers"),
        ({"event": pa.array([1, 2], pa.timestamp("s"))}, "column 'event' has type timestamp[ms]; it must have numbers"),
        ({"pz": pa.array([1500, None], pa.decimal128(12, 3))}, "row 1: pz is null; write a number"),
        (
            {"pdg": [[[2112]], [[22]]]},
            "column 'pdg' has type list<element: list<element: int64>>; it must have numbers",
        ),
    ],
)
def test_errors_name_columns_that_are_not_numeric(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        codes(open_particles(parquet(tmp_path / "a.parquet", TWO | columns)))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"p": pa.array([ONE, None], RECORD)}, "row 1: pdg is null"),
        ({"p": pa.array([[ONE, None]], pa.list_(RECORD))}, "entry 0: pdg is null; write a number"),
        ({"p": pa.array([[ONE], None], pa.list_(RECORD))}, "entry 1: pdg is null; write an empty list"),
        (
            {"p": pa.array([[ONE]], pa.list_(RECORD)), "px": [5.0]},
            "'px' is both a column and a field of 'p'; remove one",
        ),
    ],
)
def test_errors_name_nulls_in_records(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        codes(open_particles(parquet(tmp_path / "a.parquet", columns)))
    assert message in str(caught.value)


def test_big_endian_columns_of_hdf5_are_read(tmp_path: Path) -> None:
    columns = {name: np.array(values, dtype=">i4" if name == "pdg" else ">f4") for name, values in TWO.items()}
    (block,) = open_particles(hdf5(tmp_path / "a.h5", columns | {"event": np.array([7, 2**40], dtype=">i8")}))
    assert block.particles.pdg.tolist() == [2112, 22]
    assert block.columns["event"].tolist() == [7, 2**40]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"particles": np.zeros(3, dtype=[("pdg", "i4"), ("px", "f8")])}, "groups and compound types are not read"),
        ({"g/pdg": [1], "g/px": [1.0]}, "there is no data set 'pdg', only g; groups and compound types are not read"),
        (TWO | {"pdg": np.array([b"n", b"g"])}, "data set 'pdg' has type |S1; it must have numbers"),
        (TWO | {"px": [0.0] * 3}, "numbers of rows differ: pdg has 2, px has 3"),
        (TWO | {"vx": 3.0}, "there is no data set 'vx' with 1 dimension"),
        (TWO | {"vx": h5py.SoftLink("/nowhere")}, "there is no data set 'vx' with 1 dimension"),
        (TWO | {"vx": h5py.Empty("f8")}, "there is no data set 'vx' with 1 dimension"),
    ],
)
def test_errors_describe_unknown_layouts_of_hdf5(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        codes(open_particles(hdf5(tmp_path / "a.h5", columns)))
    assert message in str(caught.value)


def test_trees_of_hepmc3_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("hepmc3_tree", {"event_number": np.dtype("i4")})
        file.mktree("other", {"event_number": np.dtype("i4")})
    with pytest.raises(
        FileFormatError, match=r"hepmc3_tree is HepMC3's format of events in ROOT files, .* as HepMC3 text"
    ):
        open_particles(tmp_path / "a.root")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pdg,px,py,pz\n2112,0,0,1_000\n", "line 2: pz = '1_000' is not a number"),
        ("pdg,px,py,pz\n0x840,0,0,1\n", "line 2: pdg = '0x840' is not a whole number"),
        ("pdg,px,py,pz\nneutron,0,0,1\n", "line 2: pdg = 'neutron' is not a whole number"),
        ("pdg,px,py,pz\n2112,,0,1\n", "line 2: px = '' is not a number"),
        (
            "pdg,px,py,pz,event\n2112,0,0,1,99999999999999999999\n",
            "event = '99999999999999999999' is outside the range of int64",
        ),
        ('pdg,px,py,pz\n"2112,0,0,1\n2112,0,0,1\n', "after line 3: unexpected end of data"),
        ("pdg,px,py,pz\n# a comment\n", "line 2 has 1 value; the header has 4 columns"),
        ("pdg,px,py,pz\n" + "x" * 9000 + ",0,0,1\n", "... is not a whole number"),
        ("pdg,px,py,pz\n" + "1" * 2_000_000 + "\n", "after line 2: a line of more than 1048576 characters"),
    ],
)
def test_errors_name_invalid_cells_of_csv(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FileFormatError) as caught:
        codes(open_particles(tmp_path / "a.csv"))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 250 + len(str(tmp_path))
