"""Worker processes, of which one runs at a time.

The threads of OpenBLAS, OpenMP and ONNX Runtime wait for their next call in a busy loop, some for a tenth of a second
and longer, and would take the CPU from the peer that is measured next. So every worker that is not in its turn is
stopped by a signal. Workers live as long as the benchmark: torch takes seconds to import, torch.compile a minute to
compile, and a fresh process for each round would spend far more time on that than on measuring.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from cnnspec.bench.options import Peer
from cnnspec.machine import python_process

SETTLING_SECONDS = 0.3
"""Where a process cannot be stopped: how long idle threads may spin before the next peer's turn."""


class PeerLeftOut(Exception):
    """A peer that lacks what is asked for."""


class PeerFailed(Exception):
    """A peer that crashed."""


class Worker:
    """A process with one peer; a context manager that ends it."""

    def __init__(self, peer: Peer, network: Path, threads: int) -> None:
        self.peer = peer
        self.log = network.with_name(f"{peer.label.encode().hex()}.log")
        with self.log.open("wb") as log:
            self.process = python_process("cnnspec.bench.worker", str(network), threads=threads, errors=log)
        self.stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Let the worker run until it has answered; raise PeerLeftOut or PeerFailed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._signal(stop=False)
        try:
            pickle.dump((method, arguments), self.process.stdin)
            self.process.stdin.flush()
            status, value = pickle.load(self.process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise PeerFailed(self._end()) from None
        self._signal(stop=True)
        if status == "left out":
            raise PeerLeftOut(value)
        if status == "failed":
            raise PeerFailed(value)
        return value

    def _signal(self, *, stop: bool) -> None:
        if os.name != "posix":
            time.sleep(SETTLING_SECONDS if stop else 0)
        elif stop != self.stopped:
            self.process.send_signal(signal.SIGSTOP if stop else signal.SIGCONT)
            self.stopped = stop

    def _end(self) -> str:
        """Return how the process ended."""
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return "its process no longer answers"
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        last = f": {lines[-1].strip()[:200]}" if lines else ""
        if status < 0:
            name = signal.Signals(-status).name
            memory = ", as the system does where memory runs out" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{memory}{last}"
        return f"its process ended with status {status}{last}"

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was written last, and nobody read
                    pipe.close()
