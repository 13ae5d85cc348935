"""Rows of a job as files contain them: each response with its particle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.hits import Hits, join_hits
from zdc_detector.particles import CONDITIONS, UNITS, Particles


@dataclass(frozen=True)
class Rows:
    """M consecutive rows.

    Attributes
    ----------
    particles : The particle of each row, length M.
    particle_id : Number of that particle in the job, int64, shape (M,).
    row : Number of each row, int64, shape (M,). Seed and row determine the random numbers of a row.
    side : ``A`` (+z) or ``C`` (-z), bytes S1, shape (M,).
    channels : Photon sums, uint32 counts or float32 rates, shape (M, C).
    columns : ``event`` and ``barcode`` of each row's particle, if the source has them, int64, each of shape (M,).
    response : Photons per fibre, uint16 counts or float32 rates, shape (M, rows, columns); None unless requested.
    hits : The lit fibres; None unless requested.
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
        """Size of the largest arrays [bytes]."""
        size = self.channels.nbytes + self.particles.conditions.nbytes
        if self.response is not None:
            size += self.response.nbytes
        if self.hits is not None:
            size += self.hits.fibre.nbytes + self.hits.photons.nbytes
        return size

    @classmethod
    def concatenate(cls, blocks: Sequence["Rows"]) -> "Rows":
        """The rows of all blocks, in order; there is at least one block."""
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
class FileDescription:
    """Attributes of all rows of a file.

    Attributes
    ----------
    calorimeter : The calorimeter of the responses.
    attributes : Model, version, seed and other attributes of the file, by name.
    """

    calorimeter: Calorimeter
    attributes: Mapping[str, str | int]

    def as_json(self, counts: Mapping[str, int | Mapping[str, int]] = {}) -> str:
        """All attributes with units and counts as JSON, for formats without attributes."""
        described = {
            **self.attributes,
            **counts,
            "calorimeter": self.calorimeter.model_dump(mode="json"),
            "shape": self.calorimeter.shape,
            "channel_names": self.calorimeter.channel_names,
            "units": dict(zip(CONDITIONS, UNITS, strict=True)),
            "axes": "row = x, column = y; fibre = row * columns + column",
        }
        return json.dumps(described)
