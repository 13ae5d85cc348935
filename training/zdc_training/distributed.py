"""One training run in several processes: who has which rows, random numbers, and what is seen of the whole batch.

Every process takes an equal share of each batch. Random numbers of rows are drawn for the whole batch in every process,
and each keeps its own, so that they do not depend on the number of processes; terms that compare the showers of a
batch with each other see all of them. `DistributedDataParallel` takes the mean of the gradients over processes, which
is right for terms that are means over rows, and for terms of the gathered batch, which all processes compute alike:
the gradient of `gather` sums over processes what `DistributedDataParallel` divides by their number.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import all_gather, all_reduce, get_rank, get_world_size, is_initialized
from torch.nn.parallel import DistributedDataParallel


def processes() -> int:
    """How many train together; 1 without `torchrun`."""
    return get_world_size() if is_initialized() else 1


def rank() -> int:
    """Which of them this is; 0 writes what there is to write."""
    return get_rank() if is_initialized() else 0


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


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        del ctx
        parts = [torch.empty_like(rows) for _ in range(processes())]
        all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        whole = gradients[0].contiguous()
        all_reduce(whole)
        return whole[share(len(whole))]


class _Joint(nn.Module):
    def __init__(self, model: nn.Module, objective: nn.Module) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, *inputs: object) -> object:
        return self.objective(self.model, *inputs)


def parallel(model: nn.Module, objective: nn.Module) -> nn.Module:
    """`objective` of `model` and further inputs; its gradients are means over the processes."""
    joint = _Joint(model, objective)
    return DistributedDataParallel(joint, broadcast_buffers=False) if processes() > 1 else joint
