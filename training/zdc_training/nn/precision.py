"""Where numbers may be rounded: products of the networks in bfloat16 on a GPU, all else in float32."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor
from torch.profiler import record_function

P = ParamSpec("P")


def rounded(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Matrix products and convolutions within are in bfloat16, if that is the `precision`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def widened(values: Tensor) -> Tensor:
    """What was computed in bfloat16 as float32, all else as it is."""
    return values.float() if values.dtype == torch.bfloat16 else values


def exact(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """A function of float32 tensors whose products stay float32, wherever it is called.

    Distances by the expansion of a square lose all their digits in bfloat16.
    """

    @wraps(loss)
    def computed(*inputs: P.args, **named: P.kwargs) -> Tensor:
        kind = next(value.device.type for value in inputs if isinstance(value, Tensor))
        with torch.autocast(kind, enabled=False), record_function(f"within: {getattr(loss, '__name__', 'sinkhorn')}"):
            return loss(*inputs, **named)

    return computed
