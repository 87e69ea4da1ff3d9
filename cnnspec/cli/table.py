"""The table of a network, as one would show it to a class."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cnnspec.graph import Graph, Node
from cnnspec.layers.base import by
from cnnspec.sizes import size_of
from cnnspec.summary import Row, Summary

# What is left out first where the terminal is too narrow.
_DISPENSABLE = ("reads", "memory", "layer", "step", "MACs", "pads ↑↓←→")


def network_table(graph: Graph, summary: Summary, width: int) -> Table:
    """One row a layer, with the columns that fit."""
    columns = _columns(graph, summary.rows)
    for name in _DISPENSABLE:
        if sum(max(map(len, cells)) + 2 for cells in columns.values()) + 2 <= width:
            break
        columns.pop(name, None)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for name in columns:
        left = name in ("name", "layer", "reads")
        style = "bold" if name == "name" else "dim" if name in ("layer", "reads", "step") else ""
        table.add_column(name, justify="left" if left else "right", style=style, no_wrap=True)
    for cells in zip(*(cells[1:] for cells in columns.values()), strict=True):
        table.add_row(*cells)
    return table


def _columns(graph: Graph, rows: tuple[Row, ...]) -> dict[str, list[str]]:
    """The cells of each column, below its heading."""
    columns = {
        "name": [row.name for row in rows],
        "layer": [describe(node) for node in graph.nodes],
        "reads": [", ".join(row.inputs) for row in rows],
        "output": [by(row.output) for row in rows],
        "pads ↑↓←→": [" ".join(map(str, row.pads)) if row.pads else "" for row in rows],
        "parameters": [f"{row.parameters:,}" if row.parameters else "" for row in rows],
        "MACs": [f"{row.macs:,}" if row.macs else "" for row in rows],
        "receptive field": [by(row.receptive_field) if row.receptive_field else "" for row in rows],
        "step": [_step(row) for row in rows],
        "memory": [size_of(row.activation_bytes) for row in rows],
    }
    straight = all(row.inputs == (before.name,) for before, row in pairwise(rows))
    if straight:
        del columns["reads"]
    return {name: [name, *cells] for name, cells in columns.items() if any(cells)}


def _step(row: Row) -> str:
    if row.step is None or len(row.output) != 3:
        return ""
    h, w = row.step
    return str(h) if h == w else f"{h}×{w}"


def describe(node: Node) -> str:
    """The layer's kind with what matters most of its fields: `conv 5×5 /2`."""
    layer: Any = node.layer
    parts = [node.kind]
    kernel = getattr(layer, "kernel", None)
    stride = getattr(layer, "stride", None)
    if kernel:
        parts.append(by(kernel))
    if stride and stride != (1, 1):
        parts.append(f"/{stride[0]}" if stride[0] == stride[1] else f"/{by(stride)}")
    if getattr(layer, "groups", 1) != 1 and node.kind != "group_norm":
        parts.append(f"in {layer.groups} groups")
    return " ".join(parts)


def totals_text(summary: Summary, batch: int) -> list[str]:
    """The lines below the table."""
    totals = summary.totals
    held = ", ".join(f"{kind} {p / totals.parameters:.1%}" for kind, p, _ in summary.shares if p)
    cost = sorted((share for share in summary.shares if share[2]), key=lambda share: -share[2])
    spent = ", ".join(f"{kind} {macs / totals.macs:.1%}" for kind, _, macs in cost)
    state = f", and {summary.state:,} running statistics" if summary.state else ""
    lines = [
        f"parameters  {totals.parameters:,}{state}; {size_of(totals.parameter_bytes)}" + (f": {held}" if held else ""),
        f"MACs        {totals.macs:,} ({totals.flops:,} FLOPs)" + (f": {spent}" if spent else ""),
        f"memory      {size_of(totals.peak_activation_bytes)} of activations at the peak for a batch of {batch}; "
        f"{size_of(totals.training_bytes)} to train it with {summary.optimizer}",
    ]
    if summary.shares and totals.parameters and summary.shares[0][1] > totals.parameters / 2:
        kind, count, _ = summary.shares[0]
        lines.append(f"The {kind} layers hold {count / totals.parameters:.1%} of the parameters.".replace("%", " %"))
    return [line.replace("%", " %") if "%" in line and " %" not in line else line for line in lines]


def explanation(graph: Graph, summary: Summary) -> list[str]:
    """Each layer's arithmetic with the numbers in it."""
    out = []
    for node, row in zip(graph.nodes[1:], summary.rows[1:], strict=True):
        read = " and ".join(by(shape) for shape in node.in_shapes)
        lines = list(node.layer.explain(node.in_shapes, node.shape))
        if node.pads is not None:
            lines.append(("pads", str(node.pads)))
        if node.parameters:
            learned = {k: p for k, p in node.parameters.items() if p.trainable}
            shapes = " + ".join(f"{key} {by(p.shape)}" for key, p in learned.items())
            lines.append(("parameters", f"{shapes} = {row.parameters:,}"))
        if row.macs:
            lines.append(("MACs", f"{node.layer.mac_formula(node.in_shapes, node.shape)} = {row.macs:,}"))
        if row.receptive_field:
            lines.append(("sees", by(row.receptive_field)))
        out.append(f"{node.name}: {describe(node)}, {read} → {by(node.shape)}")
        out += [f"    {what:<12}{formula}" for what, formula in lines]
    return out
