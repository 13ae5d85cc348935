"""The folder of one training run: resolved configuration, logs, checkpoints, figures."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from zdc_common.errors import ConfigError
from zdc_common.whole_file import write_whole
from zdc_detector.calorimeter import Calorimeter

from zdc_training.config.config import changed_keys, check_resumable, parse_config
from zdc_training.config.sections import Experiment
from zdc_training.nn.learner import Generator
from zdc_training.nn.method import build_model
from zdc_training.runs.checkpoints import load_state


@dataclass(frozen=True)
class Run:
    """Paths of one run."""

    folder: Path

    @property
    def config_file(self) -> Path:
        """The resolved configuration of the last start or resumption."""
        return self.folder / "config.json"

    @property
    def checkpoint(self) -> Path:
        """State after the last finished epoch, used to resume."""
        return self.folder / "checkpoint.pt"

    @property
    def best(self) -> Path:
        """Weights of the smallest validation CRPS, or of the last validated epoch; see `Experiment.keep`."""
        return self.folder / "best.pt"

    @property
    def log(self) -> Path:
        """One JSON object per epoch."""
        return self.folder / "log.jsonl"

    @property
    def metrics(self) -> Path:
        """The report of `train-zdc evaluate`."""
        return self.folder / "metrics.json"

    def check(self, config: Experiment, resume: bool) -> None:
        """Raise ConfigError if the folder has a run that is not resumed, or that does not fit `config`."""
        if not self.config_file.exists():
            return
        if not resume:
            raise ConfigError(f"{self.folder} already holds a run; add --resume, or choose another --run")
        check_resumable(self.config(), config)

    def begin(self, config: Experiment, epoch: int) -> None:
        """Write the configuration; a different former one is kept as ``config-to-epoch-<epoch>.json``."""
        text = config.model_dump_json(indent=2)
        if self.config_file.exists():
            if not changed_keys(self.config(), config):
                return
            write_whole(self.folder / f"config-to-epoch-{epoch}.json", self.config_file.read_text())
        write_whole(self.config_file, text)

    def config(self) -> Experiment:
        """The configuration of the run.

        Raises
        ------
        ConfigError : there is no run, or its file is damaged.
        """
        if not self.config_file.is_file():
            raise ConfigError(f"{self.folder} holds no run: no {self.config_file.name}; train one with `train-zdc fit`")
        try:
            tree = json.loads(self.config_file.read_text())
        except ValueError as error:  # neither JSON nor UTF-8
            reason = f"is damaged: {error}"
        else:
            if isinstance(tree, dict):
                return parse_config(tree, str(self.config_file))
            reason = f"is damaged: holds a {type(tree).__name__}"
        raise ConfigError(f"{self.config_file} {reason}; restore it, or train another run with --run")

    def log_epoch(self, record: Mapping[str, Any], writer: SummaryWriter) -> None:
        """Append to the JSONL log and to TensorBoard; call it before the checkpoint, so that no epoch is missing."""
        with self.log.open("a") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in record.items():
            if name != "epoch":
                writer.add_scalar(name, value, record["epoch"])

    def truncate_log(self, epochs: int) -> None:
        """Keep the first `epochs` lines of the log, so that a resumed run has no epoch twice and no partial line."""
        if self.log.exists():
            write_whole(self.log, "".join(self.log.read_text(errors="replace").splitlines(keepends=True)[:epochs]))

    def records(self) -> list[dict[str, float]]:
        """The log records of all epochs; damaged lines are left out."""
        records: list[dict[str, float]] = []
        lines = self.log.read_text(errors="replace").splitlines() if self.log.is_file() else []
        for line in lines:
            with suppress(json.JSONDecodeError):
                records.append(json.loads(line))
        return records

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A context that adds a remedy to an error of the system on writing, e.g. a full disk."""
        try:
            yield
        except OSError as error:
            kept = "the last finished epoch is kept" if self.checkpoint.is_file() else "no epoch is finished yet"
            what = f"{error.strerror or error}; {kept}: make room, then continue with --resume"
            raise OSError(error.errno, what, str(error.filename or self.folder)) from error

    @contextmanager
    def fitting(self, path: Path) -> Iterator[None]:
        """A context that raises ConfigError if a checkpoint does not fit the networks of this configuration."""
        try:
            yield
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"{path} does not fit the networks of {self.config_file}: {reason}; it may be of another version: "
                "train another run"
            ) from error

    def load_model(self) -> Generator:
        """The best model of the run, in evaluation mode.

        Raises
        ------
        ConfigError : there was no validation yet, or another version wrote the weights.
        """
        config = self.config()
        if not self.best.is_file():
            raise ConfigError(f"{self.folder} has no {self.best.name}; let `train-zdc fit` reach its first validation")
        saved = load_state(self.best)
        with self.fitting(self.best):
            model = build_model(config, Calorimeter.model_validate(saved["calorimeter"]))
            model.load_state_dict(saved["model"])
        return model.eval()
