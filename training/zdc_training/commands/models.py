"""The commands of ``train-zdc`` on configurations and trained models: `keys`, `evaluate` and `export`."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, Field
from pydantic_settings import CliPositionalArg
from zdc_detector.random import MAX_SEED

# What needs seconds to load is imported when a command runs, see `zdc_training.commands.training`.


class Keys(BaseModel):
    """List every key of a configuration with its default, its unit and its meaning.

    With the name of a method or a configuration, it prints a complete TOML file to begin with.
    """

    of: CliPositionalArg[str | None] = Field(
        None, description="a method, a TOML file or the name of a shipped configuration; default: all methods"
    )

    def cli_cmd(self) -> None:
        """Print them."""
        from zdc_training.config.config import load_config
        from zdc_training.config.keys import all_keys, as_toml
        from zdc_training.config.methods import config_class, config_classes, registered_methods

        if self.of is None:
            print(all_keys(config_classes()), end="")
        else:
            method = registered_methods().get(self.of)
            print(as_toml(config_class(method).model_validate({}) if method else load_config(self.of)), end="")


class Evaluate(BaseModel):
    """Compare a model with simulations that it was not trained on: every figure beside its floor.

    A floor needs two simulations of each particle, better four; of single ones there are the figures that need none.
    """

    model: CliPositionalArg[Path] = Field(description="run folder of `train-zdc fit`, or an exported model's folder")
    test: Path | None = Field(
        None, description="file of showers that were not trained on, HDF5; default: data.test of the configuration"
    )
    output: Path | None = Field(
        None, description="folder for figures and pictures; default: the run, or runs/<name>-<version> of an export"
    )
    repeats: int = Field(
        50, ge=2, description="generated responses of each particle; many, so that chance in the generator tells little"
    )
    seed: int = Field(1, ge=0, lt=MAX_SEED, description="of the generated responses and of the bootstrap")
    resamples: int = Field(200, ge=1, description="bootstrap resamples")

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

    run: CliPositionalArg[Path] = Field(description="run folder of `train-zdc fit`; evaluated, for `service`")
    format: Literal["service", "o2"] = Field(
        "service",
        description="`o2`: graphs and a text of scales, as O2's ZDC fast simulation loads them, and a README",
    )
    output: Path | None = Field(
        None,
        validation_alias=AliasChoices("o", "output"),
        description="folder that gets <name>/<version>/, default: models; for `o2` the files' own, default: <run>/o2",
    )
    model_version: int | None = Field(
        None, ge=1, description="version to write; default: output.version of the configuration, or else the next one"
    )
    overwrite: bool = Field(False, description="replace what is there")

    def cli_cmd(self) -> None:
        """Export, compare ONNX with torch, and say where it went."""
        from zdc_training.export.o2 import export_o2
        from zdc_training.export.service import export
        from zdc_training.runs.run import Run

        run = Run(self.run)
        if self.format == "o2":
            written = export_o2(run, self.output or run.folder / "o2", self.overwrite)
        else:
            written = export(run, self.output or Path("models"), self.overwrite, self.model_version)
        print(f"exported {written}")
