"""Checkpoint files: complete or absent, and checked when they are read."""

import io
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from zdc_common.errors import ConfigError
from zdc_common.whole_file import whole_file


def former(path: Path) -> Path:
    """The path where `save_state` keeps the file that it replaces."""
    return path.with_stem(f"{path.stem}-former")


def save_state(path: Path, state: Mapping[str, Any], *, keep_former: bool = False) -> None:
    """Write a state; the file appears complete or not at all.

    Parameters
    ----------
    keep_former : Keep the replaced file, see `former`.

    Raises
    ------
    OSError : the disk is full, or another error of the system.
    """
    # Written by Python: torch's own writer raises a RuntimeError if the disk is full.
    content = io.BytesIO()
    torch.save(dict(state), content)
    with whole_file(path) as part:
        part.write_bytes(content.getbuffer())
        if keep_former and path.exists():
            with whole_file(former(path)) as copy:
                shutil.copyfile(path, copy)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state to the CPU.

    A file of torch is a zip archive with a checksum of each member, which torch itself does not check.

    Raises
    ------
    ConfigError : the file is damaged; names the former file, if it exists.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"the checksum of its part {damaged} is not right")
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError, zipfile.BadZipFile, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{path}: cannot be read: {reason}; {_remedy(path)}") from error
    if not isinstance(saved, dict):
        raise ConfigError(f"{path}: holds a {type(saved).__name__}, not the state of a training; {_remedy(path)}")
    return saved


def _remedy(path: Path) -> str:
    if former(path).is_file():
        return f"continue from the epoch before: mv {former(path)} {path}, then --resume"
    return "restore the file, or train another run"
