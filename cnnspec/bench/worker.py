"""A worker process: it builds one peer, and answers the requests of the process that started it.

    python -m cnnspec.bench.worker NETWORK

Requests and answers are pickled on the standard input and output; what libraries print goes to the standard error.
"""

from __future__ import annotations

import os
import pickle
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from cnnspec.bench.options import Network, Peer, Workload
from cnnspec.bench.results import Round
from cnnspec.bench.runner import Call
from cnnspec.bench.runners import runner_of
from cnnspec.errors import CnnspecError
from cnnspec.runtime.plan import PlanStep


class Session:
    """The peer, and the calls that it has prepared."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.calls: dict[Workload, Call] = {}

    def start(self, peer: Peer) -> str:
        """Build the peer; return its library and version."""
        self.runner = runner_of(self.network, peer)
        return self.runner.version

    def prepare(self, workload: Workload) -> Any:
        """Make a workload ready to be timed; return the values that are compared between peers."""
        values, self.calls[workload] = self.runner.prepare(workload)
        return values

    def measure(self, workload: Workload, seconds: float) -> Round:
        """Time the calls of a workload for so many seconds."""
        return timed(self.calls[workload], seconds)

    def plan(self, batch: int) -> list[PlanStep]:
        """Return the steps by which inference of a batch is computed."""
        return self.runner.plan(batch)


def timed(call: Call, seconds: float) -> Round:
    """Return the median and the best time of the calls within so many seconds, at least one, after one to warm up."""
    call()
    times = []
    end = time.perf_counter() + seconds
    now = 0.0
    while now < end:
        begin = time.perf_counter()
        call()
        now = time.perf_counter()
        times.append(now - begin)
    return Round(statistics.median(times), min(times), len(times))


def answer(session: Session, method: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """Return `("ok", value)`, `("left out", reason)` where the peer cannot do it, or `("failed", reason)`."""
    try:
        return "ok", getattr(session, method)(*arguments)
    except MemoryError as error:
        return "failed", f"out of memory{f': {error}' if str(error) else ''}"
    except CnnspecError as error:
        return "left out", str(error)
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        return "failed", f"{type(error).__name__}{f': {first}' if first else ''}"


def main() -> None:
    """Answer requests until the input ends."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    session = Session(pickle.loads(Path(sys.argv[1]).read_bytes()))
    while True:
        try:
            method, arguments = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(answer(session, method, arguments), answers)
        answers.flush()


if __name__ == "__main__":
    main()
