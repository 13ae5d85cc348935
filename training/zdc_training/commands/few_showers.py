"""The command ``train-zdc few-showers``."""

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import CliPositionalArg
from zdc_common.commands import INTERRUPTED, end

from zdc_training.commands.training import PROG, KeyOptions, TorchOptions

# Slow imports are in the command, see `zdc_training.commands.training`.


class FewShowers(TorchOptions, KeyOptions):
    """Compare models from few showers of a changed calorimeter: from random weights, and fine-tuned.

    Writes few-showers.csv, few-showers.md and few-showers.png. --set and --unset change keys of all trainings. The same
    command continues a comparison that was stopped.
    """

    model: CliPositionalArg[Path] = Field(
        description="model to fine-tune: NAME/VERSION (zn-fast/1), or the folder of an exported model or of a run"
    )
    train: CliPositionalArg[Path] = Field(description="HDF5 file of showers of the changed calorimeter to draw from")
    test: CliPositionalArg[Path] = Field(
        description="HDF5 file of other particles in it, with at least two simulations of each"
    )
    showers: str = Field(
        "100,300,1000,3000",
        pattern=r"^[1-9][0-9]*(,[1-9][0-9]*)*$",
        description="numbers of showers, validation included, separated by commas",
    )
    samples: int = Field(1, ge=1, description="samples of each size, each with a training of both kinds")
    repeats: int = Field(50, ge=2, description="generated responses of each test particle")
    resamples: int = Field(200, ge=1, description="number of bootstrap resamples")
    config: str = Field(
        "few-showers", description="configuration of the fine-tuning: TOML file, or name of a shipped one"
    )
    output: Path = Field(
        Path("runs/few-showers"),
        validation_alias=AliasChoices("o", "output"),
        description="folder for samples, runs and tables; unfinished runs are continued",
    )

    def cli_cmd(self) -> None:
        """Train, evaluate, write and print the table; on Ctrl-C, the last finished epoch is kept."""
        from zdc_training.reproduction.few_showers import FewShowers as Job
        from zdc_training.reproduction.few_showers import compare_few_showers
        from zdc_training.reproduction.few_showers_table import write_table
        from zdc_training.runs.source import open_source

        self.use_threads()
        numbers = tuple(sorted({int(number) for number in self.showers.split(",")}))
        job = Job(
            self.model,
            self.train,
            self.test,
            self.output,
            numbers,
            self.samples,
            self.config,
            self.set,
            self.unset,
            self.device,
            self.repeats,
            self.resamples,
        )
        try:
            results = compare_few_showers(job)
        except KeyboardInterrupt:
            end(PROG, "interrupted; the same command continues from the last finished epoch", INTERRUPTED)
        path = write_table(results, self.output, str(open_source(self.model).spec))
        print(path.read_text(), end="")
