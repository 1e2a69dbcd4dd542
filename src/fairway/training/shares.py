"""Data-parallel descent: each process has a share of every batch, and all take the same step.

A share's outputs are joined to those of the whole batch before the loss, which each process then has of
the whole batch. So the gradients of the shares add up to the gradient of one process for any loss (class
weights, a batch that does not divide, even a share without rows), up to the order of float32 sums.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# Knuth's multiplicative hash (The Art of Computer Programming 6.4): the draws of two processes share no
# seed within the 32 bits that the CPU's generator takes
SEEDS_OF_RANKS = 2_654_435_761


@dataclass(frozen=True)
class Share:
    """What one of the processes of a training has of each batch."""

    rank: int = 0
    of: int = 1

    @property
    def first(self) -> bool:
        """Say whether this is the process that keeps and tells how far the training is."""
        return self.rank == 0

    def bounds(self, count: int) -> tuple[int, int]:
        """Return where this share of so many rows begins and ends; shares differ by one row at most."""
        return count * self.rank // self.of, count * (self.rank + 1) // self.of

    def seed(self, seed: int) -> int:
        """Return the seed of this process's own draws: dropout and augmentation of its rows."""
        return seed + self.rank * SEEDS_OF_RANKS

    def whole(self, own: Tensor, *, count: int) -> Tensor:
        """Return the rows of all shares, of which the own ones carry a gradient."""
        if self.of == 1:
            return own
        start, stop = self.bounds(count)
        rows = torch.zeros((count, *own.shape[1:]), dtype=own.dtype, device=own.device)
        rows[start:stop] = own.detach()
        dist.all_reduce(rows)
        return torch.cat([rows[:start], own, rows[stop:]])

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return the network whose gradients are the mean over the processes; its batch norms see
        the whole batch."""
        if self.of == 1:
            return network
        _share_norms(network)
        return nn.parallel.DistributedDataParallel(network, forward_sync_buffers=False)

    def agreed(self, value: Any) -> Any:
        """Return the first process's value."""
        if self.of == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told)
        return told[0]


ALONE = Share()


class _Summed(torch.autograd.Function):
    """The sum over the processes; so is its gradient, since each has its part of the loss."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _sum(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _sum(gradients[0])


def _sum(values: Tensor) -> Tensor:
    total = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


class SharedBatchNorm(_BatchNorm):
    """Batch norm over the rows of all processes. torch's SyncBatchNorm does the same on GPUs only; one
    code for both is the one that is tested."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any: the module that this stands for has checked its own."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            alone: Tensor = super().forward(input)
            return alone
        across = [0, *range(2, input.dim())]
        shape = (1, -1, *(1 for _ in across[1:]))
        wide = input.float()
        rows = wide.new_full((1,), wide.numel() / wide.size(1))
        *_, count = sums = _added(torch.cat([wide.sum(across), rows]))
        mean = sums[:-1] / count
        apart = wide - mean.view(shape)
        variance = _added(apart.square().sum(across)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        normal = apart * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        answer: Tensor = normal.to(input.dtype)
        return answer

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Take the batch into the running statistics, as torch does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        part = self.momentum
        if part is None:  # the mean of all batches
            part = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, part)
        self.running_var.lerp_(variance, part)


def _added(values: Tensor) -> Tensor:
    added: Tensor = _Summed.apply(values)
    return added


def _share_norms(network: nn.Module) -> None:
    """Have each batch norm within see all rows; parameters and names stay."""
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, _BatchNorm):
                setattr(parent, name, _shared(norm))


def _shared(norm: _BatchNorm) -> SharedBatchNorm:
    made = SharedBatchNorm(
        norm.num_features,
        eps=norm.eps,
        momentum=norm.momentum,
        affine=norm.affine,
        track_running_stats=norm.track_running_stats,
    )
    made._parameters, made._buffers = norm._parameters, norm._buffers
    return made.train(norm.training)
