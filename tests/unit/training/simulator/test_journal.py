"""The journal of a simulation after kills, of another simulation, and with damage."""

from pathlib import Path

import numpy as np
import pytest
from zdc_common.errors import ConfigError, FileFormatError
from zdc_training.simulator.journal import Journal
from zdc_training.simulator.tasks import Shower

IDENTITY: dict[str, object] = {"seed": 3, "set_up": {"light": {"scale": 0.126}}}


def shower(row: int) -> Shower:
    fibres = np.array([0, 7, 1935], dtype=np.uint32)
    return Shower(row, fibres, np.array([0.1, 1e-30, 1234.5678], dtype=np.float32) * (row + 1), 0.25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of three showers and a lost one."""
    path = tmp_path / "out.h5.journal"
    with Journal(path, IDENTITY) as journal:
        for row in (2, 0, 1):
            journal.add(shower(row))
        journal.lose(5, "signal 11")
    return path


def rows(path: Path) -> list[int]:
    with Journal(path, IDENTITY) as journal:
        return sorted(journal.showers)


def test_numbers_come_back_bit_for_bit(path: Path) -> None:
    with Journal(path, IDENTITY) as journal:
        assert sorted(journal.showers) == [0, 1, 2]
        assert journal.lost == {5: "signal 11"}
        for row, found in journal.showers.items():
            assert np.array_equal(found.fibres, shower(row).fibres)
            assert found.rates.tobytes() == shower(row).rates.tobytes()
            assert found.cpu_seconds == 0.25


@pytest.mark.parametrize("cut", [1, 20, 90])
def test_an_incomplete_last_line_is_dropped(path: Path, cut: int) -> None:
    with Journal(path, IDENTITY) as journal:
        journal.add(shower(3))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - cut)
    with Journal(path, IDENTITY) as resumed:
        assert sorted(resumed.showers) == [0, 1, 2]
        resumed.add(shower(3))
    assert rows(path) == [0, 1, 2, 3]


def test_a_lost_shower_that_is_made_later_is_not_lost(path: Path) -> None:
    with Journal(path, IDENTITY) as journal:
        journal.add(shower(5))
        assert journal.lost == {}
    with Journal(path, IDENTITY) as journal:
        assert journal.lost == {}


def test_another_simulation_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"showers of another simulation: seed was 3 and is 4; choose another"):
        Journal(path, IDENTITY | {"seed": 4})


def test_damage_in_the_middle_is_an_error(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"garbage\n" + b"".join(lines[1:]))
    with pytest.raises(FileFormatError, match=rf"byte {len(lines[0])}: no record of a shower"):
        Journal(path, IDENTITY)


def test_two_processes_cannot_write_to_one_journal(path: Path) -> None:
    with Journal(path, IDENTITY), pytest.raises(ConfigError, match="another process adds showers to it"):
        Journal(path, IDENTITY)
    assert rows(path) == [0, 1, 2]
