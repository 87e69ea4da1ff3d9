"""The stable JSON form of a check (docs/json.md)."""

from __future__ import annotations

from typing import Any

from cnnspec.graph.costs import Summary, summarize
from cnnspec.graph.spec import Spec
from cnnspec.language.load import Report


def to_dict(report: Report, batch: int = 1, *, summary: Summary | None = None) -> dict[str, Any]:
    """Return the form that `check --format json` prints for one spec; one with errors has no layers and no totals.

    The costs are those of `summary`, or else for a batch of samples in float32.
    """
    if summary is None and report.spec is not None:
        summary = _summary(report.spec, batch)
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
        "totals": {**summary.totals._asdict(), "inference_bytes": summary.totals.inference_bytes} if summary else None,
        **several,
    }


def _summary(spec: Spec, batch: int) -> Summary:
    return summarize(spec.graph, batch, train=spec.train, trained=spec.trained_graph)
