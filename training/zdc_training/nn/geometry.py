"""Where a particle meets the face, images in the frame of that cell, and conditions as networks read them.

Shapes: responses (N, rows, columns); conditions (N, 9) in the physical units of `zdc_detector.particles`, for particles
that fly to +z.
"""

import torch
from torch import Tensor, nn
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.particles import CONDITIONS, ENERGY, MASS, PX, PY, PZ, VX, VY, VZ

#: Beyond it [cm] a vertex acts through the impact point alone: no network has seen what the angle does out there.
_FURTHEST_VZ = 22.5


class FaceGeometry(nn.Module):
    """The straight line to the face, and images in the frame of the cell that it meets.

    In the frame of a cell a response of R x C fibres is shifted so that the cell stands at (R // 2, C // 2);
    fibres of the frame that lie off the face are invisible. Shifts are whole fibres, so nothing is interpolated.
    """

    half_width: Tensor
    fibres: Tensor
    frame_index: Tensor
    face_index: Tensor

    def __init__(self, calorimeter: Calorimeter) -> None:
        super().__init__()
        self.face_z = calorimeter.face_z
        self.shape = rows, columns = calorimeter.shape
        self.pad = (rows // 2, columns // 2)
        self._stride = columns + 2 * self.pad[1]
        self.register_buffer("half_width", torch.tensor(calorimeter.half_width, dtype=torch.float32))
        self.register_buffer("fibres", torch.tensor(calorimeter.shape, dtype=torch.float32))
        grid = torch.arange(rows)[:, None] * self._stride + torch.arange(columns)
        home = 2 * (self.pad[0] * self._stride + self.pad[1])
        self.register_buffer("frame_index", grid.reshape(1, -1), persistent=False)
        self.register_buffer("face_index", (grid + home).reshape(1, -1), persistent=False)

    def impact_point(self, conditions: Tensor) -> Tensor:
        """Where the straight line meets the plane of the face [cm], shape (N, 2)."""
        path = (self.face_z - conditions[:, VZ]) / conditions[:, PZ]
        return torch.stack(
            [conditions[:, VX] + conditions[:, PX] * path, conditions[:, VY] + conditions[:, PY] * path], dim=1
        )

    def hits_face(self, conditions: Tensor) -> Tensor:
        """1 where the straight line meets the face, else 0, shape (N,); 0 for particles born behind it."""
        inside = self.impact_point(conditions).abs() < self.half_width
        return (inside[:, 0] & inside[:, 1] & (conditions[:, VZ] < self.face_z)).to(conditions.dtype)

    def cell(self, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Row and column of the fibre cell that is hit, and where in it, from -1 to 1; shapes (N, 2)."""
        position = (self.impact_point(conditions) / self.half_width + 1.0) * (self.fibres / 2)
        index = torch.minimum(position.floor().clamp(min=0.0), self.fibres - 1.0)
        return index, 2.0 * (position - index) - 1.0

    def to_frame(self, images: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Images on the face to the frame of the cell, and which of its fibres are visible; shapes (N, R, C)."""
        offset = self._offset(conditions)
        visible = self._window(torch.ones_like(images), self.frame_index + offset)
        return self._window(images, self.frame_index + offset), visible

    def to_face(self, images: Tensor, conditions: Tensor) -> Tensor:
        """Images in the frame of the cell back to the face, cropped, shape (N, R, C)."""
        return self._window(images, self.face_index - self._offset(conditions))

    def _offset(self, conditions: Tensor) -> Tensor:
        index = self.cell(conditions)[0].to(torch.int64)
        return index[:, :1] * self._stride + index[:, 1:]

    def _window(self, images: Tensor, index: Tensor) -> Tensor:
        rows, columns = self.pad
        padded = nn.functional.pad(images, (columns, columns, rows, rows)).flatten(1)
        return torch.gather(padded, 1, index).reshape(-1, *self.shape)


class ConditionScaler(nn.Module):
    """Nine conditions to nine numbers of order one.

    ``linear`` standardises the nine with the training set's mean and standard deviation (constant columns get
    1). ``face`` and ``cell`` first put what the physics sees in the place of what the vertex and the momentum
    say: log E and log pz for E and pz; the impact point for px, py; vx, vy in half widths and vz in hundredths of
    the distance, so a beam that is off by a millimetre stays a small number. ``cell`` splits the impact point into
    the fibre cell, in the place of vx, vy, and the position within that cell: the vertex acts through them alone,
    and vz.
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
            place = conditions[:, VX : VY + 1] / geometry.half_width
            point = geometry.impact_point(conditions) / geometry.half_width
        # onnxruntime takes the last few elements of a tensor through other code than the rest. Sixteen columns leave
        # no such rest for any number of rows, so that a particle's logarithm does not depend on who else is asked for.
        logarithms = torch.stack([conditions[:, ENERGY], conditions[:, PZ]] * 8, dim=1).log()
        along = conditions[:, VZ, None].clamp(-_FURTHEST_VZ, _FURTHEST_VZ) * (100.0 / geometry.face_z)
        return torch.cat([logarithms[:, :1], place, along, point, logarithms[:, 1:2], conditions[:, MASS:]], dim=1)

    @torch.no_grad()
    def fit(self, conditions: Tensor) -> None:
        """Take mean and standard deviation from training conditions, shape (N, 9)."""
        columns = self.transformed(conditions).double()
        deviation = columns.std(dim=0, correction=0)
        self.mean.copy_(columns.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))
        if self.scaling != "linear":
            # Positions and the vertex have their scale from the geometry: symmetric about 0, never tiny.
            self.mean[VX:PZ] = 0.0
            self.scale[VX:PZ] = 1.0

    def forward(self, conditions: Tensor) -> Tensor:
        """Scaled conditions, shape (N, 9)."""
        scaled: Tensor = (self.transformed(conditions) - self.mean) / self.scale
        return scaled
