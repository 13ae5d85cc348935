"""The command ``train-zdc``."""

import sys
from pathlib import Path

import torch
from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, CliApp, CliPositionalArg, CliSubCommand, SettingsConfigDict, SettingsError
from zdc_detector.errors import ZdcError

from zdc_training.check_data import check_data
from zdc_training.check_symmetries import check_symmetries, format_tests
from zdc_training.config import data_path, load_config
from zdc_training.convert import MINIMUM_PHOTONS, convert
from zdc_training.curves import CURVES_FILE, draw_curves
from zdc_training.evaluate import evaluate_responses
from zdc_training.export import export
from zdc_training.fit import fit
from zdc_training.generate import generate
from zdc_training.progress import ProgressReporter
from zdc_training.run import Run

USAGE_ERROR = 2
INTERRUPTED = 130


class Fit(BaseModel):
    """Train a model; the run folder holds configuration, logs and checkpoints."""

    config: CliPositionalArg[str] = Field(description="TOML file, or the name of a shipped configuration")
    run: Path | None = Field(None, description="run folder; default: runs/<name of the configuration>")
    set: list[str] = Field([], description="override a key: section.key=value (repeatable)")
    resume: bool = Field(False, description="go on from the last finished epoch")
    device: str = Field("cpu", description="torch device, e.g. cuda")
    threads: int | None = Field(None, ge=1, description="torch threads; default: one per core")

    def cli_cmd(self) -> None:
        """Train; Ctrl-C keeps the last finished epoch."""
        run = Run(self.run or Path("runs") / Path(self.config).stem)
        resumed = self.resume and run.config_file.is_file()
        config = run.config() if resumed and not self.set else load_config(self.config, self.set)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            with ProgressReporter(config.optimiser.epochs) as reporter:
                fit(config, run, self.resume, reporter, self.device)
        except KeyboardInterrupt:
            resume = f"train-zdc fit {self.config} --run {run.folder} --resume"
            print(f"\ninterrupted; go on with: {resume}", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        draw_curves(run.log, run.folder / CURVES_FILE)
        print(f"trained {run.folder}; next: train-zdc evaluate {run.folder}")


class Evaluate(BaseModel):
    """Compare the best model of a run with the test file: every figure beside its floor."""

    run: CliPositionalArg[Path] = Field(description="run folder of `train-zdc fit`")
    seed: int = Field(1, ge=0, description="of the generated responses and of the bootstrap")
    resamples: int = Field(200, ge=1, description="bootstrap resamples")

    def cli_cmd(self) -> None:
        """Write metrics.json, metrics.md and pictures to the run folder and print the tables."""
        run = Run(self.run)
        config = run.config()
        model = run.load_model()
        finish = config.output.finish
        report = evaluate_responses(
            lambda particles, repeats, seed: generate(model, particles, repeats, seed, finish),
            data_path(config.data.test),
            run.folder,
            finish=finish.value,
            seed=self.seed,
            resamples=self.resamples,
        )
        print(report.to_markdown())


class Export(BaseModel):
    """Write the best model of a run as a folder that the service loads."""

    run: CliPositionalArg[Path] = Field(description="run folder of `train-zdc fit`, evaluated")
    output: Path = Field(Path("models"), alias="o", description="folder that gets <name>/<version>/")
    overwrite: bool = Field(False, description="replace the version if it exists")

    def cli_cmd(self) -> None:
        """Export, compare ONNX with torch, and say where it went."""
        print(f"exported {export(Run(self.run), self.output, self.overwrite)}")


class Convert(BaseModel):
    """Convert the ALICE collaboration's files to the project's layout."""

    particles: CliPositionalArg[Path] = Field(description="particles, .npz or .pkl")
    responses: CliPositionalArg[Path] = Field(description="responses, .npz or .npy")
    output: CliPositionalArg[Path] = Field(description="HDF5 file to write")
    minimum_photons: int = Field(MINIMUM_PHOTONS, ge=0, description="drop rows with a smaller photon sum; 0 keeps all")
    allow_pickle: bool = Field(False, description="read pickles; they run code: only from people you trust")

    def cli_cmd(self) -> None:
        """Convert and say what was kept."""
        options = {"minimum_photons": self.minimum_photons, "allow_pickle": self.allow_pickle}
        print(convert(self.particles, self.responses, self.output, **options))  # type: ignore[arg-type]


class CheckData(BaseModel):
    """Say what is in a file and what is wrong with it; exit code 1 if anything is."""

    file: CliPositionalArg[Path] = Field(description="HDF5 file in the project's layout")

    def cli_cmd(self) -> None:
        """Print the report."""
        report = check_data(self.file)
        print(report)
        raise SystemExit(report.exit_code)


class CheckSymmetries(BaseModel):
    """Test on data that the eight symmetries of the face hold."""

    file: CliPositionalArg[Path] = Field(description="HDF5 file in the project's layout")
    seed: int = Field(0, ge=0, description="of the permutations")

    def cli_cmd(self) -> None:
        """Print a table of p-values."""
        print(format_tests(check_symmetries(data_path(self.file), self.seed)))


class TrainZdc(BaseSettings):
    """Train, measure and export fast-simulation models of ALICE's Zero Degree Calorimeter."""

    model_config = SettingsConfigDict(
        cli_prog_name="train-zdc",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    fit: CliSubCommand[Fit]
    evaluate: CliSubCommand[Evaluate]
    export: CliSubCommand[Export]
    convert: CliSubCommand[Convert]
    check_data: CliSubCommand[CheckData]
    check_symmetries: CliSubCommand[CheckSymmetries]

    def cli_cmd(self) -> None:
        """Run the subcommand."""
        CliApp.run_subcommand(self)


def main(arguments: list[str] | None = None) -> None:
    """Run ``train-zdc``; an error of the caller's is one line on stderr and exit code 2."""
    try:
        CliApp.run(TrainZdc, cli_args=sys.argv[1:] if arguments is None else arguments)
    except ValidationError as error:
        problems = [f"--{p['loc'][-1]}: {p['msg']}" if p["loc"] else p["msg"] for p in error.errors()]
        _exit("; ".join(problems))
    except (SettingsError, ZdcError) as error:
        _exit(str(error))


def _exit(message: str) -> None:
    print(f"train-zdc: {message}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)


if __name__ == "__main__":
    main()
