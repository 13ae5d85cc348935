"""The folder of one training run: resolved configuration, logs, checkpoints, figures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.errors import ConfigError

from zdc_training.config import TrainingConfig, parse_config
from zdc_training.model import SinkhornAutoencoder


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: the file is whole or absent."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


@dataclass(frozen=True)
class Run:
    """Paths of one run."""

    folder: Path

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.folder / "config.json"

    @property
    def checkpoint(self) -> Path:
        """State after the last finished epoch, to resume from."""
        return self.folder / "checkpoint.pt"

    @property
    def best(self) -> Path:
        """Weights of the epoch with the smallest validation CRPS."""
        return self.folder / "best.pt"

    @property
    def log(self) -> Path:
        """One JSON object an epoch."""
        return self.folder / "log.jsonl"

    @property
    def metrics(self) -> Path:
        """What `evaluate` found."""
        return self.folder / "metrics.json"

    def start(self, config: TrainingConfig) -> None:
        """Make the folder.

        Raises
        ------
        ConfigError : the folder already holds a run.
        """
        if self.config_file.exists():
            raise ConfigError(f"{self.folder} already holds a run; add --resume, or choose another --run")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.config_file, config.model_dump_json(indent=2).encode())

    def config(self) -> TrainingConfig:
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
        part = path.with_name(path.name + ".part")
        torch.save(dict(state), part)
        part.replace(path)

    def log_epoch(self, record: Mapping[str, Any], writer: SummaryWriter) -> None:
        """Append to the JSONL log and to TensorBoard."""
        with self.log.open("a") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in record.items():
            if name != "epoch":
                writer.add_scalar(name, value, record["epoch"])

    def truncate_log(self, epochs: int) -> None:
        """Drop log lines after an epoch, so that a resumed run does not log one twice."""
        if self.log.exists():
            kept = [line for line in self.log.read_text().splitlines() if json.loads(line)["epoch"] <= epochs]
            write_atomically(self.log, "".join(line + "\n" for line in kept).encode())

    def load_model(self) -> SinkhornAutoencoder:
        """The best model of the run, in evaluation mode.

        Raises
        ------
        ConfigError : nothing was validated yet.
        """
        config = self.config()
        if not self.best.is_file():
            raise ConfigError(f"{self.folder} has no {self.best.name}; let `train-zdc fit` reach its first validation")
        saved = torch.load(self.best, map_location="cpu", weights_only=True)
        model = build_model(config, Calorimeter.model_validate(saved["calorimeter"]))
        model.load_state_dict(saved["model"])
        return model.eval()


def build_model(config: TrainingConfig, calorimeter: Calorimeter) -> SinkhornAutoencoder:
    """Untrained networks of a configuration, initialised from its seed."""
    torch.manual_seed(config.seed)
    return SinkhornAutoencoder(config.model, calorimeter, positive=config.loss.reconstruction == "poisson")
