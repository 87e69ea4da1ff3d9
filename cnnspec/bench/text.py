"""The figures of a benchmark as text: a table with a bar chart for each workload."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from cnnspec.bench.results import BenchResult, LeftOut, WorkloadResult
from cnnspec.diagnostics import Paint
from cnnspec.view.fitting import GAP, width_of
from cnnspec.view.plan import plan_lines
from cnnspec.view.table import duration, percent, table_lines
from cnnspec.wording import cells

BAR = "█"
BUSY = 1.5
"""How far the median of undisturbed calls is from the best at most."""
WIDEST_BAR, SHORTEST_BAR = 30, 8

# What is left out first on a narrow terminal.
_DISPENSABLE = ("best ratio", "GFLOP/s", "best", "of peak", "samples/s")


def bench_lines(result: BenchResult, width: int | None, paint: Paint) -> list[str]:
    """Return the text of a benchmark; None is an unlimited width."""
    options, machine = result.options, result.machine
    threads = f"{options.threads} thread{'s' * (options.threads != 1)}"
    rounds = f"{options.rounds} round{'s' * (options.rounds != 1)} of {options.seconds:g} s"
    cpu = ", ".join(filter(None, (machine["cpu"], machine["instructions"])))
    versions = ", ".join(dict.fromkeys(result.versions.values()))
    lines = [
        f"{paint(result.spec, 'bold')}: {threads}, {options.dtype}, {rounds} for each peer",
        f"{cpu}; {versions}",
        f"a product of matrices reaches {result.peak / 1e9:,.1f} GFLOP/s",
    ]
    for found in result.workloads:
        lines += ["", *_workload_lines(found, result.peak, width, paint)]
    if disturbed := [m.peer for found in result.workloads for m in found.measurements if m.median > BUSY * m.best]:
        names = ", ".join(dict.fromkeys(disturbed))
        note = f"medians of {names} are above {BUSY:g} × the best: the machine was busy; repeat, or use fewer --threads"
        lines += ["", *textwrap.wrap(note, width or len(note))]
    for plan in result.plans:
        heading = paint(f"{plan.peer}, plan of forward, batch {plan.batch}", "bold")
        lines += ["", heading, *plan_lines(plan.steps, plan.batch, width, paint)]
    return lines


def left_out_lines(entries: Iterable[LeftOut]) -> list[str]:
    """Return a line for each peer and reason, with the workloads that it holds for."""
    workloads: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        workloads.setdefault((entry.peer, entry.reason), []).append(str(entry.workload) if entry.workload else "")
    return [
        f"{peer}{f' ({joined})' if (joined := '; '.join(filter(None, which))) else ''}: {reason}"
        for (peer, reason), which in workloads.items()
    ]


def _workload_lines(found: WorkloadResult, peak: float, width: int | None, paint: Paint) -> list[str]:
    measurements, reference = found.measurements, found.reference
    if reference is None:
        return [f"{paint(str(found.workload), 'bold')}: no peer was measured"]
    batch = found.workload.batch
    columns = {
        "peer": [m.peer for m in measurements],
        "median": [duration(m.median) for m in measurements],
        "best": [duration(m.best) for m in measurements],
        "samples/s": [_count(batch / m.median) for m in measurements],
        "GFLOP/s": [_count(found.flops / m.median / 1e9) for m in measurements],
        "of peak": [percent(found.flops / m.median / peak) for m in measurements],
        "ratio": [f"{m.ratio(reference):.2f}" for m in measurements],
        "best ratio": [f"{m.best_ratio(reference):.2f}" for m in measurements],
    }
    if not found.flops:
        del columns["GFLOP/s"], columns["of peak"]
    if len(measurements) == 1:
        del columns["ratio"], columns["best ratio"]
    longest = WIDEST_BAR
    if width is not None:
        for name in _DISPENSABLE:
            if width_of(columns) + len(GAP) + SHORTEST_BAR > width:
                columns.pop(name, None)
        longest = min(WIDEST_BAR, width - width_of(columns) - len(GAP))
    if longest >= SHORTEST_BAR:
        fastest = min(m.median for m in measurements)
        columns[""] = [BAR * max(1, round(longest * fastest / m.median)) for m in measurements]
    ratios = f"; ratios of times to {reference.peer}, below 1 is faster" if len(measurements) > 1 else ""
    heading = f"{paint(str(found.workload), 'bold')}{ratios}"
    if width is not None and cells(str(found.workload) + ratios) > width:
        heading = f"{paint(str(found.workload), 'bold')}; ratios to {reference.peer}"
    return [heading, *table_lines(columns, paint, ("peer", ""), width=width)]


def _count(value: float) -> str:
    """Return a number with at least two digits, and no more decimals than say something."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
