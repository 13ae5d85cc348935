"""Machine code on disk: it is kept, and a damaged or read-only folder causes no failure."""

import errno
import importlib.util
import logging
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numba
import numba.core.caching
import pytest
from zdc_common import compiled as module

SOURCE = """
from zdc_common.compiled import compiled

@compiled
def plus(x: int) -> int:
    return x + {number}

@compiled
def minus(x: int) -> int:
    return x - 1
"""

#: A process that can write the table of contents and not the code, as on a disk that becomes full.
FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.path.insert(0, sys.argv[2])
import plus
print(plus.plus(1), plus.plus(2))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a compiled function, and a cache folder."""
    (tmp_path / "plus.py").write_text(SOURCE.format(number=1))
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    module._said.clear()
    return tmp_path


def fresh(folder: Path) -> ModuleType:
    """The module as in a new process: nothing is compiled yet."""
    spec = importlib.util.spec_from_file_location("plus", folder / "plus.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def hits(loaded: ModuleType) -> int:
    """Number of functions that were loaded from the cache."""
    return sum(loaded.plus.stats.cache_hits.values())


def files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "cache").rglob("*") if path.is_file())


def test_the_next_process_finds_what_one_has_compiled(folder: Path) -> None:
    first, second = fresh(folder), fresh(folder)
    assert (first.plus(1), hits(first)) == (2, 0)
    assert (second.plus(1), hits(second)) == (2, 1)
    assert [path.suffix for path in files(folder)] == [".nbc", ".nbi"]


def test_damaged_files_are_compiled_again(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    fresh(folder).plus(1)
    whole = {path: path.read_bytes() for path in files(folder)}
    draw = random.Random(0)
    for path, content in whole.items():
        damaged = [b"", b"garbage", content[: len(content) // 2], content[:-1]]
        for _ in range(8):
            place = draw.randrange(len(content))
            damaged.append(content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
        for each in damaged:
            for other, good in whole.items():
                other.write_bytes(each if other == path else good)
            assert fresh(folder).plus(1) == 2  # whatever is read
            assert fresh(folder).plus(1) == 2
    assert caplog.text.count("machine code there cannot be read") > 0
    again = fresh(folder)
    assert (again.plus(1), hits(again)) == (2, 1)


def test_code_of_another_source_is_not_run(folder: Path) -> None:
    """The files of numba if the disk is full after its index file and before the code."""
    fresh(folder).plus(1)
    old, _ = (path.read_bytes() for path in files(folder))
    (folder / "plus.py").write_text(SOURCE.format(number=1000))
    fresh(folder).plus(1)
    code, _ = files(folder)
    code.write_bytes(old)
    assert fresh(folder).plus(1) == 1001


@pytest.mark.parametrize("room", [0, 500])
def test_a_full_disk_costs_the_cache_and_nothing_else(folder: Path, room: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(room), str(folder)], capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "2 3\n"), done.stderr
    assert done.stderr.count("machine code cannot be kept: OSError: [Errno 27]") == 1
    assert "name another folder in NUMBA_CACHE_DIR" in done.stderr
    assert not [path for path in files(folder) if path.suffix == ".nbi"]


def test_without_any_folder_that_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module._HashedCode, "_locator_classes", [])
    with caplog.at_level(logging.WARNING):
        assert [fresh(folder).plus(number) for number in range(3)] == [1, 2, 3]
        assert [fresh(folder).minus(number) for number in range(3)] == [-1, 0, 1]
    (record,) = caplog.records
    assert "machine code is not kept" in record.getMessage()
    assert "NUMBA_CACHE_DIR" in record.getMessage()
    assert not files(folder)


def test_a_read_only_folder_with_code_in_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a container image in which the server was started once during the build."""
    fresh(folder).plus(1)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)  # numba's own way to ask; root may write everywhere
    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, "_open_for_write", refuse)
    again = fresh(folder)
    assert (again.plus(1), hits(again)) == (2, 1)
    assert not caplog.records
    assert again.plus(1.5) == 2.5  # another signature, of which there is nothing
    assert caplog.text.count("machine code cannot be kept: OSError: [Errno 30] Read-only file system") == 1


def test_a_folder_that_cannot_be_made_leaves_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder / "file" / "cache"))
    first, second = fresh(folder), fresh(folder)
    assert (first.plus(1), hits(first), second.plus(1), hits(second)) == (2, 0, 2, 1)  # beside the source
