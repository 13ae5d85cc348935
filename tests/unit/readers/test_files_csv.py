"""Particles from CSV files of other programs."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.files.table_files import FEW, read_all, table, write_csv, write_zipped_csv
from zdc_common.errors import FileFormatError
from zdc_detector.particles import Particles
from zdc_readers import open_particles

HEADER = "pdg,px,py,pz,vx,vy,vz,event,barcode"


@pytest.mark.parametrize("cut", [200, -4])
def test_a_truncated_compressed_csv_is_refused(tmp_path: Path, cut: int) -> None:
    path = write_zipped_csv(tmp_path / "particles.csv.gz", table(100))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(
        FileFormatError, match=r"csv\.gz: after line \d+: the gzip stream is truncated; write the file again"
    ):
        read_all(path, 7)


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
        (
            "2112,0,0,100,0,0,0,1,99999999999999999999",
            "line 5: barcode = '99999999999999999999' is outside the range of int64",
        ),
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
        ("", "the file is empty; its first line must name the columns: pdg, energy"),
        (" \n\n", "is empty"),
        ("pdg;px;py;pz\n22;0;0;1\n", "line 1 has semicolons between the columns; use commas"),
        ("\npdg\tpx\tpy\tpz\n22\t0\t0\t1\n", "line 2 has tabs between the columns"),
        ("pdg,px,py,pz,pz\n22,0,0,1,1\n", "line 1: column 'pz' occurs twice; remove or rename one of them"),
        ("22,0,0,1\n", "line 1: there is no column 'pdg'; found 22, 0, 0, 1; particles need pdg, px, py, pz and may"),
        ("pdg,px,py\n22,0,0\n", "line 1: there is no column 'pz'; found pdg, px, py"),
        ("pdg,px,py,pz,Vz\n22,0,0,1,3\n", "line 1: unknown column 'Vz'; rename it to 'vz'"),
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


@pytest.mark.parametrize(
    "write",
    [
        lambda path: FEW.to_csv(path),  # writes the index, in a column without a name
        lambda path: FEW.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n"),  # as Excel saves
        lambda path: FEW.to_csv(path, index=False, quoting=csv.QUOTE_ALL),
        lambda path: FEW.astype(float).to_csv(path, index=False),  # pdg is 2112.0
        lambda path: np.savetxt(
            path, FEW, delimiter=",", header="pdg,px,py,pz"
        ),  # writes 2.112e+03, and the header as a comment
        lambda path: path.write_text(FEW.to_csv(index=False).replace(",", " , ").replace("\n", "\n  \n,,,\n")),
        lambda path: path.write_bytes(
            gzip.compress(FEW.to_csv(index=False).encode())
        ),  # with the name of an uncompressed file
    ],
)
def test_csv_as_other_programs_write_it(tmp_path: Path, write: Callable[[Path], object]) -> None:
    write(tmp_path / "particles.csv")
    (block,) = read_all(tmp_path / "particles.csv")
    expected = Particles.from_columns({name: FEW[name].to_numpy() for name in FEW})
    np.testing.assert_array_equal(block.particles.conditions, expected.conditions)
    np.testing.assert_array_equal(block.particles.pdg, FEW["pdg"])


def test_a_decompressed_csv_with_the_old_name_is_read(tmp_path: Path) -> None:
    FEW.to_csv(tmp_path / "particles.csv.gz", index=False, compression=None)
    assert sum(len(block.particles) for block in read_all(tmp_path / "particles.csv.gz")) == 3


def test_notes_name_ignored_columns_and_a_missing_line_break(tmp_path: Path) -> None:
    path = tmp_path / "particles.csv"
    path.write_text(FEW.to_csv()[:-1])
    reader = open_particles(path)
    list(reader)
    assert reader.notes == [
        "ignored a column without a name",
        "the last line has no line break: check that the file is complete",
    ]
