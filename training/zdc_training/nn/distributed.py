"""One training run in several processes (`torchrun`): the rows of each process, and sums over all processes.

Every process has an equal share of each batch. Every process draws the random numbers of the whole batch and uses those
of its own rows, so the numbers do not depend on the number of processes. Terms that compare showers with each other
use the whole batch. `DistributedDataParallel` averages the gradients over processes. This is correct for means over
rows. It is also correct for terms of the gathered batch, which every process computes: the gradient of `gather` is a
sum over processes, which `DistributedDataParallel` divides by their number.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as torch_distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zdc_training.nn.precision import rounded


def processes() -> int:
    """The number of processes of this training; 1 without `torchrun`."""
    return torch_distributed.get_world_size() if torch_distributed.is_initialized() else 1


def planned_processes() -> int:
    """The number of processes that `torchrun` started, also before `joined`."""
    return processes() if torch_distributed.is_initialized() else int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process; process 0 writes all files."""
    return torch_distributed.get_rank() if torch_distributed.is_initialized() else 0


def first_process() -> bool:
    """Whether this is process 0, which writes and prints; also valid outside `joined`."""
    return rank() == 0 if torch_distributed.is_initialized() else int(os.environ.get("RANK", "0")) == 0


def local_device(name: str) -> str:
    """The device for this process: with several GPUs, each process of `torchrun` has one of them."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and "LOCAL_RANK" in os.environ else name


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """A context in which the processes of `torchrun` train together; without `torchrun`, it does nothing."""
    if planned_processes() == 1 or torch_distributed.is_initialized():
        yield
        return
    torch_distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        torch_distributed.destroy_process_group()


def wait_for_all() -> None:
    """Wait until every process has called this function."""
    if processes() > 1:
        torch_distributed.barrier()


def from_first(number: float, device: torch.device) -> float:
    """The number given by process 0, in every process."""
    if processes() == 1:
        return number
    shared_number = torch.tensor(float(number), device=device)
    torch_distributed.broadcast(shared_number, 0)
    return float(shared_number)


def own_rows(rows: int) -> slice:
    """Indices of the rows that this process computes, of a batch of `rows`."""
    mine = rows // processes()
    return slice(rank() * mine, (rank() + 1) * mine)


def normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Standard normal numbers for the rows of this process, shape (rows, columns), on the generator's device.

    Parameters
    ----------
    rows : Number of rows of this process.
    """
    whole = torch.randn(rows * processes(), columns, generator=generator, device=generator.device)
    return whole[own_rows(len(whole))]


def private(generator: torch.Generator) -> torch.Generator:
    """A generator with another stream in every process, for draws whose count is not known in advance (Poisson counts).

    With a single process, it is the given generator.
    """
    if processes() == 1:
        return generator
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    return torch.Generator(generator.device).manual_seed(seed + rank())


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes in the order of the batch; gradients flow back to the process of each row."""
    if processes() == 1:
        return rows
    whole: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return whole


def total(values: Tensor) -> Tensor:
    """The sum over processes; its gradient is summed over processes too."""
    if processes() == 1:
        return values
    whole: Tensor = _Total.apply(values)  # type: ignore[no-untyped-call]
    return whole


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        del ctx
        return _reduced(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        return _reduced(gradients[0])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        del ctx
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(processes())]
        torch_distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        whole = _reduced(gradients[0])
        return whole[own_rows(len(whole))]


def _reduced(values: Tensor) -> Tensor:
    whole = values.contiguous().clone()
    torch_distributed.all_reduce(whole)
    return whole


class _Shared(nn.Module):
    def __init__(self, function: Callable[..., Any], networks: Sequence[nn.Module], precision: str) -> None:
        super().__init__()
        self.function, self.precision = function, precision
        self.networks = nn.ModuleList(networks)

    def forward(self, *inputs: object) -> object:
        with rounded(next(self.parameters()).device, self.precision):
            return self.function(*inputs)


def shared(function: Callable[..., Any], networks: Sequence[nn.Module], precision: str = "float32") -> nn.Module:
    """A module that calls a function of networks; the gradients of their weights are averaged over processes.

    Parameters
    ----------
    networks : All networks whose weights the function uses.
    precision : See `zdc_training.nn.precision.rounded`.
    """
    module = _Shared(function, networks, precision)
    # Normalisations and losses use the whole batch, so the buffers are equal in all processes.
    return DistributedDataParallel(module, broadcast_buffers=False) if processes() > 1 else module
