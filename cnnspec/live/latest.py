"""A thread that does the latest job: one that is asked for later takes the place of one that has not begun."""

from __future__ import annotations

import threading
from collections.abc import Callable

Job = Callable[[], None]


class Superseded(Exception):
    """Raised within a job that a newer one has made pointless."""


class Latest:
    """Runs jobs one at a time in a daemon thread, so that the process can end in the middle of one."""

    def __init__(self, name: str, on_error: Callable[[Exception], None]) -> None:
        self._pending: Job | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._on_error = on_error
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Do a job as soon as the present one is over; one that is waiting is dropped."""
        with self._changed:
            self._pending = job
            self._changed.notify_all()

    def checkpoint(self) -> None:
        """Raise Superseded where a newer job is waiting; for jobs that take long."""
        if self._pending is not None or self._closed:
            raise Superseded

    def pause(self, seconds: float) -> None:
        """Wait within a job; raise Superseded as soon as a newer one is there."""
        with self._changed:
            if self._changed.wait_for(lambda: self._pending is not None or self._closed, seconds):
                raise Superseded

    def close(self) -> None:
        """Do no further job; the present one ends at its next checkpoint."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until the thread is over."""
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending is not None or self._closed)
                job, self._pending = self._pending, None
                if self._closed or job is None:
                    return
            try:
                job()
            except Superseded:
                continue
            except Exception as error:  # the thread has to outlive any fault in a job
                self._on_error(error)
