"""Threads: Python threads that work side by side while BLAS keeps to one, whose setting is restored afterwards.

NumPy releases the interpreter's lock inside of each product and each pass, so that two Python threads compute at the
same time. BLAS' own threads would compete with them: calls from several threads wait for each other, and an idle
worker spins for a while after each product.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import threadpoolctl

Task = Callable[[], None]


@cache
def _blas() -> tuple[Any, ...]:
    """Return the controllers of the BLAS libraries that are loaded."""
    return tuple(threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers)


def default_threads() -> int:
    """Return how many threads BLAS would use, which its environment variables set: the default of a model."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits: list[int] = [lib.num_threads for lib in _blas() if lib.num_threads]
    return max(1, min([cpus, *limits]))


_lock = threading.Lock()
_users = 0
_before: list[tuple[Any, int]] = []


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS at one thread while any thread is inside; the last one out restores the setting."""
    global _users
    with _lock:
        if _users == 0:
            for lib in _blas():
                threads = lib.num_threads
                if threads != 1:
                    _before.append((lib, threads))
                    lib.set_num_threads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                while _before:
                    lib, threads = _before.pop()
                    lib.set_num_threads(threads)


class _Worker(threading.Thread):
    """A thread that waits for a task, runs it, and reports that it is done."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="cnnspec")
        self.task: Task | None = None
        self.error: BaseException | None = None
        self.start_lock, self.done_lock = threading.Lock(), threading.Lock()
        self.start_lock.acquire()
        self.done_lock.acquire()
        self.start()

    def run(self) -> None:
        """Run tasks, one after the other."""
        while True:
            self.start_lock.acquire()
            task = self.task
            if task is None:
                return
            try:
                task()
            except BaseException as error:  # handed to the thread that waits
                self.error = error
            self.task = task = None
            self.done_lock.release()


class Team:
    """Threads that run tasks side by side; the caller's thread runs the first."""

    def __init__(self, size: int) -> None:
        self._workers = [_Worker() for _ in range(size - 1)]
        self._process = os.getpid()

    @property
    def is_alive(self) -> bool:
        """Whether its threads are in this process; a fork leaves them behind."""
        return self._process == os.getpid()

    def run(self, tasks: Sequence[Task]) -> None:
        """Run the tasks, at most as many as there are threads, and wait for all; raise the first error."""
        busy = self._workers[: len(tasks) - 1]
        for worker, task in zip(busy, tasks[1:], strict=True):
            worker.task = task
            worker.start_lock.release()
        errors: list[BaseException] = []
        try:
            tasks[0]()
        except BaseException as error:  # raised when the others are done
            errors.append(error)
        for worker in busy:
            worker.done_lock.acquire()
            if worker.error is not None:
                errors.append(worker.error)
                worker.error = None
        # A broken barrier is only what the others see of an error.
        errors.sort(key=lambda error: isinstance(error, threading.BrokenBarrierError))
        if errors:
            raise errors[0]

    def close(self) -> None:
        """End the threads."""
        if self.is_alive:
            for worker in self._workers:
                worker.start_lock.release()
