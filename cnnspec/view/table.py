"""Tables in plain text, and the table of a network."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any

from cnnspec.diagnostics import Paint
from cnnspec.graph.costs import Row, Summary
from cnnspec.graph.graph import Graph, Node
from cnnspec.sizes import size_of
from cnnspec.view.fitting import GAP, Columns, Narrow, clipped, fitted, width_of, widths
from cnnspec.wording import cells, format_shape

_READS = 20
"""Cells of the names of inputs on a terminal: their ends say most."""
PADS = "pads"
_ARROWS = {1: "←→", 2: "↑↓←→", 3: "↙↗↑↓←→"}
"""The sides before and after each axis, by the number of axes: front and back of a volume are ↙ and ↗."""

LEFT = ("name", "layer", "shares", "reads", "handed out as")
"""The columns of a network's table that are text."""

# The order in which columns are kept on a narrow terminal.
_FIRST = (
    "name",
    "output",
    "parameters",
    "handed out as",
    "reads",
    "shares",
    PADS,
    "receptive field",
    "MACs",
    "step",
    "layer",
    "memory",
)


def table_lines(
    columns: Columns,
    paint: Paint,
    left: Collection[str] = ("name",),
    *,
    width: int | None = None,
    narrow: Narrow = Narrow(),  # noqa: B008  # it is frozen
) -> list[str]:
    """Return a heading, a rule and a line for each row; columns that `left` does not name are aligned to the right.

    With a `width`, no line is wider: columns give way as `narrow` says.
    """
    shown: Columns = {name: [paint(text, "") for text in texts] for name, texts in columns.items()}
    if width is not None:
        shown = fitted(shown, width, narrow, paint("…", ""))
    wide = widths({paint(name, ""): texts for name, texts in shown.items()})

    def line(texts: Iterable[str], roles: Iterable[str]) -> str:
        parts = []
        for name, text, room, role in zip(shown, texts, wide.values(), roles, strict=True):
            space = " " * (room - cells(text))
            painted = paint(text, role) if text and role else text
            parts.append(painted + space if name in left else space + painted)
        return GAP.join(parts).rstrip()

    roles = ["bold" if i == 0 else "" for i in range(len(shown))]
    return [
        line(wide, ["bold"] * len(shown)),
        paint("─", "") * (sum(wide.values()) + len(GAP) * (len(wide) - 1)),
        *(line(texts, roles) for texts in zip(*shown.values(), strict=True)),
    ]


def network_lines(graph: Graph, summary: Summary, width: int | None, paint: Paint) -> list[str]:
    """Return the table of a network, a row for each layer, with the columns that fit; None is an unlimited width."""
    columns = network_columns(graph, summary.rows)
    if width is not None:
        if "reads" in columns:
            columns["reads"] = [clipped(text, _READS, paint("…", ""), start=True) for text in columns["reads"]]
        first = [_pads_heading(summary.rows) if name == PADS else name for name in _FIRST]
        fitting = {name: columns[name] for name in first[:3] if name in columns}
        for name in first[3:]:
            if name in columns and width_of({**fitting, name: columns[name]}) <= width:
                fitting[name] = columns[name]
        columns = {name: texts for name, texts in columns.items() if name in fitting}
    return table_lines(columns, paint, left=LEFT, width=width)


