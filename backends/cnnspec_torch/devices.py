"""Devices and dtypes: those available, by name, and the dtypes of each device."""

from __future__ import annotations

import os
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
        raise BackendError(f"there is no device `{name}` here; torch has {', '.join(available())}{_why_absent(name)}")
    return torch.device("cuda:0" if name == "cuda" else name)


def _why_absent(name: str) -> str:
    """Return why there is no CUDA device at all, and what to do, where one was asked for."""
    if name.partition(":")[0] != "cuda" or torch.cuda.is_available():
        return ""
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return (
            f": PyTorch {torch.__version__} is built without CUDA; https://pytorch.org/get-started has builds with it"
        )
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except RuntimeError as error:  # of a driver that is missing or too old, for which PyTorch has good messages
        return f": {error}"
    return ""


def dtype(name: str, torch_device: torch.device) -> torch.dtype:
    """Return the dtype of that name; raise BackendError where torch or the device does not have it."""
    if name not in DTYPES:
        raise BackendError(f"there is no dtype `{name}`; torch computes in {', '.join(DTYPES)}")
    if name == "float64" and torch_device.type == "mps":
        raise BackendError("the device `mps` has no float64; it computes in float32, bfloat16, float16")
    return DTYPES[name]


def memory(torch_device: torch.device) -> tuple[int, int]:
    """Return the bytes of a CUDA device that this process can have, with what it holds already, and all of them."""
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(torch_device)
    return free + torch.cuda.memory_reserved(torch_device), total


def channels_last_is_faster(torch_device: torch.device, dtype: torch.dtype, tf32: bool) -> bool:
    """Return whether images are to be stored as channels_last, where the user has not chosen."""
    # Measured on the CPU: float32 takes 0.6 to 0.95 of the time, float64 1.4 to 2 times it, and so does a step in
    # bfloat16. CUDA's tensor cores, which compute half precision and TF32, read images in this order.
    if torch_device.type == "cuda":
        return dtype in (torch.float16, torch.bfloat16) or (tf32 and dtype == torch.float32)
    return torch_device.type == "cpu" and dtype == torch.float32


WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""The variable by which cuBLAS fixes its workspace, without which its results may differ in the last bits."""


def cuda_settings(
    torch_device: torch.device, tf32: bool, autotune: bool, deterministic: bool
) -> AbstractContextManager[None]:
    """Make a CUDA device the current one, and set how it computes inside; on other devices nothing changes.

    `tf32` lets it round the factors of float32 products to 10 bits of mantissa, `autotune` lets cuDNN choose methods by
    timed runs, `deterministic` forbids methods whose results differ from run to run.
    """
    if torch_device.type != "cuda":
        return nullcontext()
    return _cuda_settings(torch_device, tf32, autotune, deterministic)


@contextmanager
def _cuda_settings(torch_device: torch.device, tf32: bool, autotune: bool, deterministic: bool) -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    strict = torch.are_deterministic_algorithms_enabled()
    matmul.allow_tf32 = cudnn.allow_tf32 = tf32
    cudnn.benchmark, cudnn.deterministic = autotune and not deterministic, deterministic
    if deterministic:
        os.environ.setdefault(WORKSPACE, ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        with torch.cuda.device(torch_device):  # whose current stream is meant
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
        if deterministic:
            torch.use_deterministic_algorithms(strict)


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
