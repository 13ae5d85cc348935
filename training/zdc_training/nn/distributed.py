"""One training run in several processes (`torchrun`): who has which rows, and what is seen of the whole batch.

Every process takes an equal share of each batch. Random numbers of rows are drawn for the whole batch in every process,
and each keeps its own, so that they do not depend on the number of processes; terms that compare the showers of a
batch with each other see all of them. `DistributedDataParallel` takes the mean of the gradients over processes, which
is right for terms that are means over rows, and for terms of the gathered batch, which all processes compute alike:
the gradient of `gather` sums over processes what `DistributedDataParallel` divides by their number.
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
    """How many train together; 1 without `torchrun`."""
    return torch_distributed.get_world_size() if torch_distributed.is_initialized() else 1


def planned_processes() -> int:
    """How many `torchrun` started, also before they are joined."""
    return processes() if torch_distributed.is_initialized() else int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is; 0 writes what there is to write."""
    return torch_distributed.get_rank() if torch_distributed.is_initialized() else 0


def first_process() -> bool:
    """Whether this is the one of the processes of `torchrun` that speaks, also before and after they are joined."""
    return rank() == 0 if torch_distributed.is_initialized() else int(os.environ.get("RANK", "0")) == 0


def local_device(name: str) -> str:
    """The device of that name for this process: of several GPUs each process that `torchrun` starts gets its own."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and "LOCAL_RANK" in os.environ else name


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Within, this process trains with the others that `torchrun` started; alone, where it started none."""
    if planned_processes() == 1 or torch_distributed.is_initialized():
        yield
        return
    torch_distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        torch_distributed.destroy_process_group()


def wait_for_all() -> None:
    """Go on when every process is here."""
    if processes() > 1:
        torch_distributed.barrier()


def from_first(number: float, device: torch.device) -> float:
    """The number that the first process has."""
    if processes() == 1:
        return number
    shared_number = torch.tensor(float(number), device=device)
    torch_distributed.broadcast(shared_number, 0)
    return float(shared_number)


def share(rows: int) -> slice:
    """The rows of a batch of `rows` that are this process's."""
    mine = rows // processes()
    return slice(rank() * mine, (rank() + 1) * mine)


def normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Standard normal numbers for this process's rows, on the generator's device."""
    whole = torch.randn(rows * processes(), columns, generator=generator, device=generator.device)
    return whole[share(len(whole))]


def private(generator: torch.Generator) -> torch.Generator:
    """A generator for draws that cannot be shared out, as those of Poisson counts: another one in every process.

    In a single process it is the given one.
    """
    if processes() == 1:
        return generator
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    return torch.Generator(generator.device).manual_seed(seed + rank())


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes in the order of the batch; a gradient goes back to where each came from."""
    if processes() == 1:
        return rows
    whole: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return whole


def total(values: Tensor) -> Tensor:
    """The sum over processes; its gradient is that of all of them."""
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
        return whole[share(len(whole))]


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
    """A function of networks, in a precision; the gradients of their weights are means over the processes."""
    module = _Shared(function, networks, precision)
    # Normalisations and losses see the whole batch themselves, so every process has the same buffers.
    return DistributedDataParallel(module, broadcast_buffers=False) if processes() > 1 else module
