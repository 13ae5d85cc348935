"""Small files from public bug reports of other tools, with the correct result for each (`tests/data/odd`)."""

from pathlib import Path

import numpy as np
import pytest
from zdc_common.errors import ConfigError, FileFormatError
from zdc_detector.particles import VX
from zdc_readers import ParticleReader, open_particles
from zdc_service.bulk.report import read_line

ODD = Path(__file__).parents[2] / "data" / "odd"


def codes(reader: ParticleReader) -> list[int]:
    return [code for block in reader for code in block.particles.pdg.tolist()]


@pytest.mark.parametrize(
    ("name", "expected", "said"),
    [
        ("codes.hepmc3", [-2112, 2112, 130, 310], "read 8 particles; left out 4: 2 charged, 2 not in the PDG table"),
        ("no_events.hepmc3", [], "read 0 particles"),
        (
            "mislabelled_io_genevent.hepmc3",
            [2112, 22],
            "left out 2: 1 charged, 1 misses the face; its listing names one",
        ),
        ("units.hepmc3.zst", [2112, 22], "left out 2: 1 charged, 1 misses the face"),
        ("units.hepmc3.bz2", [2112, 22], "left out 2: 1 charged, 1 misses the face"),
        (
            "spectators_only_status14.hepmc3",
            [],
            "read 4 particles; left out 4: 3 of status 14 that would reach the face, 1 charged; to simulate",
        ),
        ("status.root", [2112, 22, 22], "left out 2: 2 of status 2; to simulate other status codes"),
        ("decimal.parquet", [2112, 22], "read 2 particles"),
        ("extra_weight.parquet", [2112, 22], "read 2 particles; ignored column weight"),
        ("records.parquet", [2112, 22], "read 2 particles"),
        ("h5_columns.h5", [2112, 22], "read 2 particles"),
    ],
)
def test_valid_files_are_read(name: str, expected: list[int], said: str) -> None:
    reader = open_particles(ODD / name)
    assert codes(reader) == expected
    assert said in read_line(reader)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lowercase_units.hepmc3", "event 7, line 4: 'U gev mm' has unknown units; they must be GEV or"),
        ("nan.hepmc3", "event 7, particle 3: pz = nan must be finite"),
        (
            "too_few_vertices.hepmc3",
            "event 1, line 3: the event announces 2 vertices but has 1; it is damaged or truncated",
        ),
        ("empty.hepmc3", "empty.hepmc3: the file is empty"),
        ("uint64_event.parquet", "row 0: event = 9223372036854775813 is outside the range of int64"),
        ("list_null_inside.parquet", "entry 0: px is null; write a number, or leave the particle out"),
    ],
)
def test_errors_name_the_invalid_line(name: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FileFormatError) as caught:
        codes(open_particles(ODD / name))
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(ODD / name))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["units.hepmc3.zst", "units.hepmc3.bz2"])
def test_compressed_files_are_read_in_their_units(name: str) -> None:
    (block,) = open_particles(ODD / name)
    (plain,) = open_particles(ODD / "mislabelled_io_genevent.hepmc3")
    np.testing.assert_array_equal(block.particles.conditions, plain.particles.conditions)
    assert plain.particles.conditions[0, VX] == np.float32(0.05)  # 0.5 mm


def test_statuses_can_be_chosen() -> None:
    reader = open_particles(ODD / "spectators_only_status14.hepmc3", statuses=(1, 14))
    assert codes(reader) == [2112] * 3
    assert (reader.read, reader.skipped) == (4, {"charged": 1})
    reader = open_particles(ODD / "status.root", statuses=(2,))
    assert codes(reader) == [3122, 111]
    assert reader.skipped == {"of status 1": 3}
    with pytest.raises(ConfigError, match=r"there is no column 'status'; leave out --status, or add the column"):
        open_particles(ODD / "decimal.parquet", statuses=(1,))
