"""The table and the JSON form of the steps by which a backend computes a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnspec.diagnostics import Paint
from cnnspec.runtime.plan import PlanStep
from cnnspec.sizes import size_of
from cnnspec.view.fitting import Narrow
from cnnspec.view.table import duration, table_lines
from cnnspec.wording import format_shape

_LEFT = ("name", "layers", "method", "layout")
_NARROW = Narrow(("workspace", "threads", "memory", "layout", "shape", "layers", "estimated"), texts=("method",))


def plan_lines(steps: Sequence[PlanStep], batch: int, width: int | None, paint: Paint) -> list[str]:
    """Return the table of a plan for a batch, and a line with the totals; None is an unlimited width."""
    columns = {
        "name": [step.name for step in steps],
        "layers": [step.kinds for step in steps],
        "method": [step.method for step in steps],
        "layout": [step.layout for step in steps],
        "shape": [format_shape(step.shape) for step in steps],
        "memory": [size_of(step.bytes) for step in steps],
        "workspace": [size_of(step.workspace) if step.workspace else "" for step in steps],
        "threads": [str(step.threads) for step in steps],
        "estimated": [duration(step.estimated) for step in steps],
        "measured": [duration(step.measured) for step in steps],
    }
    total = _total(steps)
    parts = [
        f"{len(steps)} step{'s' * (len(steps) != 1)}",
        f"{duration(total['estimated'])} estimated",
        f"{duration(total['measured'])} measured",
        f"{size_of(total['workspace'])} of workspace, which the steps share",
    ]
    lines = [*table_lines(columns, paint, _LEFT, width=width, narrow=_NARROW), "", f"total: {', '.join(parts)}"]
    if (chunk := _chunk(steps)) < batch:
        lines.append(f"the batch of {batch:,} is computed in chunks of at most {chunk:,}: figures are of one chunk")
    return lines


def plan_to_dict(steps: Sequence[PlanStep], batch: int) -> dict[str, Any]:
    """Return the JSON form of a plan; times are in seconds, memory is in bytes."""
    return {
        "batch": batch,
        "chunk": _chunk(steps),
        "steps": [
            {
                "name": step.name,
                "layers": step.kinds,
                "method": step.method,
                "layout": step.layout,
                "shape": list(step.shape),
                "memory": step.bytes,
                "workspace": step.workspace,
                "threads": step.threads,
                "estimated": step.estimated,
                "measured": step.measured,
            }
            for step in steps
        ],
        "total": _total(steps),
    }


def _total(steps: Sequence[PlanStep]) -> dict[str, Any]:
    return {
        "estimated": sum((step.estimated for step in steps), 0.0),
        "measured": sum((step.measured for step in steps), 0.0),
        "workspace": max((step.workspace for step in steps), default=0),
    }


def _chunk(steps: Sequence[PlanStep]) -> int:
    return max((step.samples for step in steps), default=0)
