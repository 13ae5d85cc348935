"""Run `zdc simulate`, and read its files."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from helpers.foreground import foreground
from zdc_service.cli import main

EXCERPT = Path(__file__).parents[2] / "data" / "events_excerpt.hepmc3.gz"
#: Number of particles in the file of the test jobs.
ROWS = 3000
NEUTRON, PHOTON = "pdg=2112,pz=1500,px=0.1", "pdg=22,pz=-800,vz=2"


def run(*arguments: object, command: str = "simulate") -> int:
    """Exit code of ``zdc simulate``, in this process."""
    try:
        main([command, *map(str, arguments)])
    except SystemExit as stop:
        return int(str(stop.code))
    return 0


def start(*arguments: object, group: bool = False) -> "subprocess.Popen[str]":
    """Start ``zdc simulate`` in a new process; `group` makes it the leader of a process group, as a shell does."""
    command = [*foreground("zdc_service.cli"), "simulate", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=group
    )


def content(path: Path) -> dict[str, Any]:
    """Every data set of an HDF5 file, and its attributes except the server's address."""
    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        found["calorimeter"] = file["calorimeter"].asstr()[()]
        return found | {f"@{name}": value for name, value in file.attrs.items() if name != "server"}


def assert_same_content(a: Path, b: Path) -> None:
    """Check that names, types, values and bytes are equal."""
    first, second = content(a), content(b)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)


def write_particles(path: Path, rows: int) -> Path:
    """A CSV file of neutrons and photons within the training range of ``tiny``."""
    rng = np.random.default_rng(5)
    columns = (rng.choice([2112, 22], rows), rng.normal(0, 0.1, rows), rng.uniform(100, 1000, rows))
    lines = [f"{pdg},{px:.4f},0,{pz:.2f},{i}" for i, (pdg, px, pz) in enumerate(zip(*columns, strict=True))]
    path.write_text("\n".join(["pdg,px,py,pz,event", *lines]) + "\n")
    return path


def parts_of(output: Path) -> Path:
    """The folder of a job's parts."""
    return output.with_name(output.name + ".parts")
