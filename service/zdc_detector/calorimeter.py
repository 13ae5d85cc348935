"""Geometry of a calorimeter face, and the channel sums that its electronics read out.

Coordinates are ALICE's: z along the beam, the face at `face_z` on the A side (+z). The row index of a response runs
along x, the column index along y. A `Calorimeter` is read from a TOML file (`zdc_detector.calorimeters`), and model
cards and files of responses contain it whole.
"""

from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from zdc_common.frozen import Frozen

NO_CHANNEL = "."
#: Hits number fibres with 16 bits.
MOST_FIBRES = 1 << 16
#: The characters of a channel map: the first channel is ``1``, the tenth ``a``.
CHANNEL_CODES = "123456789abcdefghijklmnopqrstuvwxyz"

#: Visible ASCII with spaces inside, without a comma: HTTP headers list the names separated by commas.
_NAME = r"^[!-+\--~](?:[ -+\--~]*[!-+\--~])?$"

_Count = Annotated[int, Field(ge=1)]
_Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Place = Annotated[float, Field(allow_inf_nan=False)]


class Calorimeter(Frozen):
    """Face, fibres and channels of one calorimeter.

    Attributes
    ----------
    name : Detector name, e.g. ``ZN``.
    shape : Fibres along x (rows) and y (columns).
    half_width : Half extent of the face along x and y [cm].
    centre : Centre of the face, x and y [cm].
    face_z : Distance of the face from the interaction point [cm].
    channel_names : One name per channel, in the order of the sums; at most 35.
    channel_map : One string per row, one character of `CHANNEL_CODES` per fibre: ``1`` is the first channel, ``a`` the
        tenth; ``.`` is no channel.
    """

    name: str = Field(pattern=_NAME, max_length=64, description="detector name, e.g. `ZN`")
    shape: tuple[_Count, _Count] = Field(description="number of fibres along x (rows) and y (columns)")
    half_width: tuple[_Length, _Length] = Field(description="half extent of the face along x and y [cm]")
    centre: tuple[_Place, _Place] = Field((0.0, 0.0), description="centre of the face, x and y [cm]")
    face_z: _Length = Field(description="distance of the face from the interaction point [cm]")
    channel_names: tuple[Annotated[str, Field(pattern=_NAME, max_length=64)], ...] = Field(
        min_length=1, max_length=len(CHANNEL_CODES), description="one name per channel, in the order of the sums"
    )
    channel_map: tuple[str, ...] = Field(
        description="one string per row, one character per fibre: `1` is the first channel, `a` the tenth, `.` is no "
        "channel"
    )

    @model_validator(mode="after")
    def _map_fits(self) -> "Calorimeter":
        rows, columns = self.shape
        if self.fibres > MOST_FIBRES:
            raise ValueError(f"shape = {self.shape} has {self.fibres} fibres; at most {MOST_FIBRES} can be numbered")
        if len(set(self.channel_names)) < len(self.channel_names):
            raise ValueError(f"channel_names = {self.channel_names} has one name twice")
        if len(self.channel_map) != rows or any(len(row) != columns for row in self.channel_map):
            raise ValueError(f"channel_map must have {rows} strings of {columns} characters")
        codes = CHANNEL_CODES[: len(self.channel_names)]
        used = set("".join(self.channel_map))
        wrong = used - {*codes, NO_CHANNEL}
        if wrong:
            raise ValueError(f"channel_map uses {sorted(wrong)}; {len(self.channel_names)} channels are named")
        empty = [name for name, code in zip(self.channel_names, codes, strict=True) if code not in used]
        if empty:
            raise ValueError(f"channel_map gives no fibre to {', '.join(empty)}; every channel needs one")
        return self

    @property
    def face_plane(self) -> float:
        """`face_z` as particles carry it, rounded to float32 [cm]: the line of a particle at the face has length 0."""
        return float(np.float32(self.face_z))

    def difference(self, other: "Calorimeter") -> str | None:
        """The first field in which another calorimeter differs, with both values, e.g. for a message; None if equal."""
        for name, mine in self:
            theirs = getattr(other, name)
            if mine != theirs:
                return name if name == "channel_map" else f"{name} {mine} and {theirs}"
        return None

    @property
    def fibres(self) -> int:
        """Number of fibres = pixels of a response."""
        return self.shape[0] * self.shape[1]

    @property
    def pitch(self) -> tuple[float, float]:
        """Distance of neighbouring fibres along x and y [cm]."""
        return 2 * self.half_width[0] / self.shape[0], 2 * self.half_width[1] / self.shape[1]

    @cached_property
    def channel_index(self) -> NDArray[np.int64]:
        """Channel number (0-based) of each fibre, shape (rows, columns); -1 for fibres without a channel."""
        flat = [CHANNEL_CODES.find(char) for row in self.channel_map for char in row]
        return np.array(flat, dtype=np.int64).reshape(self.shape)

    @cached_property
    def channel_of_fibre(self) -> NDArray[np.int32]:
        """`channel_index` in the order of the flattened image, shape (fibres,)."""
        return self.channel_index.ravel().astype(np.int32)

    def channel_sums(self, responses: NDArray[np.generic]) -> NDArray[np.generic]:
        """Sum each channel's fibres.

        Parameters
        ----------
        responses : Photons per fibre, shape (N, rows, columns).

        Returns
        -------
        Photons per channel, shape (N, channels): uint32 for integer responses, float32 for rates. The sums of a row do
        not depend on other rows: each row is summed separately, in the order of its fibres.
        """
        from zdc_detector.kernels import channel_rows

        kind = np.uint32 if np.issubdtype(responses.dtype, np.integer) else np.float32
        sums: NDArray[np.generic] = np.empty((len(responses), len(self.channel_names)), dtype=kind)
        channel_rows(np.ascontiguousarray(responses).reshape(len(responses), self.fibres), self.channel_of_fibre, sums)
        return sums

    def impact_points(self, conditions: NDArray[np.float32]) -> NDArray[np.float64]:
        """Points where the straight lines of the particles meet the plane of the face.

        Parameters
        ----------
        conditions : The nine condition columns of `zdc_detector.particles`, shape (N, 9).

        Returns
        -------
        x and y relative to the centre of the face [cm], shape (N, 2). For particles with pz < 0 the plane is at
        -face_z.
        """
        c = conditions.astype(np.float64)
        path = np.copysign(self.face_plane, c[:, 6]) - c[:, 3]
        points: NDArray[np.float64] = c[:, 1:3] - self.centre + c[:, 4:6] * (path / c[:, 6])[:, None]
        return points

    def hits_face(self, conditions: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether the straight line of a particle meets the face, shape (N,); False if it is produced behind the face.

        Charged particles do not follow the line.
        """
        inside: NDArray[np.bool_] = np.all(np.abs(self.impact_points(conditions)) < np.array(self.half_width), axis=1)
        return inside & ~self.behind_face(conditions)

    def behind_face(self, conditions: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether a particle is produced behind the plane of the face in its direction, shape (N,).

        A particle at the face (`at_face`) is not behind it.
        """
        behind: NDArray[np.bool_] = self._along(conditions) > self.face_plane
        return behind

    def at_face(self, conditions: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether a particle is given at the face, shape (N,): vz is `face_z`, or -`face_z` if it flies to -z."""
        there: NDArray[np.bool_] = self._along(conditions) == self.face_plane
        return there

    @staticmethod
    def _along(conditions: NDArray[np.float32]) -> NDArray[np.float64]:
        """The position vz in the direction of flight [cm], in float64 so that no comparison rounds, shape (N,)."""
        vz, pz = conditions[:, [3, 6]].astype(np.float64).T
        along: NDArray[np.float64] = vz * np.copysign(1.0, pz)
        return along
