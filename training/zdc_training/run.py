"""The folder of one training run: resolved configuration, logs, checkpoints, figures."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.errors import ConfigError
from zdc_detector.whole_file import whole_file, write_whole

from zdc_training.config import AnyConfig, changed_keys, check_resumable, parse_config
from zdc_training.learner import Generator
from zdc_training.methods import build_model


@dataclass(frozen=True)
class Run:
    """Paths of one run."""

    folder: Path

    @property
    def config_file(self) -> Path:
        """The resolved configuration, of the last time the run was begun or resumed."""
        return self.folder / "config.json"

    @property
    def checkpoint(self) -> Path:
        """State after the last finished epoch, to resume from."""
        return self.folder / "checkpoint.pt"

    @property
    def best(self) -> Path:
        """Weights of the smallest validation CRPS, or of the last validated epoch; see `Experiment.keep`."""
        return self.folder / "best.pt"

    @property
    def log(self) -> Path:
        """One JSON object an epoch."""
        return self.folder / "log.jsonl"

    @property
    def metrics(self) -> Path:
        """What `evaluate` found."""
        return self.folder / "metrics.json"

    def check(self, config: AnyConfig, resume: bool) -> None:
        """Raise ConfigError if the folder holds a run that is not resumed, or that `config` does not fit."""
        if not self.config_file.exists():
            return
        if not resume:
            raise ConfigError(f"{self.folder} already holds a run; add --resume, or choose another --run")
        check_resumable(self.config(), config)

    def begin(self, config: AnyConfig, epoch: int) -> None:
        """Make the folder and write the configuration; a former one stays as ``config-to-epoch-<epoch>.json``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = config.model_dump_json(indent=2)
        if self.config_file.exists():
            if not changed_keys(self.config(), config):
                return
            write_whole(self.folder / f"config-to-epoch-{epoch}.json", self.config_file.read_text())
        write_whole(self.config_file, text)

    def config(self) -> AnyConfig:
        """The configuration the run was started with.

        Raises
        ------
        ConfigError : no run there.
        """
        if not self.config_file.is_file():
            raise ConfigError(f"{self.folder} holds no run: no {self.config_file.name}; train one with `train-zdc fit`")
        return parse_config(json.loads(self.config_file.read_text()), str(self.config_file))

    def save(self, path: Path, state: Mapping[str, Any]) -> None:
        """Write a checkpoint, whole or not at all."""
        with whole_file(path) as part:
            torch.save(dict(state), part)

    def log_epoch(self, record: Mapping[str, Any], writer: SummaryWriter) -> None:
        """Append to the JSONL log and to TensorBoard; before the checkpoint, so that no epoch is missing."""
        with self.log.open("a") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in record.items():
            if name != "epoch":
                writer.add_scalar(name, value, record["epoch"])

    def truncate_log(self, epochs: int) -> None:
        """Keep the log of so many epochs, so that a resumed run does not log one twice or after half a line."""
        if self.log.exists():
            write_whole(self.log, "".join(self.log.read_text().splitlines(keepends=True)[:epochs]))

    def load(self, path: Path) -> dict[str, Any]:
        """Read a checkpoint to the CPU.

        Raises
        ------
        ConfigError : the file is damaged.
        """
        try:
            saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"{path}: cannot be read: {reason}; restore the file, or train another run") from error
        return saved

    @contextmanager
    def fitting(self, path: Path) -> Iterator[None]:
        """ConfigError where what a checkpoint holds is not what networks of this configuration and version take."""
        try:
            yield
        except (KeyError, ValueError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"{path} does not fit the networks of {self.config_file}: {reason}; it may be of another version: "
                "train another run"
            ) from error

    def load_model(self) -> Generator:
        """The best model of the run, in evaluation mode.

        Raises
        ------
        ConfigError : nothing was validated yet, or another version wrote it.
        """
        config = self.config()
        if not self.best.is_file():
            raise ConfigError(f"{self.folder} has no {self.best.name}; let `train-zdc fit` reach its first validation")
        saved = self.load(self.best)
        with self.fitting(self.best):
            model = build_model(config, Calorimeter.model_validate(saved["calorimeter"]))
            model.load_state_dict(saved["model"])
        return model.eval()
