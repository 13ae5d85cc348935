"""The commands of ``train-zdc`` on data files."""

from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg
from zdc_detector.calorimeters import find_calorimeter
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
        description="description of the simulation for model cards, e.g. `Geant4 11.2 showers in ZN, from ...`",
    )
    calorimeter: str = Field("ZN", description="calorimeter of the responses: ZN, ZP, or a TOML file of another one")
    minimum_photons: int = Field(
        0, ge=0, description="drop rows with a smaller photon sum (the collaboration uses 10); 0 keeps all"
    )
    allow_pickle: bool = Field(
        False, description="read pickle files; they can run any code, so use only files that you trust"
    )

    def cli_cmd(self) -> None:
        """Convert, and print a summary."""
        done = convert(
            self.particles,
            self.responses,
            self.output,
            minimum_photons=self.minimum_photons,
            allow_pickle=self.allow_pickle,
            title=self.title,
            calorimeter=find_calorimeter(self.calorimeter),
        )
        print(done)


class Split(BaseModel):
    """Split a file by particle: training file and test file have no common particles."""

    file: CliPositionalArg[Path] = Field(description="HDF5 file in the project's layout, e.g. of `train-zdc convert`")
    train: Path | None = Field(None, description="training file to write; default: <file>_train.h5")
    test: Path | None = Field(None, description="test file to write; default: <file>_test.h5")
    share: float = Field(0.1, gt=0, lt=1, description="share of the particles in the test file")
    seed: int = Field(1, ge=0, lt=MAX_SEED, description="seed of the split")
    overwrite: bool = Field(False, description="replace existing files")

    def cli_cmd(self) -> None:
        """Write the files, and print a summary."""
        from zdc_training.data.split import split_file

        train, test = (
            given or self.file.with_name(f"{self.file.stem}_{part}.h5")
            for given, part in ((self.train, "train"), (self.test, "test"))
        )
        print(split_file(self.file, train, test, share=self.share, seed=self.seed, overwrite=self.overwrite))


class CheckData(BaseModel):
    """Summarise a file of showers and list its problems; exit code 1 if it cannot be used for training."""

    file: CliPositionalArg[Path] = Field(description="HDF5 file in the project's layout")
    config: str = Field(
        "zn-fast", description="configuration, file or name, whose list of species is compared with the file"
    )

    def cli_cmd(self) -> None:
        """Print the report."""
        report = check_data(self.file, self.config)
        print(report)
        raise SystemExit(report.exit_code)


class CheckSymmetries(BaseModel):
    """Test the symmetries of the face (eight of a square, four of another rectangle) with a file of showers."""

    file: CliPositionalArg[Path] = Field(description="HDF5 file in the project's layout")
    seed: int = Field(0, ge=0, description="seed of the permutations")

    def cli_cmd(self) -> None:
        """Print a table of p-values."""
        from zdc_training.config.config import data_path
        from zdc_training.data.check_symmetries import check_symmetries, format_tests

        print(format_tests(check_symmetries(data_path(self.file), self.seed)))
