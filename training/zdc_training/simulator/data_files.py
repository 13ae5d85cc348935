"""Geant4's data files: official ones where the user has them, otherwise stand-ins. Nothing is downloaded unasked."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zdc_common.errors import ConfigError

from zdc_training.simulator.stand_in import write_stand_ins

#: Environment variable of each data set that the physics of a set-up reads, and how its folder's name begins.
_NEEDED = {
    "G4LEDATA": "G4EMLOW",
    "G4PARTICLEXSDATA": "G4PARTICLEXS",
    "G4LEVELGAMMADATA": "PhotonEvaporation",
    "G4ENSDFSTATEDATA": "G4ENSDFSTATE",
}
_ROOT = "GEANT4_DATA_DIR"
_DOWNLOADS = ".geant4_pybind"  # in the home folder: where geant4_pybind stores what it downloads


#: Which data files to use; ``auto``: official ones if they are complete.
DataChoice = Literal["auto", "official", "stand-in"]


@dataclass(frozen=True)
class DataFiles:
    """Data files for Geant4.

    Attributes
    ----------
    official : Whether they are the official ones.
    names : Folder name of each official data set, e.g. ``G4EMLOW8.8``; empty for stand-ins.
    variables : Environment variables for the workers; empty for stand-ins, which are written for each job.
    missing : Environment variables of official data sets that were not found.
    """

    official: bool
    names: tuple[str, ...]
    variables: Mapping[str, str]
    missing: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What they are, for titles."""
        return "official data files" if self.official else "stand-in data files"

    def __str__(self) -> str:
        if self.official:
            return f"{self.kind} {', '.join(self.names)}"
        return f"{self.kind}, computed from published formulas"

    def prepare(self, scratch: Path, symbols: Iterable[str]) -> dict[str, str]:
        """Environment variables for a worker; writes stand-ins for these elements to the folder `scratch`."""
        variables = dict(self.variables) if self.official else write_stand_ins(scratch, symbols)
        # Without it, the import of geant4_pybind asks whether it may download 2 GB.
        return variables | {_ROOT: str(Path(variables["G4LEDATA"]).parent)}


def find_data_files(choice: DataChoice, environment: Mapping[str, str] = os.environ) -> DataFiles:
    """Look for the official data files where Geant4 and geant4_pybind look for them.

    Raises
    ------
    ConfigError : official ones were asked for and are not complete, or a variable points to no folder.
    """
    found: dict[str, Path] = {}
    roots = [Path(environment[_ROOT])] if environment.get(_ROOT) else []
    roots.append(Path.home() / _DOWNLOADS)
    for variable, start in _NEEDED.items():
        if given := environment.get(variable):
            if not Path(given).is_dir():
                raise ConfigError(f"{variable}={given}: no such folder; correct the variable, or unset it")
            found[variable] = Path(given)
            continue
        folders = [folder for root in roots if root.is_dir() for folder in sorted(root.glob(f"{start}*"), reverse=True)]
        if folders:
            found[variable] = folders[0]
    missing = tuple(variable for variable in _NEEDED if variable not in found)
    if choice == "official" and missing:
        raise ConfigError(
            f"no official data files for {', '.join(missing)}; set these variables to their folders, set {_ROOT} to "
            "the folder that has them all, add --download-data, or use --geant4-data stand-in"
        )
    if choice == "stand-in" or missing:
        return DataFiles(False, (), {}, missing)
    return DataFiles(
        True, tuple(path.name for path in found.values()), {name: str(path) for name, path in found.items()}, ()
    )


def download_data_files() -> None:
    """Let geant4_pybind download the official data files (2 GB) to the home folder; prints its progress.

    Raises
    ------
    ConfigError : the download failed.
    """
    # CI=true is the only way to ask geant4_pybind for it without a question on the terminal.
    environment = {name: value for name, value in os.environ.items() if name != _ROOT} | {"CI": "true"}
    done = subprocess.run([sys.executable, "-c", "import geant4_pybind"], env=environment, check=False)
    if done.returncode or find_data_files("auto").missing:
        raise ConfigError(
            "the download of Geant4's data files failed; check the network, or use --geant4-data stand-in"
        )
