"""Weights of a layer for another list of species."""

from collections.abc import Sequence

import torch
from particle.pdgid import is_baryon, is_hadron
from torch import Tensor
from zdc_detector.pdg_table import mass_and_charge


def species_columns(weights: Tensor, theirs: Sequence[int], ours: Sequence[int]) -> Tensor:
    """Weights of a layer whose last inputs are 1 for the species of a particle, else 0, for another list of species.

    A species that is in both lists keeps its weights. A new one begins with those of the `nearest` species.

    Parameters
    ----------
    weights : Shape (outputs, inputs); the last inputs are those of `theirs`.
    theirs, ours : PDG codes.
    """
    others, known = weights[:, : -len(theirs)], weights[:, -len(theirs) :]
    places = [theirs.index(code if code in theirs else nearest(code, theirs)) for code in ours]
    return torch.cat([others, known[:, places]], dim=1)


def nearest(code: int, known: Sequence[int]) -> int:
    """The species whose showers are the most similar: hadron or not, baryon or antibaryon, then the nearest mass."""

    def kind(one: int) -> tuple[bool, int]:
        return is_hadron(one), (one > 0) - (one < 0) if is_baryon(one) else 0

    (hadron, baryon), mass = kind(code), mass_and_charge(code)[0]

    def distance(other: int) -> tuple[bool, bool, float]:
        also_hadron, also_baryon = kind(other)
        return also_hadron != hadron, also_baryon != baryon, abs(mass_and_charge(other)[0] - mass)

    return min(known, key=distance)
