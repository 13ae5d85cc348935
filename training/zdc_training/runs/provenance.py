"""Provenance of a run, data, code and machine: recorded by `fit`, used by `evaluate` and `export`."""

import platform
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import h5py
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from zdc_common.errors import ConfigError
from zdc_common.file_content import sha256_of
from zdc_common.versions import installed_version
from zdc_common.whole_file import write_whole
from zdc_detector.card import SourceSpec
from zdc_detector.ranges import Ranges
from zdc_detector.shower_rows import file_attributes
from zdc_detector.showers import Showers

from zdc_training.config.config import data_path
from zdc_training.config.sections import DataConfig, Experiment
from zdc_training.nn.distributed import processes
from zdc_training.runs.ranges import trained_ranges
from zdc_training.runs.run import Run

PROVENANCE_FILE = "provenance.json"
_PACKAGES = ("zdc-fastsim", "torch", "numpy", "scipy", "h5py")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Session(_Strict):
    """One call of `fit`, which may have continued an earlier one.

    Attributes
    ----------
    host : Only in the run folder: cards are public.
    """

    started: str
    from_epoch: int
    commit: str
    versions: dict[str, str]
    host: str
    system: str
    device: str
    threads: int
    processes: int


class Provenance(_Strict):
    """The provenance of one run.

    Attributes
    ----------
    train, train_sha256 : Absolute path of the training file, and its hash.
    test : Absolute path of the test file, if there was one when the run began.
    title : Title of the training file.
    minimum_photons : Smallest photon sum that a filter kept in the training file; 0 without a filter.
    showers, validation_showers : Numbers of showers.
    ranges : Species, energies and vertices of the training showers.
    source : The model that was fine-tuned; None: random initial weights.
    """

    train: Path
    train_sha256: str
    test: Path | None
    title: str
    minimum_photons: int
    showers: int
    validation_showers: int
    ranges: Ranges
    source: SourceSpec | None = None
    sessions: tuple[Session, ...]


def read_provenance(run: Run) -> Provenance | None:
    """The record of a run; None if it has none.

    Raises
    ------
    ConfigError : the file is damaged.
    """
    path = run.folder / PROVENANCE_FILE
    if not path.is_file():
        return None
    try:
        return Provenance.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{path} is damaged; restore it, or train another run") from error


def located(run: Run, data: DataConfig) -> DataConfig:
    """The data section of a run's configuration with absolute paths of the files that the run began with.

    Raises
    ------
    ConfigError : the training file does not exist any more, or has changed since the run began.
    """
    record = read_provenance(run)
    if record is None:
        return data
    test = record.test if record.test is not None and record.test.is_file() else data.test
    here = data_path(data.train) if not record.train.is_file() else record.train
    found = sha256_of(here)
    if found != record.train_sha256:
        raise ConfigError(
            f"{here} has changed since {run.folder} began to train on it (sha256 {found[:12]}..., was "
            f"{record.train_sha256[:12]}...); put the former file back, or train another run"
        )
    return data.model_copy(update={"train": here, "test": test})


def record_session(
    run: Run,
    config: Experiment,
    data: DataConfig,
    split: tuple[Showers, Showers],
    device: torch.device,
    epoch: int,
    source: SourceSpec | None = None,
) -> None:
    """Add a session to the provenance of a run.

    Parameters
    ----------
    data : Data section with absolute paths, see `located`.
    split : Training and validation showers.
    epoch : The last finished epoch.
    source : The model that a new run starts from.
    """
    record = read_provenance(run)
    if record is None:
        train = data_path(data.train).resolve()
        with h5py.File(train, "r") as file:
            attributes = file_attributes(file)
        record = Provenance(
            train=train,
            train_sha256=sha256_of(train),
            test=_whole(data.test),
            title=str(attributes.get("title", "")),
            minimum_photons=int(attributes.get("minimum_photons", 0)),
            showers=len(split[0]),
            validation_showers=len(split[1]),
            ranges=trained_ranges(split[0], config.condition_scaling),
            source=source,
            sessions=(),
        )
    session = Session(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        from_epoch=epoch,
        commit=git_commit(Path(__file__)),
        versions={"python": platform.python_version(), **{name: installed_version(name) for name in _PACKAGES}},
        host=socket.gethostname(),
        system=f"{platform.system()} {platform.machine()}",
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        threads=torch.get_num_threads(),
        processes=processes(),
    )
    text = record.model_copy(update={"sessions": (*record.sessions, session)}).model_dump_json(indent=2)
    write_whole(run.folder / PROVENANCE_FILE, text + "\n")


def _whole(path: Path | None) -> Path | None:
    """The absolute path of a file, if it exists."""
    try:
        return None if path is None else data_path(path).resolve()
    except ConfigError:
        return None


def git_commit(file: Path) -> str:
    """The commit of the checkout of `file`, with ``-dirty`` if it has changes; ``unknown`` without a checkout."""
    commands = (
        ["git", "ls-files", "--error-unmatch", file.name],  # an environment may be inside another project's checkout
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
    )
    answer = ""
    for command in commands:
        try:
            found = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
        except FileNotFoundError:  # no git here
            return "unknown"
        if found.returncode:
            return "unknown"
        answer = found.stdout.strip()
    return answer
