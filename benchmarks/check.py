"""What `cnnspec check` costs: as a process beside its bare imports, and for each layer of long specs.

    python benchmarks/check.py [--rounds 15]

Processes run in turn, so that a busy machine disturbs all alike; both the least and the median are printed, of wall
time and of processor time. Bytecode is cached beforehand, as it is after an installation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cnnspec import bundled
from cnnspec.diagnostics import Source
from cnnspec.graph.costs import summarize
from cnnspec.language import load as api
from cnnspec.language import yaml_tree as source
from cnnspec.language.build import build
from cnnspec.language.files import open_base

TARGET = 1.3
BARE = """\
import yaml, pydantic, click, rich.table
class Model(pydantic.BaseModel):
    n: int
Model(n=1)
"""
COMMANDS = {
    "python alone": ["-c", "pass"],
    "bare imports": ["-c", BARE],
    "check lenet": ["-m", "cnnspec", "check", "lenet.yaml"],
    "check resnet50": ["-m", "cnnspec", "check", "resnet50.yaml"],
}
LENGTHS = (1_000, 2_000, 5_000, 10_000)


class Cost(NamedTuple):
    """Seconds of one run."""

    wall: float
    processor: float


def run(command: Sequence[str], environment: dict[str, str]) -> Cost:
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def processes(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as cache:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = cache
        for command in COMMANDS.values():
            run(command, environment)
        costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
        for _ in range(rounds):
            for name, command in COMMANDS.items():
                costs[name].append(run(command, environment))
    print(f"{'process, ms':<16}{'least':>8}{'median':>8}{'processor':>11}")
    for name, found in costs.items():
        wall = [cost.wall for cost in found]
        shown = (min(wall), statistics.median(wall), min(cost.processor for cost in found))
        print(f"{name:<16}{shown[0] * 1e3:>8.0f}{shown[1] * 1e3:>8.0f}{shown[2] * 1e3:>11.0f}")
    bare, ours = costs["bare imports"], costs["check lenet"]
    least = min(c.wall for c in ours) / min(c.wall for c in bare)
    median = statistics.median(a.wall / b.wall for a, b in zip(ours, bare, strict=True))
    processor = min(c.processor for c in ours) / min(c.processor for c in bare)
    print(f"check lenet / bare imports: {least:.2f} least, {median:.2f} median, {processor:.2f} processor time")
    print(f"target: at most {TARGET}\n")


def long_spec(layers: int) -> str:
    """A plain network: convolution, norm, activation, over and over."""
    block = "  - conv: {channels: 16, kernel: 3, padding: same, bias: false}\n  - batch_norm\n  - relu\n"
    rest = "".join(f"  - {kind}\n" for kind in ("tanh", "sigmoid")[: layers % 3])
    return "input: [16, 32, 32]\nlayers:\n" + block * (layers // 3) + rest


def best(work: Callable[[], object], times: int = 3) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def layers() -> None:
    print(f"{'layers':>8}{'check, ms':>11}{'µs a layer':>12}{'of it YAML':>12}{'graph':>8}{'summary':>9}")
    for count in LENGTHS:
        text = Source("long.yaml", long_spec(count))
        report = api.check(text)
        assert report.spec.graph is not None
        assert len(report.spec.graph.nodes) == count + 1
        graph = report.spec.graph
        parsing = best(lambda text=text: source.parse(text))
        checking = best(lambda text=text: build(text, open_base))
        summing = best(lambda graph=graph: summarize(graph))
        each = [seconds / count * 1e6 for seconds in (checking + summing, parsing, checking - parsing, summing)]
        print(
            f"{count:>8,}{(checking + summing) * 1e3:>11.0f}{each[0]:>12.1f}"
            f"{each[1]:>12.1f}{each[2]:>8.1f}{each[3]:>9.1f}"
        )


def zoo() -> None:
    names = [name for name in bundled.names() if "/" not in name]
    reports = [api.check(name) for name in names]
    assert all(report.ok for report in reports)
    seconds = best(lambda: [api.check(name) for name in names])
    nodes = sum(len(report.spec.graph.nodes) for report in reports if report.spec.graph)
    print(f"\nthe {len(names)} bundled networks, {nodes:,} layers, in one process: {seconds * 1e3:.0f} ms")
    text = Source(
        "blocks.yaml",
        "input: [8, 32, 32]\nblocks: {unit: {params: {c: int}, layers: [conv: {channels: $c, kernel: 1}, relu]}}\n"
        "layers:\n  - repeat: {times: 5000, layers: [unit: $(4 * 2)]}\n",
    )
    print(f"an expansion to 10,000 layers: {best(lambda: api.check(text)) * 1e3:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    processes(arguments.rounds)
    layers()
    zoo()


if __name__ == "__main__":
    main()
