"""Networks on the backends beside plain PyTorch and ONNX Runtime: what `cnnspec bench` measures, over a fixed list.

    python benchmarks/networks.py [--only lenet vgg] [--compile] [--markdown]

Each peer runs in a process of its own, one at a time, in rounds that take turns. A ratio is a time by that of another
peer, below 1 is faster: the median of the ratios within a round, and in brackets the best time by the best.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cnnspec
from cnnspec.bench.options import ONNXRUNTIME, TORCH_COMPILE, TORCH_EAGER, Mode, Options, Peer, usable_cpus
from cnnspec.bench.results import BenchResult, Measurement, WorkloadResult
from cnnspec.bench.run import bench
from cnnspec.bench.text import bench_lines, duration, left_out_lines
from cnnspec.errors import CnnspecError
from cnnspec.view.table import table_lines

RATIOS = "ratios are medians within a round, and in brackets the best time by the best"

HERE = Path(__file__).parent
NUMPY, TORCH = Peer("numpy", "numpy"), Peer("torch", "torch")
FAST = Peer("numpy fast", "numpy", {"numerics": "fast"})


@dataclass(frozen=True)
class Case:
    """A network with its workloads."""

    name: str
    spec: str | Path
    mode: Mode
    batches: tuple[int, ...]
    fast: bool = False
    """Whether NumPy's numerics=fast is measured, too."""

    def peers(self, compiled: bool) -> list[Peer]:
        backends = [NUMPY, FAST, TORCH] if self.fast else [NUMPY, TORCH]
        against = [TORCH_EAGER, *([TORCH_COMPILE] if compiled else []), *([ONNXRUNTIME] * (self.mode == "forward"))]
        return [*backends, *map(Peer.against, against)]


CASES = (
    Case("lenet", "lenet", "forward", (1, 64, 256, 1024)),
    Case("vgg-like", HERE / "vgg_like.yaml", "forward", (1, 16), fast=True),
    Case("resnet18", "resnet18", "forward", (1,)),
    Case("mobilenet_v2", "mobilenet_v2", "forward", (1,)),
    Case("lenet-training", "lenet", "step", (1, 64, 256)),
    Case("resnet20-training", "resnet20", "step", (32,)),
)


def summary(results: list[BenchResult]) -> dict[str, list[str]]:
    """Return the columns of the table: the best time of each peer, and the ratios of ours to the others'."""
    rows = list(_rows(results))
    columns = {
        name: [row.get(name, "") for row in rows] for name in dict.fromkeys(name for row in rows for name in row)
    }
    order = ["network", "batch", *sorted((name for name in columns if name not in ("network", "batch")), key=_is_ratio)]
    return {name: columns[name] for name in order}


def _is_ratio(name: str) -> bool:
    return " / " in name


def _rows(results: list[BenchResult]) -> Iterator[dict[str, str]]:
    for result in results:
        for found in result.workloads:
            step = " training step" if found.workload.mode == "step" else ""
            yield {"network": f"{result.spec}{step}", "batch": str(found.workload.batch)} | _cells(found)


def _cells(found: WorkloadResult) -> dict[str, str]:
    by_peer = {m.peer: m for m in found.measurements}
    times = {name: duration(m.best) for name, m in by_peer.items()}
    ratios = {
        f"{ours} / {other}": _ratio(by_peer[ours], by_peer[other])
        for other in (TORCH_EAGER, ONNXRUNTIME)
        for ours in (NUMPY.label, FAST.label, TORCH.label)
        if ours in by_peer and other in by_peer
    }
    return times | ratios


def _ratio(ours: Measurement, other: Measurement) -> str:
    return f"{ours.ratio(other):.2f} ({ours.best_ratio(other):.2f})"


def markdown(columns: dict[str, list[str]]) -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for cells in zip(*columns.values(), strict=True):
        yield f"| {' | '.join(cells)} |"


def about(result: BenchResult) -> str:
    """Return when and where the figures were measured, in one line."""
    machine, options = result.machine, result.options
    cpu = ", ".join(filter(None, (machine["cpu"], machine["instructions"])))
    threads = f"{options.threads} thread{'s' * (options.threads != 1)}"
    return (
        f"{result.date[:10]}; {cpu}, {threads}; Python {machine['python']}, "
        f"{', '.join(dict.fromkeys(result.versions.values()))}; {options.rounds} rounds of {options.seconds:g} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(case.name for case in CASES)}")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile, too, which takes minutes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="time of each peer in a round")
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument("--markdown", action="store_true", help="print the table alone, as docs/performance.md has it")
    arguments = parser.parse_args()
    chosen = [case for case in CASES if not arguments.only or any(case.name.startswith(n) for n in arguments.only)]
    if not chosen:
        parser.error(f"--only: there is {', '.join(case.name for case in CASES)}")
    results: list[BenchResult] = []
    for case in chosen:
        options = Options(case.batches, (case.mode,), arguments.threads, arguments.rounds, arguments.seconds)
        try:
            result = bench(cnnspec.load(case.spec), case.peers(arguments.compile), options)
        except CnnspecError as error:
            print(f"{case.name}: {error}", file=sys.stderr)
            continue
        results.append(result)
        if not arguments.markdown:
            print("\n".join([*bench_lines(result, None, lambda text, role: text), ""]), flush=True)
        for line in left_out_lines([*result.left_out, *result.failures]):
            print(f"{case.name}, left out: {line}", file=sys.stderr)
    if not results:
        sys.exit(1)
    command = f"python benchmarks/networks.py {shlex.join(sys.argv[1:])}".strip()
    versions = {name: version for result in results for name, version in result.versions.items()}
    results[0].versions = versions
    table = summary(results)
    if arguments.markdown:
        print("\n".join([f"{about(results[0])}; `{command}`. Times are the best; {RATIOS}.", "", *markdown(table)]))
    else:
        left = ("network",)
        print(
            "\n".join(
                [
                    about(results[0]),
                    command,
                    f"times are the best; {RATIOS}",
                    "",
                    *table_lines(table, lambda text, role: text, left=left),
                ]
            )
        )


if __name__ == "__main__":
    main()
