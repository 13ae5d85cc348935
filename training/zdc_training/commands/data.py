"""The commands of ``train-zdc`` on data files."""

from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg
from zdc_detector.random import MAX_SEED

from zdc_training.data.check_data import check_data
from zdc_training.data.convert import convert


class Convert(BaseModel):
    """Convert the ALICE collaboration's files to the project's layout."""

    particles: CliPositionalArg[Path] = Field(description="particles, .npz or .pkl")
    responses: CliPositionalArg[Path] = Field(
        description="responses, .npz, .npy or .pkl; the same file, if an npz has the arrays `particles` and `responses`"
    )
    output: CliPositionalArg[Path] = Field(description="HDF5 file to write")
    title: str = Field(
        "",
        description="what simulated the showers, e.g. `Geant4 11.2 showers in ZN, from ...`; stands in model cards",
    )
    minimum_photons: int = Field(
        0, ge=0, description="drop rows with a smaller photon sum, as the collaboration does below 10; 0 keeps all"
    )
    allow_pickle: bool = Field(False, description="read pickles; they run code: only from people you trust")

    def cli_cmd(self) -> None:
        """Convert and say what was kept."""
        done = convert(
            self.particles,
            self.responses,
            self.output,
            minimum_photons=self.minimum_photons,
            allow_pickle=self.allow_pickle,
            title=self.title,
        )
        print(done)


class Split(BaseModel):
    """Divide a file by particle: one part to train on, one to test on, and no particle in both."""

    file: CliPositionalArg[Path] = Field(description="HDF5 file in the project's layout, e.g. of `train-zdc convert`")
    train: Path | None = Field(None, description="file to train on; default: <file>_train.h5")
    test: Path | None = Field(None, description="file to test on; default: <file>_test.h5")
    share: float = Field(0.1, gt=0, lt=1, description="share of the particles that the test file gets")
    seed: int = Field(1, ge=0, lt=MAX_SEED, description="of the choice")
    overwrite: bool = Field(False, description="replace what is there")

    def cli_cmd(self) -> None:
        """Write the files and say what is in them."""
        from zdc_training.data.split import split_file

        train, test = (
            given or self.file.with_name(f"{self.file.stem}_{part}.h5")
            for given, part in ((self.train, "train"), (self.test, "test"))
        )
        print(split_file(self.file, train, test, share=self.share, seed=self.seed, overwrite=self.overwrite))


class CheckData(BaseModel):
    """Say what is in a file and what is wrong with it; exit code 1 if it cannot be trained on."""

    file: CliPositionalArg[Path] = Field(description="HDF5 file in the project's layout")
    config: str = Field("zn-fast", description="configuration whose list of species is compared, file or name")

    def cli_cmd(self) -> None:
        """Print the report."""
        report = check_data(self.file, self.config)
        print(report)
        raise SystemExit(report.exit_code)


class CheckSymmetries(BaseModel):
    """Test on data that the eight symmetries of the face hold."""

    file: CliPositionalArg[Path] = Field(description="HDF5 file in the project's layout")
    seed: int = Field(0, ge=0, description="of the permutations")

    def cli_cmd(self) -> None:
        """Print a table of p-values."""
        from zdc_training.config.config import data_path
        from zdc_training.data.check_symmetries import check_symmetries, format_tests

        print(format_tests(check_symmetries(data_path(self.file), self.seed)))
