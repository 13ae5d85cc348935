"""Rows of a job as files hold them: what was simulated beside what came out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zdc_detector.hits import Hits, join_hits
from zdc_detector.particles import CONDITIONS, UNITS, Particles


@dataclass(frozen=True)
class Rows:
    """Consecutive rows.

    Attributes
    ----------
    particles : The particle of each row, length M.
    particle_id : Number of that particle in the job, int64, shape (M,).
    row : Number of each row, which with the seed gives its random numbers, int64, shape (M,).
    side : ``A`` (+z) or ``C`` (-z), bytes S1, shape (M,).
    channels : Photon sums, uint32 counts or float32 rates, shape (M, C).
    columns : What the source called each row's particle, int64, each of shape (M,).
    response : Photons per fibre, uint16 counts or float32 rates, shape (M, rows, columns), where asked for.
    hits : Where asked for.
    """

    particles: Particles
    particle_id: NDArray[np.int64]
    row: NDArray[np.int64]
    side: NDArray[np.bytes_]
    channels: NDArray[np.generic]
    columns: Mapping[str, NDArray[np.int64]]
    response: NDArray[np.generic] | None = None
    hits: Hits | None = None

    def __len__(self) -> int:
        return len(self.row)

    @property
    def nbytes(self) -> int:
        """Size of its largest arrays."""
        size = self.channels.nbytes + self.particles.conditions.nbytes
        if self.response is not None:
            size += self.response.nbytes
        if self.hits is not None:
            size += self.hits.fibre.nbytes + self.hits.photons.nbytes
        return size

    @classmethod
    def concatenate(cls, blocks: Sequence["Rows"]) -> "Rows":
        """All rows of one block or more, in order."""
        first = blocks[0]
        if len(blocks) == 1:
            return first
        responses = [block.response for block in blocks if block.response is not None]
        hits = [block.hits for block in blocks if block.hits is not None]
        return cls(
            particles=Particles.concatenate([block.particles for block in blocks]),
            particle_id=np.concatenate([block.particle_id for block in blocks]),
            row=np.concatenate([block.row for block in blocks]),
            side=np.concatenate([block.side for block in blocks]),
            channels=np.concatenate([block.channels for block in blocks]),
            columns={name: np.concatenate([block.columns[name] for block in blocks]) for name in first.columns},
            response=np.concatenate(responses) if responses else None,
            hits=join_hits(hits, hits[0].photons.dtype) if hits else None,
        )


@dataclass(frozen=True)
class About:
    """What holds for all rows of a file.

    Attributes
    ----------
    shape : Fibres along x and y.
    channel_names : Names of the C channels.
    attributes : Model, version, seed and whatever else belongs to the file, by name.
    """

    shape: tuple[int, int]
    channel_names: tuple[str, ...]
    attributes: Mapping[str, str | int]

    def as_json(self, counts: Mapping[str, int | Mapping[str, int]] = {}) -> str:
        """All of it and the counts in one text, with units, for formats without attributes of their own."""
        described = {
            **self.attributes,
            **counts,
            "shape": self.shape,
            "channel_names": self.channel_names,
            "units": dict(zip(CONDITIONS, UNITS, strict=True)),
            "axes": "row = x, column = y; fibre = row * columns + column",
        }
        return json.dumps(described)
