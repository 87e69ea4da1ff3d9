"""CUDA graphs: the kernels of a call, recorded once and launched together.

A network of small layers takes longer to launch from Python, kernel by kernel, than to compute. A recorded call
launches all its kernels at once; it reads and writes the same memory each time, so that it needs the same shapes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from cnnspec.errors import BackendError

T = TypeVar("T")

WARM_UPS = 3
"""Calls before the recording, in which libraries choose methods and allocate what they keep."""
MOST = 8
"""How many recordings are kept, one for each set of shapes, since each holds its memory."""


def record(function: Callable[[], T]) -> tuple[T, Callable[[], None]]:
    """Record a call; return its result, whose numbers are those of the latest replay, and what replays it."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        # Other threads may use the device meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            result = function()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise BackendError(
            f"a CUDA graph cannot record this network; without `cuda_graphs` it runs: {error}"
        ) from error
    return result, graph.replay


class Recorded(Generic[T]):
    """A function of tensors that is recorded for each set of shapes, and replayed.

    The result is overwritten by the next call. `prepare` is called before each recording and returns what is called
    after it, to undo what the warming up has changed.
    """

    def __init__(
        self, function: Callable[..., T], prepare: Callable[[], Callable[[], None]] = lambda: lambda: None
    ) -> None:
        self.function = function
        self.prepare = prepare
        self._calls: OrderedDict[tuple[object, ...], tuple[list[Tensor], T, Callable[[], None]]] = OrderedDict()

    def __call__(self, *tensors: Tensor) -> T:
        """Return what the function returns for the tensors."""
        key = tuple((x.shape, x.dtype, x.stride()) for x in tensors)
        if key not in self._calls:
            while len(self._calls) >= MOST:
                self._calls.popitem(last=False)
            self._calls[key] = self._recorded(tensors)
        self._calls.move_to_end(key)
        own, result, replay = self._calls[key]
        for mine, given in zip(own, tensors, strict=True):
            mine.copy_(given)
        replay()
        return result

    def _recorded(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], T, Callable[[], None]]:
        own = [x.clone() for x in tensors]
        undo = self.prepare()
        try:
            result, replay = record(lambda: self.function(*own))
        finally:
            undo()
        return own, result, replay
