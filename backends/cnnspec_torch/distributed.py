"""Several processes, one model: data parallel training over torch.distributed, started by `torchrun`.

Every process holds the whole network and a contiguous shard of each batch, in the order of their ranks. Losses,
gradients, batch statistics and dropout are those of the global batch, so that one process computes the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

# Its default arguments are the group that exists when it is imported. The optimizers import it, and would keep our
# group alive beyond its end, with threads that abort the process if one of them needs the interpreter while that ends.
import torch.distributed.nn
from torch import Tensor

from cnnspec.errors import BackendError
from cnnspec_torch import devices

T = TypeVar("T")


def launched() -> bool:
    """Return whether torchrun started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def process_group(device: str) -> Iterator[str]:
    """Join the processes that torchrun started, and leave them at the end; yields this process's own device.

    Without torchrun, or within another such group, the device is yielded as it is.
    """
    if not launched() or active():
        yield device
        return
    own = _join(device)
    try:
        yield own
        dist.barrier()  # rank 0 may host the store that the others still need
    finally:
        # No barrier after an error: a process that failed would never reach it.
        dist.destroy_process_group()


def _join(device: str) -> str:
    """Join by torchrun's environment (gloo, and nccl on CUDA), and return this process's own device."""
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
        if 0 < gpus < here:
            raise BackendError(f"{here} processes train here, each on a GPU, of which there are {gpus}: start {gpus}")
    torch_device = devices.device(device)
    if torch_device.type not in ("cpu", "cuda"):
        raise BackendError(f"several processes train on cpu or cuda, not on `{device}`")
    if torch_device.type == "cuda":
        torch.cuda.set_device(torch_device)
    # Objects are gathered through the CPU, so that nothing waits for the device.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch_device.type == "cuda" else "gloo")
    return device


def active() -> bool:
    """Return whether this process has joined others."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return the rank of this process, from 0."""
    return dist.get_rank() if active() else 0


def size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if active() else 1


def gather(value: T) -> list[T]:
    """Return the value of each process by rank, in every process."""
    if not active():
        return [value]
    values: list[Any] = [None] * size()
    dist.all_gather_object(values, value)
    return values


@torch.no_grad()
def sum_over_processes(tensors: list[Tensor]) -> None:
    """Replace each tensor by its sum over the processes, in one message."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, total in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))


class _Sum(torch.autograd.Function):
    """The sum over the processes, whose gradient is the sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.clone()
        dist.all_reduce(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        dx = dy.clone()
        dist.all_reduce(dx)
        return dx


def _total(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


def batch_norm(
    x: Tensor, running_mean: Tensor, running_var: Tensor, weight: Tensor, bias: Tensor, momentum: float, eps: float
) -> Tensor:
    """Return batch norm in training with the statistics of all processes: x [n, c, ...] -> y [n, c, ...].

    torch.nn.SyncBatchNorm does this on CUDA alone.
    """
    axes = [0, *range(2, x.ndim)]
    each = (-1, *[1] * (x.ndim - 2))
    wide = x.to(weight.dtype)
    n = _total(wide.new_tensor(x.numel() / x.shape[1]))
    mean = _total(wide.sum(axes)) / n
    centred = wide - mean.view(each)
    var = _total(centred.square().sum(axes)) / n
    with torch.no_grad():
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * n / (n - 1), momentum)
    y = centred * (weight * torch.rsqrt(var + eps)).view(each) + bias.view(each)
    return y.to(x.dtype)
