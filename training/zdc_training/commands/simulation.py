"""The command ``train-zdc simulate``."""

import os
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import CliPositionalArg
from zdc_common.errors import ConfigError
from zdc_common.file_content import sha256_of
from zdc_common.words import counted
from zdc_detector.particles import Particles
from zdc_detector.random import MAX_SEED

from zdc_training.simulator.data_files import DataChoice, download_data_files, find_data_files
from zdc_training.simulator.set_up import SetUp, describe, read_set_up, read_toml


class Simulate(BaseModel):
    """Simulate showers with Geant4, to train on or to test with. Continues a simulation that was stopped."""

    config: CliPositionalArg[Path | None] = Field(
        None, description="TOML file with these options as keys, e.g. `detector`, `repeats`; options given here win"
    )
    detector: str = Field("zn", description="set-up: `zn`, `zp`, or a TOML file like these")
    spectrum: str | None = Field(None, description="draw particles from a spectrum: `zn-face`, or a TOML file like it")
    particles: Path | None = Field(None, description="take particles from a file, of any format of `zdc simulate`")
    number: int | None = Field(None, ge=1, alias="n", description="number of particles; default: all of the file")
    repeats: int = Field(1, ge=1, description="showers of each particle")
    seed: int = Field(1, ge=0, lt=MAX_SEED, description="seed; a larger `-n` with the same seed adds particles")
    workers: int | None = Field(None, ge=1, description="processes; default: one for each processor")
    output: Path | None = Field(None, alias="o", description="HDF5 file to write, or to continue")
    geant4_data: DataChoice = Field(
        "auto",
        description="data files of Geant4: `official`, `stand-in` (computed), or `auto` (official if they are found)",
    )
    download_data: bool = Field(False, description="download the official data files (2 GB) first")
    check: bool = Field(False, description="say what would be used, and stop")
    overwrite: bool = Field(False, description="replace an existing file and its journal")

    def cli_cmd(self) -> None:
        """Simulate, and print a summary."""
        self._completed().run()

    def _completed(self) -> "Simulate":
        """These options, completed by those of the configuration."""
        if self.config is None:
            return self
        _, values = read_toml(str(self.config), {}, "configuration")
        keys = {name: field.alias or name for name, field in type(self).model_fields.items() if name != "config"}
        if unknown := sorted(set(values) - set(keys.values())):
            raise ConfigError(f"{self.config}: unknown key {unknown[0]!r}; keys are {', '.join(keys.values())}")
        given = {keys[name]: getattr(self, name) for name in self.model_fields_set - {"config"}}
        try:
            return Simulate.model_validate(values | given)
        except ValidationError as error:
            raise describe(self.config, error) from error

    def run(self) -> None:
        """Simulate, and print a summary."""
        from zdc_training.simulator.installed import geant4_version
        from zdc_training.simulator.job import Job, run_job

        set_up = read_set_up(self.detector)
        geant4 = geant4_version()
        if self.download_data:
            download_data_files()
        data_files = find_data_files(self.geant4_data)
        print(f"Geant4 {geant4}, {set_up.calorimeter.name}, set-up {set_up.sha256[:12]}, {data_files}", flush=True)
        if data_files.missing and self.geant4_data == "auto":
            print(f"official data files not found for {', '.join(data_files.missing)}", flush=True)
        if self.check:
            return
        if self.output is None:
            raise ConfigError("an output file is needed; add --output FILE.h5")
        particles, source = self._particles(set_up)
        job = Job(set_up, particles, source, self.repeats, self.seed, data_files)
        if self.overwrite:
            for path in (self.output, self.output.with_name(self.output.name + ".journal")):
                path.unlink(missing_ok=True)
        print(run_job(job, self.output, self.workers or os.cpu_count() or 1))

    def _particles(self, set_up: SetUp) -> tuple[Particles, dict[str, object]]:
        """The particles, and what they are from."""
        from zdc_readers.reading import open_particles

        from zdc_training.simulator.spectrum import read_spectrum

        if (self.spectrum is None) == (self.particles is None):
            raise ConfigError("give either --spectrum or --particles")
        if self.spectrum is not None:
            if self.number is None:
                raise ConfigError("--spectrum needs the number of particles; add -n NUMBER")
            spectrum = read_spectrum(self.spectrum)
            drawn = spectrum.draw(set_up.calorimeter, self.seed, 0, self.number)
            return drawn, {"spectrum": spectrum.model_dump(mode="json")}
        assert self.particles is not None
        reader = open_particles(self.particles)
        reader.calorimeter = set_up.calorimeter
        blocks = [block.particles for block in reader]
        if not blocks:
            raise ConfigError(f"{self.particles}: no particles")
        particles = Particles.concatenate(blocks)
        if self.number is not None and self.number > len(particles):
            raise ConfigError(
                f"{self.particles} has {counted(len(particles), 'particle')}, fewer than -n {self.number}"
            )
        return particles[: self.number or len(particles)], {
            "file": self.particles.name,
            "sha256": sha256_of(self.particles),
        }