def network_columns(graph: Graph, rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the cells of each column, by its heading; empty columns are left out."""
    columns = {
        "name": [row.name for row in rows],
        "layer": ["" if node.kind == node.name else describe(node) for node in graph.nodes],
        "shares": [row.shares or "" for row in rows],
        "reads": ["", *(_reads(row, before) for before, row in pairwise(rows))],
        "output": [format_shape(row.output) for row in rows],
        "handed out as": _handed_out(graph, rows),
        _pads_heading(rows): [" ".join(map(str, row.pads.flat)) if row.pads else "" for row in rows],
        "parameters": [f"{row.parameters:,}" if row.parameters else "" for row in rows],
        "MACs": [f"{row.macs:,}" if row.macs else "" for row in rows],
        "receptive field": [format_shape(row.receptive_field) if row.receptive_field else "" for row in rows],
        "step": [step_text(row) for row in rows],
        "memory": [size_of(row.activation_bytes) for row in rows],
    }
    return {name: cells for name, cells in columns.items() if any(cells)}


def _pads_heading(rows: Sequence[Row]) -> str:
    """Return the heading of the pads, with an arrow for each side."""
    axes = max((len(row.pads.axes) for row in rows if row.pads), default=0)
    return f"{PADS} {_ARROWS[axes]}" if axes else PADS


def _handed_out(graph: Graph, rows: Sequence[Row]) -> list[str]:
    """Return the name under which each layer is an output; nothing where the last layer is the output."""
    if graph.outputs == (rows[-1].name,) and not graph.aliases:
        return [""] * len(rows)
    return [graph.aliases.get(row.name, row.name) if row.name in graph.outputs else "" for row in rows]


def _reads(row: Row, before: Row) -> str:
    """Return the inputs of a layer, "" where that is the layer above."""
    if row.inputs == (before.name,):
        return ""
    shown = ", ".join(row.inputs)
    return shown if len(shown) <= 40 else f"{row.inputs[0]} and {len(row.inputs) - 1} more"


def step_text(row: Row) -> str:
    """Return the distance, in pixels of the input, between neighbours of a layer's output; "" where it has none."""
    if row.step is None or len(row.output) == 1:
        return ""
    return str(row.step[0]) if len(set(row.step)) == 1 else "×".join(map(str, row.step))


def describe(node: Node) -> str:
    """Return the layer's kind with its main fields: `conv 5×5 /2`."""
    layer: Any = node.layer
    parts = [node.kind]
    if hasattr(layer, "kernel"):
        parts.append(format_shape([window.kernel for window in node.windows]))
    stride = [window.stride for window in node.windows]
    if getattr(layer, "stride", None) and set(stride) != {1}:
        parts.append(f"/{stride[0]}" if len(set(stride)) == 1 else f"/{format_shape(stride)}")
    if getattr(layer, "groups", 1) != 1 and node.kind != "group_norm":
        parts.append(f"in {layer.groups} groups")
    return " ".join(parts)


def percent(fraction: float) -> str:
    """Return a fraction as text: 94.2 %."""
    return "<0.1 %" if 0 < fraction < 0.0005 else f"{100 * fraction:.1f} %"


def duration(seconds: float) -> str:
    """Return a time with three digits and its unit: 42.0 µs."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if (value := seconds * factor) >= 0.9995 or unit == "µs":
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    raise AssertionError("microseconds are the last unit")


def totals_lines(summary: Summary, batch: int, width: int | None, dtype: str = "float32") -> list[str]:
    """Return the totals of the network, a line each, wrapped where there is a width."""
    lines = totals(summary, batch, dtype)
    indent = max(map(len, lines)) + len(GAP)
    return [part for name, text in lines.items() for part in _wrapped(f"{name:<{indent}}{text}", indent, width)]


def totals(summary: Summary, batch: int, dtype: str = "float32") -> dict[str, str]:
    """Return the totals of the network as text, by what they are of.

    `dtype` is the number format that the memory of the summary is in.
    """
    found = summary.totals
    by_macs = sorted(summary.by_kind, key=lambda entry: -entry[2])
    state = f" and {summary.state:,} running statistics" if summary.state else ""
    samples = "one sample" if batch == 1 else f"a batch of {batch}"
    return {
        "parameters": f"{found.parameters:,}{state}, {size_of(found.parameter_bytes)}"
        + _parts(
            "hold", [(kind, parameters / found.parameters) for kind, parameters, _ in summary.by_kind if parameters]
        ),
        "MACs": f"{found.macs:,} ({found.flops:,} FLOPs)"
        + _parts("take", [(kind, macs / found.macs) for kind, _, macs in by_macs if macs]),
        "activations": f"{size_of(found.peak_activation_bytes)} at the peak, for {samples}",
        "inference": f"{size_of(found.inference_bytes)}, for {samples}: weights and activations at the peak"
        + (f", in {dtype}" if dtype != "float32" else ""),
        "training": f"{size_of(found.training_bytes)} with {summary.optimizer}, for {samples}: weights, gradients, "
        + {
            "float32": "optimizer state and activations at the peak",
            "float64": "optimizer state and activations at the peak, in float64",
        }.get(dtype, f"optimizer state in float32, copies of weights and activations in {dtype}, at the peak")
        + (f"; {percent(summary.frozen / found.parameters)} of the parameters are frozen" if summary.frozen else ""),
    }


def _parts(verb: str, fractions: Sequence[tuple[str, float]]) -> str:
    """Return `; dense layers hold 94.2 %, conv layers 5.8 %`, the largest first."""
    if not fractions:
        return ""
    (first, largest), *rest = fractions
    return "; " + ", ".join(
        [f"{first} layers {verb} {percent(largest)}", *(f"{kind} {percent(fraction)}" for kind, fraction in rest)]
    )


def _wrapped(line: str, indent: int, width: int | None) -> list[str]:
    if width is None:
        return [line]
    unbroken = line.replace(" %", "\N{NO-BREAK SPACE}%")
    parts = textwrap.wrap(unbroken, max(width, 2 * indent), subsequent_indent=" " * indent)
    return [part.replace("\N{NO-BREAK SPACE}", " ") for part in parts]


def explanation(graph: Graph, summary: Summary, paint: Paint) -> list[str]:
    """Return the formulas of each layer with their numbers."""
    out = []
    for node, row in zip(graph.nodes, summary.rows, strict=True):
        if not node.inputs:
            continue
        read = " and ".join(format_shape(shape) for shape in node.in_shapes)
        lines = list(node.layer.explain(node.in_shapes, node.shape))
        if row.pads is not None:
            lines.append(("pads", str(row.pads)))
        learned = {key: p for key, p in node.parameters.items() if p.trainable}
        if learned:
            shapes = " + ".join(f"{key} {format_shape(p.shape)}" for key, p in learned.items())
            lines.append(
                ("parameters", f"{shapes}, of {row.shares}" if row.shares else f"{shapes} = {row.parameters:,}")
            )
        if row.macs:
            lines.append(("MACs", f"{node.layer.mac_formula(node.in_shapes, node.shape)} = {row.macs:,}"))
        if row.receptive_field:
            step = f", in steps of {step_text(row)}" if step_text(row) else ""
            lines.append(("receptive field", f"{format_shape(row.receptive_field)} of the input{step}"))
        out.append(f"{paint(node.name, 'bold')}: {describe(node)}, {read} → {format_shape(node.shape)}")
        out += [f"    {what:<17}{formula}" for what, formula in lines]
    return out
