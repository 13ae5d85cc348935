"""Warnings about valid files of showers that may be unsuitable for training."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CHARGE, ENERGY, species_name

#: Photon sum below which the ALICE collaboration drops responses.
PHOTON_FILTER = 10
#: Energy of a proton in the LHC [GeV].
BEAM_ENERGY = 7000.0
_LEAST_ENERGY = 1.0  # GeV; particles in the calorimeter have more
_LEAST_SHOWERS = 100  # with fewer, the absence of faint responses may be chance
_COPY_PHOTONS = 30  # more photons in 1936 fibres are not equal twice by chance
_OFF_FACE = 0.5


def data_warnings(
    conditions: NDArray[np.float32],
    pdg: NDArray[np.int64],
    responses: NDArray[np.generic],
    calorimeter: Calorimeter,
    *,
    species: Sequence[int] = (),
    configuration: str = "",
) -> list[str]:
    """Warnings about likely mistakes in showers, or about properties that a model of them cannot learn.

    Parameters
    ----------
    conditions, pdg, responses : Valid rows, see `zdc_detector.checks.find_problems`; shapes (N, 9), (N,),
        (N, rows, columns).
    species : PDG codes that a configuration distinguishes; if empty, any code is allowed.
    configuration : Name of this configuration.
    """
    sums = np.asarray(responses.sum(axis=(1, 2), dtype=np.float64))
    return [
        *_energy_warnings(conditions[:, ENERGY], pdg),
        *_light_warnings(sums, pdg),
        *_copy_warnings(responses, sums),
        *_face_warnings(conditions, calorimeter),
        *_charge_warnings(conditions, pdg, calorimeter),
        *_species_warnings(pdg, species, configuration),
    ]


def count_copies(responses: NDArray[np.generic], sums: NDArray[np.float64], least: float = 0) -> int:
    """The number of responses with more than `least` photons that equal an earlier one in every fibre."""
    lit = np.ascontiguousarray(responses[sums > least])
    return len(lit) - len({row.tobytes() for row in lit})


def _energy_warnings(energy: NDArray[np.float32], pdg: NDArray[np.int64]) -> Iterator[str]:
    high = energy > BEAM_ENERGY
    if high.any():
        row = int(np.argmax(high))
        yield (
            f"row {row}: energy = {energy[row]:g} GeV of {species_name(int(pdg[row]))} is above the LHC's beam energy "
            f"of {BEAM_ENERGY:g} GeV ({int(high.sum())} rows are): are energies and momenta in MeV? They must be in GeV"
        )
    if energy.max() < _LEAST_ENERGY:
        yield f"no energy is above {energy.max():g} GeV: are energies and momenta in TeV? They must be in GeV"


def _light_warnings(sums: NDArray[np.float64], pdg: NDArray[np.int64]) -> Iterator[str]:
    if not sums.any():
        yield "no response has a photon: a model of this file learns no light; were the right responses read?"
        return
    for code in np.unique(pdg):
        rows = pdg == code
        if not sums[rows].any():
            yield f"all {int(rows.sum())} responses of {species_name(int(code))} ({code}) are empty"
    if sums.min() >= PHOTON_FILTER and len(sums) >= _LEAST_SHOWERS:
        yield (
            f"no response has fewer than {PHOTON_FILTER} photons: if a filter dropped the faint and the empty ones, a "
            'model of this file gives light where the calorimeter has none (the gate of method = "fast" learns only '
            "from empty responses); use a file without the filter if there is one"
        )


def _copy_warnings(responses: NDArray[np.generic], sums: NDArray[np.float64]) -> Iterator[str]:
    copies = count_copies(responses, sums, _COPY_PHOTONS)
    if copies:
        yield (
            f"{copies} responses with more than {_COPY_PHOTONS} photons equal an earlier one, fibre by fibre, which is "
            "no chance: remove the copies, they make the spread of responses too small"
        )


def _face_warnings(conditions: NDArray[np.float32], calorimeter: Calorimeter) -> Iterator[str]:
    missed = ~calorimeter.hits_face(conditions)
    if missed.mean() > _OFF_FACE:
        yield (
            f"the straight lines of {int(missed.sum())} of {len(missed)} particles miss the face of "
            f"{calorimeter.name}: are vertices in cm and momenta in GeV/c, for {calorimeter.name}?"
        )


def _charge_warnings(
    conditions: NDArray[np.float32], pdg: NDArray[np.int64], calorimeter: Calorimeter
) -> Iterator[str]:
    swept = (conditions[:, CHARGE] != 0) & ~calorimeter.at_face(conditions)
    if swept.any():
        row = int(np.argmax(swept))
        yield (
            f"{int(swept.sum())} showers are of charged particles from a vertex, the first is row {row} "
            f"({species_name(int(pdg[row]))}): magnets sweep them away before the face, so a server refuses such "
            f"particles; give them at the face (vz = {calorimeter.face_z:g} cm)"
        )


def _species_warnings(pdg: NDArray[np.int64], species: Sequence[int], configuration: str) -> Iterator[str]:
    for code in np.setdiff1d(pdg, species) if species else ():
        yield (
            f"{int((pdg == code).sum())} showers of {species_name(int(code))} ({code}), which {configuration} does not "
            "list: to train on them, add the code to model.species and its decay length to model.decay_lengths"
        )
