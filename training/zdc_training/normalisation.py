"""Batch normalisation over the whole batch, however many processes share it."""

import torch
from torch import Tensor, nn
from torch.distributed import all_reduce

from zdc_training.distributed import processes


class _Sum(torch.autograd.Function):
    """The sum over processes; every process's gradient is that of all."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        del ctx
        whole = values.clone()
        all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        del ctx
        whole = gradients[0].clone()
        all_reduce(whole)
        return whole


def _normalised(layer: nn.BatchNorm1d | nn.BatchNorm2d, values: Tensor) -> Tensor:
    """What `layer` makes of the rows of all processes, those of this one; torch's own does it on GPUs only."""
    axes = [axis for axis in range(values.dim()) if axis != 1]
    exact = values.float()
    count = torch.full((1,), exact.numel() / exact.shape[1], device=exact.device)
    sums: Tensor = _Sum.apply(torch.cat([count, exact.sum(dim=axes)]))  # type: ignore[no-untyped-call]
    total, mean = sums[0].detach(), sums[1:] / sums[0].detach()
    shape = [-1 if axis == 1 else 1 for axis in range(values.dim())]
    centred = exact - mean.reshape(shape)
    squares: Tensor = _Sum.apply(centred.square().sum(dim=axes))  # type: ignore[no-untyped-call]
    variance = squares / total
    with torch.no_grad():
        assert layer.running_mean is not None
        assert layer.running_var is not None
        assert layer.momentum is not None
        layer.running_mean.lerp_(mean, layer.momentum)
        layer.running_var.lerp_(squares / (total - 1), layer.momentum)
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked += 1
    result = centred * (variance + layer.eps).rsqrt().reshape(shape)
    if layer.affine:
        result = result * layer.weight.reshape(shape) + layer.bias.reshape(shape)
    return result.to(values.dtype)


class BatchNorm1d(nn.BatchNorm1d):
    """Of shape (N, C)."""

    def forward(self, values: Tensor) -> Tensor:  # noqa: D102
        return _normalised(self, values) if self.training and processes() > 1 else super().forward(values)


class BatchNorm2d(nn.BatchNorm2d):
    """Of shape (N, C, rows, columns)."""

    def forward(self, values: Tensor) -> Tensor:  # noqa: D102
        return _normalised(self, values) if self.training and processes() > 1 else super().forward(values)
