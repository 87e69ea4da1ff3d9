"""Threads: Python threads that work side by side while BLAS keeps to one, whose setting is restored afterwards.

NumPy releases the interpreter's lock inside of each product and each pass, so that two Python threads compute at the
same time. BLAS' own threads would compete with them: calls from several threads wait for each other, and an idle
worker spins for a while after each product.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any

import threadpoolctl

Task = Callable[[], None]


@cache
def _blas() -> tuple[Any, ...]:
    """Return the controllers of the BLAS libraries that are loaded."""
    return tuple(threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers)


def blas_architectures() -> set[str]:
    """Return the processors that the BLAS libraries have chosen their kernels for, in their own words."""
    return {str(getattr(lib, "architecture", "")).lower() for lib in _blas()}


def default_threads() -> int:
    """Return how many threads BLAS would use, which its environment variables set: the default of a model."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits: list[int] = [lib.num_threads for lib in _blas() if lib.num_threads]
    return max(1, min([cpus, *limits]))


_lock = threading.Lock()
_users: set[object] = set()
_before: list[tuple[Any, int]] = []


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS at one thread while any thread is inside; the last one out restores the setting."""
    user = object()
    try:
        with _lock:
            if not _users:
                for lib in _blas():
                    threads = lib.num_threads
                    if threads != 1:
                        _before.append((lib, threads))
                        lib.set_num_threads(1)
            _users.add(user)
        yield
    finally:
        try:
            _leave(user)
        except BaseException:  # an interrupt
            _leave(user)
            raise


def _leave(user: object) -> None:
    """Restore the setting of BLAS behind the last user. To repeat it changes nothing."""
    with _lock:
        _users.discard(user)
        if not _users:
            for lib, threads in _before:
                lib.set_num_threads(threads)
            _before.clear()


class BrokenBarrier(Exception):
    """Another party ended with an error, and will not arrive."""


class Barrier:
    """Parties that wait for each other, again and again, for a few microseconds each time.

    A thread that sleeps takes some 40 µs to wake up; these give up the interpreter's lock and look again instead, and
    sleep only after a while.
    """

    def __init__(self, parties: int) -> None:
        self._arrivals = [0] * parties
        self._broken = False

    def wait(self, party: int) -> None:
        """Wait until every party has called this as often as `party`; raise BrokenBarrier after `abort`."""
        arrivals = self._arrivals
        arrivals[party] += 1
        mine, looks = arrivals[party], 0
        while min(arrivals) < mine:
            if self._broken:
                raise BrokenBarrier
            looks += 1
            time.sleep(0 if looks < 2000 else 1e-4)

    def abort(self) -> None:
        """Let those who wait raise BrokenBarrier."""
        self._broken = True


class _Job:
    """A task that is handed to a worker, and how it ended."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._begin, self._end = threading.Lock(), threading.Lock()
        self._end.acquire()
        self.is_done = False
        self.error: BaseException | None = None

    def cancel(self) -> None:
        """Never run the task, unless it has begun."""
        if self._begin.acquire(blocking=False):
            self.is_done = True

    def run(self) -> None:
        """Run the task, unless it is cancelled, and report that it is done."""
        if not self._begin.acquire(blocking=False):
            return
        try:
            self._task()
        except BaseException as error:  # handed to the thread that waits
            self.error = error
        self.is_done = True
        self._end.release()

    def wait(self) -> None:
        """Wait for the end of the task. An interrupted wait may be repeated."""
        if not self.is_done:
            self._end.acquire()


class _Worker(threading.Thread):
    """A thread that waits for jobs and runs them, one after the other; None ends it."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="cnnspec")
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """Run the jobs."""
        while (job := self.jobs.get()) is not None:
            job.run()
            del job  # while it waits, the thread keeps no model alive


class Team:
    """Threads that run tasks side by side; the caller's thread runs the first."""

    def __init__(self, size: int) -> None:
        self._workers = [_Worker() for _ in range(size - 1)]
        self._process = os.getpid()

    @property
    def is_alive(self) -> bool:
        """Whether its threads are in this process; a fork leaves them behind."""
        return self._process == os.getpid()

    def run(self, tasks: Sequence[Task], abort: Callable[[], None] = lambda: None) -> None:
        """Run the tasks, at most as many as there are threads, and wait for all; raise the first error.

        `abort` is called after an error in the caller's thread, for tasks that would wait for the first one. An
        interrupt (Ctrl-C) is an error, too: it is raised when no thread works on the caller's arrays any more.
        """
        jobs = [_Job(task) for task in tasks[1:]]
        errors: list[BaseException] = []
        are_handed_out = False
        try:
            for worker, job in zip(self._workers[: len(jobs)], jobs, strict=True):
                worker.jobs.put(job)
            are_handed_out = True
            tasks[0]()
        except BaseException as error:
            if not are_handed_out:  # an interrupt, behind which it is not known which of them a worker has
                for job in jobs:
                    job.cancel()
            abort()
            errors.append(error)
        while True:
            try:
                while not all(job.is_done for job in jobs):
                    for job in jobs:
                        job.wait()
                break
            except BaseException as error:  # an interrupt, at any place of the loop
                errors.append(error)
        errors += [job.error for job in jobs if job.error is not None]
        if errors:
            # One that only waited for another says less than the other's.
            raise min(errors, key=lambda error: isinstance(error, BrokenBarrier))

    def close(self) -> None:
        """End the threads."""
        if self.is_alive:
            for worker in self._workers:
                worker.jobs.put(None)
