"""Several processes, one model: data parallel training over torch.distributed, started by `torchrun`.

Every process holds the whole network and a contiguous shard of each batch, in the order of their ranks. Losses,
gradients, batch statistics and dropout are those of the global batch, so one process tells the same story.
"""

from __future__ import annotations

import atexit
import os
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from cnnspec.errors import BackendError
from cnnspec_torch import devices

T = TypeVar("T")


def launched() -> bool:
    """Whether torchrun started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def init(device: str) -> str:
    """Joins the other processes by torchrun's environment (gloo; nccl on CUDA); returns this process' own device."""
    cuda = device == "cuda"
    if cuda:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    place = devices.device(device)
    if place.type not in ("cpu", "cuda"):
        raise BackendError(f"several processes train on cpu or cuda, not on `{device}`")
    if place.type == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    atexit.register(close)  # a group that is still there when Python ends may abort the process
    atexit.register(close)
    return device


def close() -> None:
    """Leaves the other processes."""
    if active():
        dist.destroy_process_group()


def active() -> bool:
    """Whether this process has joined others."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if active() else 0


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if active() else 1


def gather(value: T) -> list[T]:
    """What each process holds, by rank, in every process."""
    if not active():
        return [value]
    values: list[Any] = [None] * size()
    dist.all_gather_object(values, value)
    return values


def place_in_batch(n: int, device: torch.device) -> tuple[int, int]:
    """Where a shard of n samples begins in the global batch, and how many samples that has."""
    counts = torch.zeros(size(), dtype=torch.int64, device=device)
    counts[rank()] = n
    dist.all_reduce(counts)
    return int(counts[: rank()].sum()), int(counts.sum())


@torch.no_grad()
def add_up(tensors: list[Tensor]) -> None:
    """Replaces each tensor by its sum over the processes, in one message."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, total in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))


class _Sum(torch.autograd.Function):
    """The sum over the processes; what reaches one process' sum reaches every process' summand."""

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
    """Batch norm in training, its statistics taken over all processes: x [n, c, ...] -> y [n, c, ...].

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
