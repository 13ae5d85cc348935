"""The command ``train-zdc validate-simulator``."""

import os
from pathlib import Path

from pydantic import AliasChoices, BaseModel, Field
from zdc_common.commands import ListedPaths

from zdc_training.simulator.data_files import DataChoice, find_data_files
from zdc_training.validation.parts import PARTS, Part


class ValidateSimulator(BaseModel):
    """Compare the simulator with the shipped showers and with published figures, and vary its settings.

    What is in the folder is not simulated again: the same command continues after a kill or Ctrl-C.
    """

    output: Path = Field(
        Path("runs/simulator"),
        validation_alias=AliasChoices("o", "output"),
        description="folder for showers, tables and pictures",
    )
    data: Path = Field(Path("training/data"), description="folder with the shipped showers")
    showers: ListedPaths = Field(
        [], description="file of showers at the face, for the response; one for each calorimeter"
    )
    parts: list[Part] = Field(list(PARTS), description="parts to do; repeat the flag for several")
    share: float = Field(1.0, gt=0, le=10, description="share of the showers; 1 takes about 15 minutes of a core")
    workers: int | None = Field(None, ge=1, description="processes; default: one for each processor")
    geant4_data: DataChoice = Field("auto", description="data files of Geant4, as for `simulate`")

    def cli_cmd(self) -> None:
        """Validate, and print the path of the page."""
        from zdc_training.simulator.installed import geant4_version
        from zdc_training.validation.run import Validation, validate

        geant4_version()
        workers = self.workers or os.cpu_count() or 1
        data_files, showers = find_data_files(self.geant4_data), tuple(self.showers)
        chosen = Validation(self.output, self.data, showers, self.share, workers, data_files, tuple(self.parts))
        page = validate(chosen)
        print(f"wrote {page}")
