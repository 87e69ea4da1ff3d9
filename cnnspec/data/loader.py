"""Batches that are loaded ahead of their use: by a thread, or by worker processes that decode files."""

from __future__ import annotations

import pickle
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any, Self

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.augment import Augmentation
from cnnspec.data.records import Records
from cnnspec.data.split import Loaded, Split, Subset
from cnnspec.errors import CnnspecError, DataError
from cnnspec.machine import python_process

MODULE = "cnnspec.data.worker"


class Loader:
    """Loads batches in order, the next one while one is used; a context manager that ends its processes.

    With `workers`, as many processes decode files (and augment them): each has at most one batch ready. What they
    return does not depend on their number. Splits in memory need none.
    """

    def __init__(self, workers: int = 0) -> None:
        if workers < 0:
            raise DataError(f"there are 0 workers or more, not {workers}")
        self.workers = workers
        self.waited = 0.0
        """The time that batches were waited for, in seconds."""
        self._pool: Pool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; they start anew when they are needed."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def batches(
        self,
        split: Split,
        parts: Sequence[Array],
        augmentation: Augmentation | None = None,
        finish: Callable[[int, Loaded], Loaded] = lambda number, batch: batch,
        *,
        pixels: bool = False,
    ) -> Iterator[Loaded]:
        """Yield the samples of a split by their indices, a batch for each part, changed by the augmentation.

        `finish` is called with the number of each batch and the batch, ahead of its use. With `pixels`, batches are
        loaded as `Pixels` where the split has pixels.
        """
        load = self._by_processes if self.workers and _decodes(split) else _by_this_process
        found = load(split, parts, augmentation, pixels)
        loaded = (finish(number, batch) for number, batch in enumerate(found))
        with ThreadPoolExecutor(1, thread_name_prefix="load") as thread:
            pending = [thread.submit(next, loaded) for _ in parts[:1]]
            for number in range(1, len(parts) + 1):
                began = time.perf_counter()
                batch = pending.pop().result()
                self.waited += time.perf_counter() - began
                pending = [thread.submit(next, loaded) for _ in parts[number : number + 1]]
                yield batch

    def _by_processes(
        self, split: Split, parts: Sequence[Array], augmentation: Augmentation | None, pixels: bool
    ) -> Iterator[Loaded]:
        if self._pool is None:
            self._pool = Pool(self.workers)
        left = len(parts)
        try:
            for batch in self._pool.batches(split, parts, augmentation, pixels):
                left -= 1
                yield batch
        finally:
            if left:  # the processes still have batches of these
                self.close()


def _by_this_process(
    split: Split, parts: Sequence[Array], augmentation: Augmentation | None, pixels: bool
) -> Iterator[Loaded]:
    for indices in parts:
        yield split.load(indices, augmentation, pixels=pixels)


def _decodes(split: Split) -> bool:
    while isinstance(split, Subset):
        split = split.split
    return isinstance(split, Records)


class Pool:
    """Worker processes, each of which loads every n-th batch; they end when this process does, however it ends."""

    def __init__(self, workers: int) -> None:
        self._processes = [python_process(MODULE, threads=1) for _ in range(workers)]
        self._splits: list[Split] = []
        """The splits that the workers have."""

    def batches(
        self, split: Split, parts: Sequence[Array], augmentation: Augmentation | None, pixels: bool
    ) -> Iterator[Loaded]:
        """Yield a batch for each part in order, as the workers load them."""
        number = next((i for i, known in enumerate(self._splits) if known is split), None)
        count = len(self._processes)
        for i, process in enumerate(self._processes):
            self._send(process, (split if number is None else number, parts[i::count], augmentation, pixels))
        if number is None:
            self._splits.append(split)
        for i in range(len(parts)):
            yield self._receive(self._processes[i % count])

    def _send(self, process: subprocess.Popen[bytes], request: Any) -> None:
        assert process.stdin is not None
        try:
            pickle.dump(request, process.stdin)
            process.stdin.flush()
        except OSError:
            raise DataError(_end_of(process)) from None

    def _receive(self, process: subprocess.Popen[bytes]) -> Loaded:
        assert process.stdout is not None
        try:
            fault, value = read_answer(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise DataError(_end_of(process)) from None
        if isinstance(fault, CnnspecError):
            raise fault
        if fault is not None:
            raise RuntimeError(f"a worker process failed:\n{fault}")
        loaded: Loaded = value
        return loaded

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what was written last, and nobody read
                        pipe.close()


def _end_of(process: subprocess.Popen[bytes]) -> str:
    """Return a message on a worker process that ended by itself."""
    try:
        status = process.wait(5)
    except subprocess.TimeoutExpired:
        return "a worker process that decodes images no longer answers"
    if status >= 0:
        return f"a worker process that decodes images ended with status {status}"
    name = signal.Signals(-status).name
    memory = ", as the system does where memory runs out: fewer workers take less" if name == "SIGKILL" else ""
    return f"a worker process that decodes images was ended by {name}{memory}"


def write_answer(stream: IO[bytes], value: Any) -> None:
    """Write a value to a pipe, its arrays without a copy."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    pickle.dump((head, [view.nbytes for view in views]), stream)
    for view in views:
        stream.write(view)
    stream.flush()


def read_answer(stream: IO[bytes]) -> Any:
    """Return what `write_answer` wrote; raise EOFError where the pipe ends before."""
    head, sizes = pickle.load(stream)
    buffers = [np.empty(size, np.uint8) for size in sizes]
    for buffer in buffers:
        if stream.readinto(buffer) < len(buffer):  # type: ignore[attr-defined]
            raise EOFError
    return pickle.loads(head, buffers=buffers)
