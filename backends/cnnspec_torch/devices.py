"""Devices and dtypes: those available, by name, and the dtypes of each device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import torch

from cnnspec.errors import BackendError

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def available() -> list[str]:
    """Return the devices of this machine, the CPU first."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def device(name: str) -> torch.device:
    """Return the device of that name; raise BackendError where it is absent. `meta` has shapes and no numbers."""
    if name != "meta" and name not in available():
        raise BackendError(f"there is no device `{name}` here; torch has {', '.join(available())}")
    return torch.device("cuda:0" if name == "cuda" else name)


def dtype(name: str, torch_device: torch.device) -> torch.dtype:
    """Return the dtype of that name; raise BackendError where torch or the device does not have it."""
    if name not in DTYPES:
        raise BackendError(f"there is no dtype `{name}`; torch computes in {', '.join(DTYPES)}")
    if name == "float64" and torch_device.type == "mps":
        raise BackendError("the device `mps` has no float64; it computes in float32, bfloat16, float16")
    return DTYPES[name]


def tf32(allowed: bool, torch_device: torch.device) -> AbstractContextManager[None]:
    """Allow or forbid CUDA, for the computations inside, to round float32 factors to 10 bits of mantissa."""
    return _tf32(allowed) if torch_device.type == "cuda" else nullcontext()


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def threads(count: int | None) -> AbstractContextManager[None]:
    """Compute with that many threads inside, and with as many as before afterwards; None changes nothing."""
    return nullcontext() if count in (None, torch.get_num_threads()) else _threads(count)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next call instead of returning it to the system each time.

    Memory that was returned is mapped and cleared again page by page, which takes up to half the time of a call whose
    activations have some megabytes. glibc returns what lies free beyond twice the largest block that it has seen freed,
    where a block of up to 32 MiB counts. Such a block, which nothing touches, makes that 64 MiB once and for all. Where
    the user has set these limits, they stay; other C libraries have their own.
    """
    torch.empty((32 << 20) - (16 << 10), dtype=torch.uint8)
