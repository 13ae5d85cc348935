"""Responses as hits: the fibres with photons, and back to images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Hits:
    """Sparse responses of M rows: row m has the entries ``offsets[m]:offsets[m + 1]``.

    Attributes
    ----------
    offsets : uint64, shape (M + 1,).
    fibre : Fibre = row * columns + column, uint16, shape (T,).
    photons : Photons of that fibre, never zero, uint16 counts or float32 rates, shape (T,).
    """

    offsets: NDArray[np.uint64]
    fibre: NDArray[np.uint16]
    photons: NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Size of the arrays."""
        return self.offsets.nbytes + self.fibre.nbytes + self.photons.nbytes

    def as_arrays(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """The arrays by their names, each with a prefix."""
        return {f"{prefix}offsets": self.offsets, f"{prefix}fibre": self.fibre, f"{prefix}photons": self.photons}

    def rows(self, start: int, stop: int) -> "Hits":
        """The hits of the rows from `start` to `stop` - 1."""
        offsets = self.offsets[start : stop + 1]
        entries = slice(int(offsets[0]), int(offsets[-1]))
        return Hits(offsets - offsets[0], self.fibre[entries], self.photons[entries])

    def take(self, rows: NDArray[np.intp]) -> "Hits":
        """The hits of chosen rows, in their order."""
        counts = np.diff(self.offsets).astype(np.int64)[rows]
        offsets = np.append(0, np.cumsum(counts))
        entries = np.repeat(self.offsets.astype(np.int64)[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Hits(offsets.astype(np.uint64), self.fibre[entries], self.photons[entries])

    def to_images(self, shape: Sequence[int]) -> NDArray[Any]:
        """The dense responses, shape (M, rows, columns), in the type of `photons`.

        Parameters
        ----------
        shape : Fibres along x (rows) and y (columns).

        Raises
        ------
        IndexError : a fibre is not on a face of this shape.
        """
        rows = len(self.offsets) - 1
        images = np.zeros((rows, math.prod(shape)), dtype=self.photons.dtype)
        images[np.repeat(np.arange(rows), np.diff(self.offsets).astype(np.int64)), self.fibre] = self.photons
        return images.reshape(rows, *shape)


def to_hits(images: NDArray[np.generic]) -> Hits:
    """The fibres with photons of M images, shape (M, rows, columns)."""
    from zdc_detector.kernels import hit_rows

    flat = np.ascontiguousarray(images).reshape(len(images), math.prod(images.shape[1:]))
    offsets = np.empty(len(images) + 1, dtype=np.uint64)
    fibre, photons = np.empty(flat.size, dtype=np.uint16), np.empty(flat.size, dtype=flat.dtype)
    total = hit_rows(flat, offsets, fibre, photons)
    return Hits(offsets, fibre[:total].copy(), photons[:total].copy())


def join_hits(parts: list[Hits], photon_type: np.dtype[np.generic]) -> Hits:
    """All rows of several blocks of hits, in order; `photon_type` is that of a result without blocks."""
    if len(parts) == 1:
        return parts[0]
    counts = [np.zeros(1, dtype=np.uint64), *(np.diff(part.offsets) for part in parts)]
    return Hits(
        np.cumsum(np.concatenate(counts), dtype=np.uint64),
        np.concatenate([np.zeros(0, dtype=np.uint16), *(part.fibre for part in parts)]),
        np.concatenate([np.zeros(0, dtype=photon_type), *(part.photons for part in parts)]),
    )
