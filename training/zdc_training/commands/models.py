"""The commands of ``train-zdc`` on configurations and trained models: `keys`, `evaluate` and `export`."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, Field
from pydantic_settings import CliPositionalArg
from zdc_detector.random import MAX_SEED

# Slow imports are in the commands that need them, see `zdc_training.commands.training`.


class Keys(BaseModel):
    """List every key of a configuration with its default, unit and meaning.

    With the name of a method or a configuration, print a complete TOML file as a starting point.
    """

    of: CliPositionalArg[str | None] = Field(
        None, description="a method, a TOML file or the name of a shipped configuration; default: all methods"
    )

    def cli_cmd(self) -> None:
        """Print the keys."""
        from zdc_training.config.config import load_config
        from zdc_training.config.keys import all_keys, as_toml
        from zdc_training.config.methods import config_class, config_classes, registered_methods

        if self.of is None:
            print(all_keys(config_classes()), end="")
        else:
            method = registered_methods().get(self.of)
            print(as_toml(config_class(method).model_validate({}) if method else load_config(self.of)), end="")


class Evaluate(BaseModel):
    """Compare a model with simulations that were not used in training: every figure of merit and its floor.

    A floor needs at least two simulations of each particle, better four. With one simulation of each particle, only
    figures without a floor are computed.
    """

    model: CliPositionalArg[Path] = Field(description="run folder of `train-zdc fit`, or an exported model's folder")
    test: Path | None = Field(
        None, description="HDF5 file of showers that were not used in training; default: data.test of the configuration"
    )
    output: Path | None = Field(
        None, description="folder for figures and pictures; default: the run, or runs/<name>-<version> of an export"
    )
    repeats: int = Field(
        50,
        ge=2,
        description="generated responses of each particle; more make the random error of the generator smaller",
    )
    seed: int = Field(1, ge=0, lt=MAX_SEED, description="seed of the generated responses and of the bootstrap")
    resamples: int = Field(200, ge=1, description="number of bootstrap resamples")

    def cli_cmd(self) -> None:
        """Write metrics.json, metrics.md and pictures and print the tables."""
        from zdc_training.evaluation.evaluate import evaluate_model
        from zdc_training.evaluation.subjects import open_subject

        subject = open_subject(self.model, self.test)
        report = evaluate_model(
            subject,
            self.output or subject.folder,
            repeats=self.repeats,
            seed=self.seed,
            resamples=self.resamples,
        )
        print(report.to_markdown())


class Export(BaseModel):
    """Write the best model of a run as a folder that the service loads, or as files for ALICE O2."""

    run: CliPositionalArg[Path] = Field(
        description="run folder of `train-zdc fit`; the format `service` needs an evaluated run"
    )
    format: Literal["service", "o2"] = Field(
        "service",
        description="`service`: a model folder; `o2`: graphs, a text file of scales and a README for O2's ZDC fast "
        "simulation",
    )
    output: Path | None = Field(
        None,
        validation_alias=AliasChoices("o", "output"),
        description="folder for <name>/<version>/, default: models; for `o2`, folder of the files, default: <run>/o2",
    )
    model_version: int | None = Field(
        None,
        ge=1,
        description="version to write; default: output.version of the configuration, or else the next free number",
    )
    overwrite: bool = Field(False, description="replace existing files")

    def cli_cmd(self) -> None:
        """Export, compare ONNX with torch, and print the folder."""
        from zdc_training.export.o2 import export_o2
        from zdc_training.export.service import export
        from zdc_training.runs.run import Run

        run = Run(self.run)
        if self.format == "o2":
            written = export_o2(run, self.output or run.folder / "o2", self.overwrite)
        else:
            written = export(run, self.output or Path("models"), self.overwrite, self.model_version)
        print(f"exported {written}")
