"""Devices and dtypes: those available, by name, and the dtypes of each device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def tf32(allowed: bool, torch_device: torch.device) -> Iterator[None]:
    """Allow or forbid CUDA, for the computations inside, to round float32 factors to 10 bits of mantissa."""
    if torch_device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
