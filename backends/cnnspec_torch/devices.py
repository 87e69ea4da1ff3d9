"""Devices and number formats: which are there, and what runs on which."""

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


def present() -> list[str]:
    """The devices that this machine has, the CPU first."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def device(name: str) -> torch.device:
    """The device of that name, or a BackendError that lists those present; `meta` has shapes and no numbers."""
    if name != "meta" and name not in present():
        raise BackendError(f"there is no device `{name}` here; torch has {', '.join(present())}")
    return torch.device("cuda:0" if name == "cuda" else name)


def dtype(name: str, on: torch.device) -> torch.dtype:
    """The number format of that name, or a BackendError where torch or the device has none such."""
    if name not in DTYPES:
        raise BackendError(f"there is no dtype `{name}`; torch computes in {', '.join(DTYPES)}")
    if name == "float64" and on.type == "mps":
        raise BackendError("the device `mps` has no float64; it computes in float32, bfloat16, float16")
    return DTYPES[name]


@contextmanager
def tf32(allowed: bool, on: torch.device) -> Iterator[None]:
    """Says, for the computations inside alone, whether CUDA may round float32 factors to 10 bits of mantissa."""
    if on.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
