"""Common behaviour of CSV, Parquet and arguments, and files that cannot be read."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers.files.table_files import table, write_csv, write_parquet, write_zipped_csv
from zdc_common.errors import ConfigError, FileFormatError, InvalidInputError
from zdc_detector.particles import Particles
from zdc_readers import open_particles
from zdc_readers.arguments import ArgumentReader


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


def test_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("pipe.csv", "-"):
        with pytest.raises(FileFormatError, match=r"pipes are not supported, .*; write the particles to a file first"):
            open_particles(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileFormatError, match="is a folder; name a file"):
        open_particles(tmp_path / "folder.csv")


def test_a_file_without_read_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "particles.csv").write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)  # also if the tests run as root
    with pytest.raises(FileFormatError, match="no permission to read this file"):
        open_particles(tmp_path / "particles.csv")


def test_unknown_endings_and_absent_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="no such file"):
        open_particles(tmp_path / "particles.csv")
    (tmp_path / "particles.parquet.gz").write_text("")
    with pytest.raises(FileFormatError, match=r"must end in \.csv, .*; decompress it first"):
        open_particles(tmp_path / "particles.parquet.gz")
    (tmp_path / "particles.txt").write_text("")
    with pytest.raises(FileFormatError, match=r"must end in \.csv, \.hepmc3, .*, and may continue with \.gz, \.bz2"):
        open_particles(tmp_path / "particles.txt")


def test_an_absent_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "particles.parquet", table(1))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[hep\]'"):
        open_particles(path)


def test_arguments_are_read_as_particles() -> None:
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
