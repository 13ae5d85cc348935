"""Number formats in training: products of the networks may be in bfloat16 on a GPU, all else is in float32."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor
from torch.profiler import record_function

P = ParamSpec("P")


def rounded(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """A context with matrix products and convolutions in the given precision, ``float32`` or ``bfloat16``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def widened(values: Tensor) -> Tensor:
    """Values in bfloat16 as float32; others unchanged."""
    return values.float() if values.dtype == torch.bfloat16 else values


def exact(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """A decorator: the products of a function of float32 tensors stay in float32, also inside `rounded`.

    Distances computed as x^2 + y^2 - 2 x y lose all their digits in bfloat16.
    """

    @wraps(loss)
    def computed(*inputs: P.args, **named: P.kwargs) -> Tensor:
        kind = next(value.device.type for value in inputs if isinstance(value, Tensor))
        with torch.autocast(kind, enabled=False), record_function(f"within: {getattr(loss, '__name__', 'sinkhorn')}"):
            return loss(*inputs, **named)

    return computed
