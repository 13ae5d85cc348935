"""Whether Geant4 can be used here, and which version it is."""

import os
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec

from zdc_common.errors import ConfigError
from zdc_common.words import install_advice

_ASK = "import geant4_pybind; print('version', geant4_pybind.G4VERSION_NUMBER)"


@cache
def geant4_version() -> str:
    """Version of the installed Geant4, e.g. ``11.4.1``; asked once, in another process, because its import is final.

    Raises
    ------
    ConfigError : geant4_pybind is not installed, or a library of the system is missing.
    """
    if find_spec("geant4_pybind") is None:
        raise ConfigError(f"simulations need the package geant4-pybind; {install_advice('simulate')}")
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"GEANT4_DATA_DIR": folder}  # otherwise it asks whether it may download
        done = subprocess.run(
            [sys.executable, "-c", _ASK], env=environment, capture_output=True, text=True, check=False
        )
    numbers = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("version ")]
    if done.returncode or not numbers:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigError(
            f"geant4_pybind cannot be imported: {last}; on Debian it needs the packages libgl1, libsm6 and libxext6"
        )
    number = int(numbers[0])
    return f"{number // 100}.{number // 10 % 10}.{number % 10}"
