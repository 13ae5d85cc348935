"""The probes of the validation: which showers, with which set-up; each is simulated once and kept in a file."""

import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import TrainingError
from zdc_common.whole_file import whole_file
from zdc_detector.particles import Particles
from zdc_detector.pdg_table import look_up

from zdc_training.simulator.data_files import DataFiles
from zdc_training.simulator.pool import Pool
from zdc_training.simulator.primaries import primaries
from zdc_training.simulator.set_up import SetUp
from zdc_training.simulator.tasks import Lost, Task
from zdc_training.validation.probes import Probe
from zdc_training.validation.scaled_data import scale_stand_ins

_WORKER = "zdc_training.validation.probe_worker"
#: Impact points are uniform over this many cells around the centre of the face.
_CELLS = 8


@dataclass(frozen=True)
class Study:
    """Showers of one species and energy, parallel to the fibres, near the centre of the face.

    Attributes
    ----------
    name : Name of the file; it determines the random numbers.
    set_up : What is simulated.
    pdg : Species.
    energy : Total energy [GeV].
    showers : Number of showers.
    stand_in_factors : Factors on the stand-in data files: bremsstrahlung, and the interaction length of neutrons.
    """

    name: str
    set_up: SetUp
    pdg: int
    energy: float
    showers: int
    stand_in_factors: tuple[float, float] = field(default=(1.0, 1.0))

    def particles(self) -> Particles:
        """The particles, in the plane of the face."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        face = self.set_up.calorimeter
        places = [
            centre + (rng.random(self.showers) - 0.5) * _CELLS * pitch
            for centre, pitch in zip(face.centre, face.pitch, strict=True)
        ]
        values, _ = look_up(np.array([self.pdg]))
        momentum = np.sqrt(self.energy**2 - (values[0, 0] * 1e-3) ** 2)
        nothing = np.zeros(self.showers)
        return Particles.from_columns(
            {
                "pdg": np.full(self.showers, self.pdg),
                "px": nothing,
                "py": nothing,
                "pz": nothing + momentum,
                "vx": places[0],
                "vy": places[1],
                "vz": nothing + face.face_z,
            }
        )

    def tasks(self) -> Iterator[Task]:
        """What the workers simulate."""
        start = zlib.crc32(self.name.encode()) << 20
        for row, shot in enumerate(primaries(self.particles(), self.set_up.calorimeter)):
            yield Task(row, shot, start + row)


@dataclass(frozen=True)
class Probed:
    """The probes of a study; see `zdc_training.validation.probes.Probe`.

    Attributes
    ----------
    light : Shape (N, V).
    depth, radius, square : Shape (N, bins).
    cpu_seconds : Shape (N,).
    """

    light: NDArray[np.float64]
    depth: NDArray[np.float32]
    radius: NDArray[np.float32]
    square: NDArray[np.float32]
    cpu_seconds: NDArray[np.float64]

    @property
    def photons(self) -> NDArray[np.float64]:
        """Expected photons of each shower with the set-up's light, shape (N,)."""
        return self.light[:, 0]


def probed(studies: Sequence[Study], folder: Path, workers: int, data_files: DataFiles) -> dict[str, Probed]:
    """Simulate the studies that are not yet in the folder; returns all of them by name.

    Studies with one set-up have the same workers, because a worker needs seconds to start; a line on stderr says which
    are simulated. A file of a study with other settings is replaced.

    Raises
    ------
    TrainingError : a shower is lost.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Probed] = {}
    missing: dict[tuple[object, ...], list[Study]] = {}
    for study in studies:
        kept = _read(folder / f"{study.name}.npz", _identity(study, data_files))
        if kept is None:
            missing.setdefault((study.set_up.sha256, study.stand_in_factors), []).append(study)
        else:
            found[study.name] = kept
    for together in missing.values():
        said = ", ".join(f"{study.name} ({study.showers} showers of {study.energy:g} GeV)" for study in together)
        print(f"simulating {said}", file=sys.stderr, flush=True)
        for study, new in zip(together, _simulate(together, workers, data_files), strict=True):
            with whole_file(folder / f"{study.name}.npz") as part, part.open("wb") as file:
                np.savez_compressed(file, identity=np.array(_identity(study, data_files)), **vars(new))
            found[study.name] = new
    return found


def _identity(study: Study, data_files: DataFiles) -> str:
    return json.dumps(
        {
            "set_up": study.set_up.sha256,
            "particle": [study.pdg, study.energy, study.showers],
            "data_files": list(data_files.names),
            "stand_in_factors": study.stand_in_factors,
        }
    )


def _read(path: Path, identity: str) -> Probed | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["identity"]) != identity:
                return None
            return Probed(**{name: stored[name] for name in Probed.__dataclass_fields__})
    except (FileNotFoundError, KeyError, ValueError, BadZipFile):
        return None


def _simulate(studies: Sequence[Study], workers: int, data_files: DataFiles) -> list[Probed]:
    """The studies of one set-up."""
    tasks = [replace(task, row=row) for row, task in enumerate(task for study in studies for task in study.tasks())]
    probes: list[Probe] = []
    with TemporaryDirectory() as scratch:
        variables = data_files.prepare(Path(scratch), studies[0].set_up.elements)
        if studies[0].stand_in_factors != (1.0, 1.0):
            scale_stand_ins(Path(scratch), *studies[0].stand_in_factors)
        with Pool(studies[0].set_up, min(workers, len(tasks)), variables, _WORKER) as pool:
            for finished in pool.run(tasks):
                if isinstance(finished, Lost):
                    raise TrainingError(f"studies of {studies[0].name}: a shower is lost: {finished.reason}")
                assert isinstance(finished, Probe)  # what these workers answer
                probes.append(finished)
    probes.sort(key=lambda probe: probe.row)
    ends = np.cumsum([study.showers for study in studies]).tolist()
    return [_stacked(probes[end - study.showers : end]) for study, end in zip(studies, ends, strict=True)]


def _stacked(probes: Sequence[Probe]) -> Probed:
    def column(name: str) -> NDArray[Any]:
        return np.stack([np.asarray(getattr(probe, name)) for probe in probes])

    return Probed(
        light=column("light"),
        depth=column("depth"),
        radius=column("radius"),
        square=column("square"),
        cpu_seconds=column("cpu_seconds"),
    )
