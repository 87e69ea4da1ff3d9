"""Arrays to the device, and tensors back to arrays: on CUDA beside the computation, from and to pinned memory.

A copy to a CUDA device runs on a stream of its own, so that the batch of the next step arrives while the device
computes this one. What goes back is copied on the stream of the computation, right behind what made it, and is waited
for when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from cnnspec.arrays import Array, Arrays, Pixels, Samples
from cnnspec.errors import BackendError


class Transfer:
    """Copies between NumPy and a device; images [n, c, h, w] get the model's memory format on the device.

    `dtype` is that of the weights, in which numbers come back. On the CPU, arrays and tensors share memory where they
    can.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, channels_last: bool) -> None:
        self.device = device
        self.dtype = dtype
        self.channels_last = channels_last

    def to_device(self, array: Samples) -> Tensor:
        """Return the array as a tensor on the device; of pixels, their numbers, which are looked up there."""
        tensor = self._looked_up(array) if isinstance(array, Pixels) else self._copied(array)
        return tensor.to(memory_format=torch.channels_last) if self.channels_last and tensor.ndim == 4 else tensor

    def _copied(self, array: Array) -> Tensor:
        # Tensors cannot be read-only, so a read-only array is copied.
        tensor = torch.from_numpy(array) if array.flags.writeable else torch.tensor(array)
        return _to_cuda(tensor, self.device) if self.device.type == "cuda" else tensor.to(self.device)

    def _looked_up(self, pixels: Pixels) -> Tensor:
        """Return the numbers of pixels, those that NumPy makes of them: [n, c, ...]."""
        values, levels = self._copied(pixels.values), self._copied(pixels.levels)
        # The levels of each channel follow those of the one before: [c, 1, ...], or one for all channels.
        first = torch.arange(0, levels.numel(), levels.shape[1], dtype=torch.int32, device=self.device)
        at = values + first.view(-1, *[1] * (values.ndim - 2))
        return levels.flatten().index_select(0, at.flatten()).view(values.shape).to(self.dtype)

    def to_array(self, tensor: Tensor) -> Array:
        """Return the tensor as an array, once it is computed."""
        if tensor.is_meta:
            raise BackendError("the device `meta` has shapes and no numbers")
        array: Array = self._numbers(tensor).cpu().numpy()
        return np.ascontiguousarray(array)

    def to_arrays(self, tensors: Mapping[str, Tensor]) -> Callable[[], Arrays]:
        """Begin to copy tensors; return a function that waits until they are there, and returns the arrays.

        What is done with the tensors afterwards does not change the arrays, other than on the CPU.
        """
        if self.device.type == "cuda":
            return _from_cuda({name: self._numbers(tensor) for name, tensor in tensors.items()}, self.device)
        arrays = {name: self.to_array(tensor) for name, tensor in tensors.items()}
        return lambda: arrays

    def _numbers(self, tensor: Tensor) -> Tensor:
        return tensor.detach().to(self.dtype)


@cache
def _stream_of_copies(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _to_cuda(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a copy that the current stream can use; the copy does not wait for what runs there."""
    computing, copying = torch.cuda.current_stream(device), _stream_of_copies(device)
    with torch.cuda.stream(copying):
        copy = tensor.pin_memory().to(device, non_blocking=True)
    computing.wait_stream(copying)
    # Its memory is of the copying stream, which would otherwise reuse it while the computing one still reads.
    copy.record_stream(computing)
    return copy


def _from_cuda(tensors: Mapping[str, Tensor], device: torch.device) -> Callable[[], Arrays]:
    copies = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
        for name, tensor in tensors.items()
    }
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record(torch.cuda.current_stream(device))
    return partial(_once, copied, copies)


def _once(copied: torch.cuda.Event, copies: Mapping[str, Tensor]) -> Arrays:
    copied.synchronize()
    # The pinned memory goes back to a pool, so that a caller who keeps an array does not hold it.
    return {name: copy.numpy().copy() for name, copy in copies.items()}
