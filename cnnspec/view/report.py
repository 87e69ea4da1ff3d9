"""The stable JSON form of a check (docs/json.md)."""

from __future__ import annotations

from typing import Any

from cnnspec.graph.costs import summarize
from cnnspec.language.load import Report


def to_dict(report: Report, batch: int = 1) -> dict[str, Any]:
    """Return the form that `check --format json` prints for one spec; one with errors has no layers and no totals."""
    summary = summarize(report.spec.graph, batch, optimizer=report.spec.optimizer) if report.spec else None
    graph = report.spec.graph if report.spec else None
    several: dict[str, Any] = {}
    if graph is not None and not graph.has_one_of_each:
        by_name = {name: node.name for name, node in graph.output_nodes.items()}
        several = {"inputs": list(graph.inputs), "outputs": by_name}
    return {
        "spec": report.name,
        "ok": report.ok,
        "diagnostics": [d.to_dict() for d in report.diagnostics],
        "layers": [
            {
                "name": row.name,
                "kind": row.kind,
                "inputs": list(row.inputs),
                "output": list(row.output),
                "pads": list(row.pads.flat) if row.pads else None,
                "parameters": row.parameters,
                "shares": row.shares,
                "macs": row.macs,
                "receptive_field": list(row.receptive_field) if row.receptive_field else None,
                "activation_bytes": row.activation_bytes,
            }
            for row in (summary.rows if summary else ())
        ],
        "totals": summary.totals._asdict() if summary else None,
        **several,
    }
