"""A simulation from its particles to its file of showers: it resumes after a kill, and grows when asked for more."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import ConfigError, TrainingError
from zdc_common.versions import installed_version
from zdc_common.words import counted
from zdc_detector.calorimeters import stored_calorimeter
from zdc_detector.particles import ENERGY, Particles
from zdc_detector.random import GEANT4_STREAM, poisson_of, raw_words
from zdc_detector.showers import ShowerWriter, read_showers

from zdc_training.simulator.data_files import DataFiles
from zdc_training.simulator.installed import geant4_version
from zdc_training.simulator.journal import Journal
from zdc_training.simulator.pool import Pool
from zdc_training.simulator.primaries import primaries
from zdc_training.simulator.progress import Progress
from zdc_training.simulator.set_up import SetUp
from zdc_training.simulator.tasks import Lost, Shower, Task

#: Name of the attribute of an HDF5 file that says how its showers were made, as JSON.
SIMULATION = "simulation"
_BLOCK = 1024
_LARGEST_COUNT = 65535
_MOST_REASONS = 20  # of lost showers, in the file


@dataclass(frozen=True)
class Job:
    """What to simulate.

    Attributes
    ----------
    set_up : The calorimeter and its physics.
    particles : The particles, at the face, or neutral ones before it.
    source : What the particles are from, for the provenance.
    repeats : Showers of each particle.
    seed : Seed of all random numbers.
    data_files : Data files of Geant4.
    """

    set_up: SetUp
    particles: Particles
    source: dict[str, object]
    repeats: int
    seed: int
    data_files: DataFiles

    @property
    def showers(self) -> int:
        """Number of showers."""
        return len(self.particles) * self.repeats

    @property
    def identity(self) -> dict[str, object]:
        """What determines a shower, beside its number."""
        return {
            "geant4_pybind": version("geant4-pybind"),
            "data_files": list(self.data_files.names) if self.data_files.official else "stand-in",
            "seed": self.seed,
            "repeats": self.repeats,
            "particles": self.source,
            "set_up": self.set_up.model_dump(mode="json"),
        }

    def energies(self) -> NDArray[np.float64]:
        """Energy of the particle of each shower [GeV], shape (showers,)."""
        return np.repeat(self.particles.conditions[:, ENERGY].astype(np.float64), self.repeats)

    def tasks(self, done: set[int]) -> Iterator[Task]:
        """The showers that are not yet done."""
        shots = primaries(self.particles, self.set_up.calorimeter)
        seeds = raw_words(self.seed, GEANT4_STREAM, 0, self.showers, 1)[:, 0] >> np.uint64(1)
        for row in range(self.showers):
            if row not in done:
                yield Task(row, shots[row // self.repeats], int(seeds[row]))


def run_job(job: Job, output: Path, workers: int) -> str:
    """Simulate what is missing, and write the file.

    Parameters
    ----------
    output : HDF5 file to write. Finished showers are in ``<output>.journal`` until it is written. A file that exists is
        continued, if it has showers of the same simulation.
    workers : Number of processes; the showers do not depend on it.

    Returns
    -------
    A summary.

    Raises
    ------
    ConfigError : the file or its journal has showers of another simulation, or more of them.
    TrainingError : every shower is lost.
    OSError : the disk is full; finished showers are kept.
    """
    earlier = _earlier(job, output)
    with Journal(output.with_name(output.name + ".journal"), job.identity) as journal:
        _simulate(job, workers, journal, set(range(earlier)) | set(journal.showers))  # lost ones are tried again
        summary = _write(job, output, journal, earlier)
        if all(row < job.showers for row in journal.showers):
            journal.remove()
    return summary


def _simulate(job: Job, workers: int, journal: Journal, done: set[int]) -> None:
    """Simulate the showers that are not yet done."""
    missing = job.showers - len(done & set(range(job.showers)))
    if not missing:
        return
    with TemporaryDirectory() as scratch, Progress(job.energies(), done) as progress:
        variables = job.data_files.prepare(Path(scratch), job.set_up.elements)
        with Pool(job.set_up, min(workers, missing), variables) as pool:
            for finished in progress.interrupts.between(pool.run(job.tasks(done))):
                if isinstance(finished, Lost):
                    journal.lose(finished.row, finished.reason)
                    progress.say(f"shower {finished.row} is lost: {finished.reason}")
                else:
                    journal.add(finished)
                    progress.finished(finished.row, finished.cpu_seconds)


def _earlier(job: Job, output: Path) -> int:
    """Number of the first showers that the output file already has."""
    if not output.exists():
        return 0
    try:
        with h5py.File(output, "r") as file:
            text = file.attrs.get(SIMULATION)
            rows = len(file["particle_id"]) if "particle_id" in file else 0
            same_face = stored_calorimeter(file) == job.set_up.calorimeter
    except OSError as error:
        raise ConfigError(f"{output} exists and is not an HDF5 file; add --overwrite to replace it") from error
    found = json.loads(str(text)) if text is not None else {}
    if not same_face:
        raise ConfigError(f"{output} exists and has showers in another calorimeter; add --overwrite to replace it")
    for key, wanted in _described(job).items():
        if found.get(key) != wanted:
            raise ConfigError(f"{output} exists and has other showers ({key} differs); add --overwrite to replace it")
    if found["lost"]:
        raise ConfigError(f"{output} exists and lacks {counted(len(found['lost']), 'lost shower')}; add --overwrite")
    if rows > job.showers:
        raise ConfigError(f"{output} exists and has {rows} showers, more than {job.showers}; add --overwrite")
    return rows


def _described(job: Job) -> dict[str, object]:
    """`Job.identity` without the calorimeter, which the file contains elsewhere: an attribute has at most 64 KB."""
    return job.identity | {"set_up": job.set_up.model_dump(mode="json", exclude={"calorimeter"})}


def _write(job: Job, output: Path, journal: Journal, earlier: int) -> str:
    kept = read_showers(output) if earlier else None
    lost = {row: reason for row, reason in sorted(journal.lost.items()) if row < job.showers}
    first = _first_equal(job.particles)
    rows = np.array([row for row in range(job.showers) if row not in lost], dtype=np.int64)
    if not len(rows):
        raise TrainingError(f"no shower was finished: {next(iter(lost.values()))}")
    cpu = np.array([journal.showers[row].cpu_seconds if row >= earlier else 0.0 for row in rows.tolist()], np.float32)
    if kept is not None:
        cpu[:earlier] = kept.extra["cpu_seconds"]
    per_tev = float(cpu.sum() / (job.energies()[rows].sum() * 1e-3))
    about = _described(job) | {
        "geant4": geant4_version(),
        "zdc_fastsim": installed_version(),
        "showers": len(rows),
        "lost": list(lost),
        "reasons": [f"{row}: {reason}" for row, reason in list(lost.items())[:_MOST_REASONS]],
        "cpu_seconds_per_tev": round(per_tev, 3),
    }
    title = f"Geant4 {about['geant4']} showers in {job.set_up.calorimeter.name}, {job.data_files.kind}"
    with ShowerWriter(output, job.set_up.calorimeter, title, {SIMULATION: json.dumps(about)}) as writer:
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            particle = block // job.repeats
            ids = first[particle]
            old = block < earlier
            responses = np.zeros((len(block), *job.set_up.calorimeter.shape), dtype=np.uint16)
            if kept is not None:
                responses[old] = kept.responses[block[old]]
            responses[~old] = _counts(job, [journal.showers[row] for row in block[~old].tolist()])
            columns = {"cpu_seconds": cpu[start : start + _BLOCK]}
            writer.append(job.particles[particle], responses, ids, columns)
    missing = f"; {counted(len(lost), 'shower')} lost: rows {', '.join(map(str, lost))}" if lost else ""
    return f"{output}: {counted(len(rows), 'shower')}, {per_tev:.3g} CPU-s/TeV{missing}"


def _first_equal(particles: Particles) -> NDArray[np.int64]:
    """For each particle the number of the first one that is equal to it, shape (N,): showers of both have one id."""
    table = np.column_stack([particles.pdg.astype(np.float64), particles.conditions])
    _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return first[inverse.ravel()].astype(np.int64)


def _counts(job: Job, showers: list[Shower]) -> NDArray[np.uint16]:
    """Photon counts, shape (N, rows, columns): Poisson numbers of (seed, row), as the service draws them."""
    rates = np.zeros((len(showers), *job.set_up.calorimeter.shape), dtype=np.float32)
    flat = rates.reshape(len(showers), job.set_up.calorimeter.fibres)
    for place, shower in enumerate(showers):
        flat[place, shower.fibres] = shower.rates
    seeds = np.full(len(showers), job.seed, dtype=np.uint64)
    rows = np.array([shower.row for shower in showers], dtype=np.uint64)
    return poisson_of(rates, seeds, rows, _LARGEST_COUNT)[0]
