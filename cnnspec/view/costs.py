"""The costs of a network by block, the batches that fit into a memory, and the members of a family, as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cnnspec.diagnostics import Paint
from cnnspec.graph.blocks import BlockRow, block_rows
from cnnspec.graph.budgets import largest_batch
from cnnspec.graph.costs import Summary, default_train, inference_bytes
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.graph.training_memory import training_memory
from cnnspec.sizes import size_of
from cnnspec.view.fitting import Narrow
from cnnspec.view.table import percent, table_lines
from cnnspec.wording import format_shape


class Fit(NamedTuple):
    """The largest batches that fit into a memory, and the bytes that they take; 0 where one sample does not fit."""

    limit: int
    inference: int
    inference_bytes: int
    training: int
    training_bytes: int


def fit(spec: Spec, limit: int, itemsize: int, train: Train | None) -> Fit:
    """Return the largest batches of inference and of training that fit into so many bytes.

    The bytes are those of the largest batch, or of one sample where that does not fit.
    """
    training = training_memory(spec.trained_graph, itemsize, train or default_train()).bytes

    def inferring(batch: int) -> int:
        return inference_bytes(spec.graph, batch, itemsize)

    batches = largest_batch(inferring, limit), largest_batch(training, limit)
    return Fit(limit, batches[0], inferring(max(1, batches[0])), batches[1], training(max(1, batches[1])))


def fit_lines(found: Fit, optimizer: str) -> list[str]:
    """Return the batches that fit as text, a line each."""
    lines = {
        f"fits {size_of(found.limit)}": _fitting("inference", found.inference, found.inference_bytes),
        "": _fitting(f"training with {optimizer}", found.training, found.training_bytes),
    }
    return [f"{name:<14}{text}" for name, text in lines.items()]


def _fitting(what: str, batch: int, size: int) -> str:
    if not batch:
        return f"{what}: no batch, as one sample takes {size_of(size)}"
    return f"{what}: a batch of {batch:,} at most, which takes {size_of(size)}"


def block_lines(summary: Summary, paint: Paint, width: int | None = None) -> list[str]:
    """Return the table of the blocks of a network, with the blocks within them below; None is an unlimited width."""
    rows = block_rows(summary.rows)
    totals = summary.totals
    columns = {
        "block": ["  " * row.depth + (row.name.split(".")[-1] if row.is_block else f"({row.name})") for row in rows],
        "layers": [f"{row.layers:,}" for row in rows],
        "parameters": [f"{row.parameters:,}" if row.parameters else "" for row in rows],
        "of all": [percent(row.parameters / totals.parameters) if row.parameters else "" for row in rows],
        "MACs": [f"{row.macs:,}" if row.macs else "" for row in rows],
        "of all MACs": [percent(row.macs / totals.macs) if row.macs else "" for row in rows],
        "activations": [size_of(row.activation_bytes) for row in rows],
    }
    narrow = Narrow(("of all MACs", "of all", "layers", "activations"), texts=("block",))
    lines = table_lines(columns, paint, ("block",), width=width, narrow=narrow)
    if not any(row.is_block for row in rows):
        lines += ["", "No layer is in a named block: `unit: {name: stage1}` and `repeat: {name: stage}` name some."]
    return lines


def blocks_dict(summary: Summary) -> list[dict[str, Any]]:
    """Return the blocks of a network as plain values for JSON."""
    return [_block(row) for row in block_rows(summary.rows) if row.is_block]


def _block(row: BlockRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "layers": row.layers,
        "parameters": row.parameters,
        "macs": row.macs,
        "activation_bytes": row.activation_bytes,
    }


class Member(NamedTuple):
    """One network of a family: the spec and the parameters that were set, and what came out or went wrong."""

    spec: str
    params: Mapping[str, Any]
    graph: Graph | None
    summary: Summary | None
    error: str
    """The first error, "" where there is none."""
    fit: Fit | None = None
    """The largest batches, where a memory is given."""


def member_lines(members: Sequence[Member], paint: Paint, width: int | None = None) -> list[str]:
    """Return the table of a family, a row for each member, and the first error of each; None is an unlimited width."""
    rows = [_cells(member) for member in members]
    columns = {name: [row.get(name, "") for row in rows] for row in rows for name in row}
    columns["error"] = columns.pop("error")
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    if len({member.spec for member in members}) == 1:
        shown.pop("spec", None)
    drop = ("receptive field", "output", "training", "inference", "training batch", "inference batch")
    left = ("spec", *members[0].params, "error")
    narrow = Narrow(drop, names=("spec",), texts=("error", *members[0].params))
    lines = table_lines(shown, paint, left, width=width, narrow=narrow)
    faulty = [member for member in members if member.error]
    return [*lines, *([""] if faulty else []), *(f"{_label(member)}: {member.error}" for member in faulty)]


def _label(member: Member) -> str:
    return " ".join([member.spec, *(f"{name}={_written(value)}" for name, value in member.params.items())])


def _cells(member: Member) -> dict[str, str]:
    cells = {"spec": member.spec, **{name: _written(value) for name, value in member.params.items()}}
    graph, summary = member.graph, member.summary
    figures = ("parameters", "MACs", "inference", "training", "receptive field", "output")
    if graph is None or summary is None:
        return {**cells, **dict.fromkeys(figures, ""), "error": member.error.partition(":")[0]}
    totals, field = summary.totals, _field(graph, summary)
    values = (
        f"{totals.parameters:,}",
        f"{totals.macs:,}",
        size_of(totals.inference_bytes),
        size_of(totals.training_bytes),
        format_shape(field) if field else "",
        ", ".join(format_shape(node.shape) for node in graph.output_nodes.values()),
    )
    batches = {f"{what} batch": f"{n:,}" for what, n in _batches(member).items()}
    return {**cells, **dict(zip(figures, values, strict=True)), **batches, "error": member.error.partition(":")[0]}


def _batches(member: Member) -> dict[str, int]:
    return {} if member.fit is None else {"inference": member.fit.inference, "training": member.fit.training}


def member_csv(members: Sequence[Member]) -> str:
    """Return the members of a family as CSV: numbers without units, sizes in bytes."""
    records = [_record(member) for member in members]
    keys = dict.fromkeys(key for record in records for key in record if key != "error")
    text = io.StringIO()
    writer = csv.DictWriter(text, [*keys, "error"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _record(member: Member) -> dict[str, Any]:
    graph, summary = member.graph, member.summary
    found: dict[str, Any] = {"spec": member.spec, **{name: _written(v) for name, v in member.params.items()}}
    totals = summary.totals if summary else None
    field = _field(graph, summary) if graph and summary else None
    return {
        **found,
        "parameters": totals.parameters if totals else "",
        "macs": totals.macs if totals else "",
        "parameter_bytes": totals.parameter_bytes if totals else "",
        "peak_activation_bytes": totals.peak_activation_bytes if totals else "",
        "inference_bytes": totals.inference_bytes if totals else "",
        "training_bytes": totals.training_bytes if totals else "",
        "receptive_field": "x".join(map(str, field)) if field else "",
        "output": " ".join("x".join(map(str, node.shape)) for node in graph.output_nodes.values()) if graph else "",
        **{f"{what}_batch": n for what, n in _batches(member).items()},
        "error": member.error,
    }


def _field(graph: Graph, summary: Summary) -> tuple[int, ...] | None:
    """Return the receptive field of the first output."""
    return next(row.receptive_field for row in summary.rows if row.name == graph.outputs[0])


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_written(item)}' for key, item in value.items())}}}"
    return "null" if value is None else str(value)
