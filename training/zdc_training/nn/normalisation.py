"""Batch normalisation over the whole batch of all processes."""

import torch
from torch import Tensor, nn

from zdc_training.nn.distributed import processes, total
from zdc_training.nn.precision import widened


def _normalised(layer: nn.BatchNorm1d | nn.BatchNorm2d, values: Tensor) -> Tensor:
    """The rows of this process, normalised over all processes; `torch.nn.SyncBatchNorm` does this on GPUs only."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.momentum is not None
    exact = widened(values)
    axes = [axis for axis in range(values.dim()) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(values.dim())]
    count = processes() * (exact.numel() // exact.shape[1])
    mean = total(exact.sum(dim=axes)) / count
    centred = exact - mean.reshape(shape)
    variance = total(centred.square().sum(dim=axes)) / count
    with torch.no_grad():
        layer.running_mean.lerp_(mean, layer.momentum)
        layer.running_var.lerp_(variance * (count / (count - 1)), layer.momentum)
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked += 1
    result = centred * (variance + layer.eps).rsqrt().reshape(shape)
    if layer.affine:
        result = result * layer.weight.reshape(shape) + layer.bias.reshape(shape)
    return result.to(values.dtype)


class BatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation over all processes of values of shape (N, C).

    y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias, with mean and variance over the whole batch.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", arXiv 1502.03167.
    """

    def forward(self, values: Tensor) -> Tensor:  # noqa: D102
        return _normalised(self, values) if self.training and processes() > 1 else super().forward(values)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over all processes of maps of shape (N, C, rows, columns), see `BatchNorm1d`."""

    def forward(self, values: Tensor) -> Tensor:  # noqa: D102
        return _normalised(self, values) if self.training and processes() > 1 else super().forward(values)
