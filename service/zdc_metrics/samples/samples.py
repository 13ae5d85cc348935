"""Two files of showers as samples for a comparison: their common particles and repeats."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from zdc_common.errors import FileFormatError, InvalidInputError
from zdc_detector.checks import UncheckedShowers, find_problems, particle_numbers
from zdc_detector.particles import CONDITIONS, KINEMATICS, species_name
from zdc_detector.shower_rows import read_rows
from zdc_detector.showers import Showers

from zdc_metrics.samples.grouping import RepeatedShowers, by_particle
from zdc_metrics.samples.trimming import simulation_of
from zdc_metrics.statistics.splits import SAMPLE

_KINEMATICS = [CONDITIONS.index(name) for name in KINEMATICS]
#: Minimum number of repeats for figures with a floor.
SIMULATED_REPEATS, GENERATED_REPEATS = 2 * SAMPLE, SAMPLE


@dataclass(frozen=True)
class Sample:
    """The showers of one file.

    Attributes
    ----------
    name : Name of the simulation or model, for legends.
    showers : All rows.
    attributes : Attributes of the file.
    """

    name: str
    showers: Showers
    attributes: dict[str, str | int | float]


def read_sample(path: Path, otherwise: str = "") -> Sample:
    """Read a file of counts or hits; particles are renumbered from 0.

    Parameters
    ----------
    otherwise : Name of the sample if the file names no model; the default is that of `trimming.simulation_of`.

    Raises
    ------
    FileFormatError : as `zdc_detector.showers.read_showers`. But a particle may have several values of `particle_id`:
        `zdc simulate` numbers the particles of its input.
    """
    stored = read_rows(path)
    conditions, pdg = stored.particles.conditions, stored.particles.pdg
    number = particle_numbers(conditions, pdg)
    data: dict[str, NDArray[np.generic]] = {
        "particles": conditions,
        "pdg": pdg,
        "responses": stored.responses,
        "particle_id": number,
    }
    problems = find_problems(UncheckedShowers(data, stored.calorimeter))
    if problems:
        raise FileFormatError(f"{path}: {problems[0]}")
    counts = stored.responses.astype(np.uint16, copy=False)
    attributes = dict(stored.attributes)
    name = otherwise if otherwise and "model" not in attributes else simulation_of(attributes)
    return Sample(name, Showers(stored.particles, counts, number, stored.calorimeter), attributes)


@dataclass(frozen=True)
class Compared:
    """The compared rows of two samples; equal `particle_id` means the same particle in both.

    Attributes
    ----------
    reference, generated : Rows of each.
    same_particles : Number of particles in both samples.
    paired : Whether only the rows of these particles are compared; else the rows of all species in both samples.
    left_out : Sentences on the rows that are not compared.
    """

    reference: Showers
    generated: Showers
    same_particles: int
    paired: bool
    left_out: tuple[str, ...]


def compare(reference: Showers, generated: Showers) -> Compared:
    """Choose the rows to compare.

    Particles are the same if PDG code, momentum and vertex are equal as float32; energies may differ in the last digit
    after another program has written the file. If at least half of the particles of one file are in the other one, only
    the common particles are compared.

    Raises
    ------
    InvalidInputError : the calorimeters differ, or no species is in both.
    """
    if reference.calorimeter != generated.calorimeter:
        raise InvalidInputError(
            f"the reference holds responses of {_face(reference)}, the other file of {_face(generated)}: the "
            f"calorimeters differ in {reference.calorimeter.difference(generated.calorimeter)}; compare files of one "
            "calorimeter"
        )
    reference, generated = _numbered(reference, generated)
    ids, others = np.unique(reference.particle_id), np.unique(generated.particle_id)
    common = np.intersect1d(ids, others)
    paired = 2 * len(common) >= min(len(ids), len(others))
    if paired:
        kept = [sample[np.isin(sample.particle_id, common)] for sample in (reference, generated)]
        what = "of particles that the other file has not"
    else:
        species = np.intersect1d(reference.particles.pdg, generated.particles.pdg)
        if not len(species):
            raise InvalidInputError(
                f"no species is in both files: the reference has {_species(reference)}, the other one "
                f"{_species(generated)}"
            )
        kept = [sample[np.isin(sample.particles.pdg, species)] for sample in (reference, generated)]
        what = "of species that the other file has not"
    left_out = tuple(
        f"{len(sample) - len(rows)} of the {len(sample)} responses of the {name} are left out: {what}"
        for name, sample, rows in zip(("reference", "generated file"), (reference, generated), kept, strict=True)
        if len(rows) < len(sample)
    )
    return Compared(kept[0], kept[1], len(common), paired, left_out)


def repeated(compared: Compared, reference_file: object = "geant.h5") -> tuple[RepeatedShowers, RepeatedShowers]:
    """Reference and generated responses of the particles with enough repeats in both; surplus repeats are left out.

    Raises
    ------
    InvalidInputError : there is no such particle; the message says how to generate such a file.
    """
    remedy = f"zdc simulate --input {reference_file} --repeats 50 --output generated.h5"
    if not compared.same_particles:
        raise InvalidInputError(
            "no particle of the reference (PDG code, momentum and vertex, as float32) is in the generated file, and "
            f"these figures compare responses of the same particles; generate them with: {remedy}"
        )
    ids = np.intersect1d(compared.reference.particle_id, compared.generated.particle_id)
    kept = ids
    counts = []
    for sample, needed in ((compared.reference, SIMULATED_REPEATS), (compared.generated, GENERATED_REPEATS)):
        found = np.bincount(sample.particle_id, minlength=int(ids.max()) + 1)
        kept = kept[found[kept] >= needed]
        counts.append(found)
    if not len(kept):
        raise InvalidInputError(
            f"figures with a floor need {SIMULATED_REPEATS} simulations of a particle, two against two, and "
            f"{GENERATED_REPEATS} generated responses; the {len(ids)} particles in both files have at most "
            f"{counts[0][ids].max()} and {counts[1][ids].max()}. Take a reference of repeated simulations and {remedy}"
        )
    first = _first_repeats(compared.reference, kept, int(counts[0][kept].min()))
    second = _first_repeats(compared.generated, kept, int(counts[1][kept].min()))
    return by_particle(first), by_particle(second)


def _numbered(*samples: Showers) -> list[Showers]:
    """The samples with a common numbering of their particles."""
    kinematics = np.concatenate([sample.particles.conditions[:, _KINEMATICS] for sample in samples])
    kinematics += np.float32(0)  # -0 is 0
    numbers = particle_numbers(kinematics, np.concatenate([sample.particles.pdg for sample in samples]))
    ends = np.cumsum([len(sample) for sample in samples])[:-1]
    return [replace(sample, particle_id=part) for sample, part in zip(samples, np.split(numbers, ends), strict=True)]


def _first_repeats(sample: Showers, particle_id: NDArray[np.int64], repeats: int) -> Showers:
    order = np.argsort(sample.particle_id, kind="stable")
    ids = sample.particle_id[order]
    starts = np.searchsorted(ids, ids)  # first row of each row's particle
    chosen = (np.arange(len(ids)) - starts < repeats) & np.isin(ids, particle_id)
    return sample[order[chosen]]


def _face(sample: Showers) -> str:
    return f"{sample.calorimeter.name} ({sample.calorimeter.shape[0]} x {sample.calorimeter.shape[1]} fibres)"


def _species(sample: Showers) -> str:
    return ", ".join(f"{species_name(int(code))} ({code})" for code in np.unique(sample.particles.pdg))
