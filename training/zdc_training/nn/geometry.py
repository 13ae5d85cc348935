"""The impact point of a particle on the face, images in the frame of its cell, and scaled conditions.

Shapes: responses (N, rows, columns); conditions (N, 9) in the physical units of `zdc_detector.particles`, for particles
that fly to +z.
"""

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CONDITIONS, ENERGY, MASS, PX, PY, PZ, VX, VY, VZ

#: Largest |vz| [cm] that the networks see; beyond it, they have no training data on the effect of the angle.
_FURTHEST_VZ = 22.5


class FaceGeometry(nn.Module):
    """The straight line from the vertex to the face, and images in the frame of the fibre cell that it hits.

    The line meets the plane of the face, z = z_face, at

        x = vx + px / pz (z_face - vz) - x_centre,    y = vy + py / pz (z_face - vz) - y_centre,

    relative to the centre of the face.

    In the frame of a cell, a response of R x C fibres is shifted so that the cell is at (R // 2, C // 2). Fibres of the
    frame that are outside the face are invisible. Shifts are whole fibres, without interpolation.
    """

    half_width: Tensor
    centre: Tensor
    fibres: Tensor
    frame_index: Tensor
    face_index: Tensor

    def __init__(self, calorimeter: Calorimeter) -> None:
        super().__init__()
        self.face_z = calorimeter.face_plane  # in float32, as vz is: at the face the line has length 0
        self.shape = rows, columns = calorimeter.shape
        self.pad = (rows // 2, columns // 2)
        self._stride = columns + 2 * self.pad[1]
        self.register_buffer("half_width", torch.tensor(calorimeter.half_width, dtype=torch.float32))
        self.register_buffer("centre", torch.tensor(calorimeter.centre, dtype=torch.float32), persistent=False)
        self.register_buffer("fibres", torch.tensor(calorimeter.shape, dtype=torch.float32))
        grid = torch.arange(rows)[:, None] * self._stride + torch.arange(columns)
        home = 2 * (self.pad[0] * self._stride + self.pad[1])
        self.register_buffer("frame_index", grid.reshape(1, -1), persistent=False)
        self.register_buffer("face_index", (grid + home).reshape(1, -1), persistent=False)

    def impact_point(self, conditions: Tensor) -> Tensor:
        """Intersection of the straight line with the plane of the face, relative to its centre [cm], shape (N, 2)."""
        path = (self.face_z - conditions[:, VZ]) / conditions[:, PZ]
        x, y = conditions[:, VX] - self.centre[0], conditions[:, VY] - self.centre[1]
        return torch.stack([x + conditions[:, PX] * path, y + conditions[:, PY] * path], dim=1)

    def hits_face(self, conditions: Tensor) -> Tensor:
        """1 if the straight line hits the face, else 0, shape (N,); 0 for a vertex behind the face, 1 for one on it."""
        inside = self.impact_point(conditions).abs() < self.half_width
        return (inside[:, 0] & inside[:, 1] & (conditions[:, VZ] <= self.face_z)).to(conditions.dtype)

    def cell(self, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Row and column of the fibre cell that is hit, and the position in the cell from -1 to 1; shapes (N, 2)."""
        position = (self.impact_point(conditions) / self.half_width + 1.0) * (self.fibres / 2)
        index = torch.minimum(position.floor().clamp(min=0.0), self.fibres - 1.0)
        return index, 2.0 * (position - index) - 1.0

    def to_frame(self, images: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Images of the face in the frame of the cell, and 1 for visible fibres, else 0; shapes (N, R, C)."""
        offset = self._offset(conditions)
        visible = self._window(torch.ones_like(images), self.frame_index + offset)
        return self._window(images, self.frame_index + offset), visible

    def to_face(self, images: Tensor, conditions: Tensor) -> Tensor:
        """Images in the frame of the cell, shifted back to the face and cropped, shape (N, R, C)."""
        return self._window(images, self.face_index - self._offset(conditions))

    def _offset(self, conditions: Tensor) -> Tensor:
        index = self.cell(conditions)[0].to(torch.int64)
        return index[:, :1] * self._stride + index[:, 1:]

    def _window(self, images: Tensor, index: Tensor) -> Tensor:
        rows, columns = self.pad
        padded = nn.functional.pad(images, (columns, columns, rows, rows)).flatten(1)
        return torch.gather(padded, 1, index).reshape(-1, *self.shape)


class ConditionScaler(nn.Module):
    """Nine conditions as nine numbers of order one: (t(c) - mean) / scale.

    Mean and scale are those of the training showers; the scale of a constant column is 1. The transformation t is

    - ``linear``: none.
    - ``face``: log E and log pz instead of E and pz; the impact point in half widths of the face instead of px and py;
      vx and vy from the centre of the face in half widths, vz in hundredths of the distance to the face. A beam that
      is off by a millimetre changes these numbers little.
    - ``cell``: as ``face``, but the fibre cell that is hit instead of vx and vy, and the position in this cell instead
      of the impact point. The vertex acts only through them and vz.

    Positions and vz have mean 0 and scale 1 in ``face`` and ``cell``.

    Parameters
    ----------
    scaling : ``linear``, ``face`` or ``cell``.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, scaling: str, geometry: FaceGeometry) -> None:
        super().__init__()
        self.scaling = scaling
        self.geometry = geometry
        self.register_buffer("mean", torch.zeros(len(CONDITIONS)))
        self.register_buffer("scale", torch.ones(len(CONDITIONS)))

    def transformed(self, conditions: Tensor) -> Tensor:
        """The nine columns before standardisation, shape (N, 9)."""
        if self.scaling == "linear":
            return conditions
        geometry = self.geometry
        if self.scaling == "cell":
            index, within = geometry.cell(conditions)
            place, point = (index + 0.5) / geometry.fibres * 2.0 - 1.0, within
        else:
            place = (conditions[:, VX : VY + 1] - geometry.centre) / geometry.half_width
            point = geometry.impact_point(conditions) / geometry.half_width
        # onnxruntime computes the last few elements of a tensor with other code, which rounds differently. Sixteen
        # columns leave no such remainder, so the logarithm of a particle does not depend on the number of rows.
        logarithms = torch.stack([conditions[:, ENERGY], conditions[:, PZ]] * 8, dim=1).log()
        along = conditions[:, VZ, None].clamp(-_FURTHEST_VZ, _FURTHEST_VZ) * (100.0 / geometry.face_z)
        return torch.cat([logarithms[:, :1], place, along, point, logarithms[:, 1:2], conditions[:, MASS:]], dim=1)

    @torch.no_grad()
    def fit(self, conditions: Tensor) -> None:
        """Set mean and scale from training conditions, shape (N, 9)."""
        columns = self.transformed(conditions).double()
        deviation = columns.std(dim=0, correction=0)
        self.mean.copy_(columns.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))
        if self.scaling != "linear":
            # The geometry gives positions and the vertex their scale: symmetric about 0, never tiny.
            self.mean[VX:PZ] = 0.0
            self.scale[VX:PZ] = 1.0

    def forward(self, conditions: Tensor) -> Tensor:
        """Scaled conditions, shape (N, 9)."""
        scaled: Tensor = (self.transformed(conditions) - self.mean) / self.scale
        return scaled
