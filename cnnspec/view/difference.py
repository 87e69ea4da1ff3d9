"""The difference of two specs: as lines for a terminal, and as JSON (docs/json.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from cnnspec.diagnostics import Paint
from cnnspec.graph.difference import Change, Difference, Kind, LayerChange, Placed
from cnnspec.graph.graph import Node
from cnnspec.language.render import flow
from cnnspec.sizes import size_of
from cnnspec.view.fitting import Narrow
from cnnspec.view.table import describe, percent, table_lines
from cnnspec.wording import format_shape, quoted

MARKS: dict[Kind, str] = {
    "added": "+", "removed": "−", "changed": "~", "moved": ">", "renamed": "=", "affected": "·", "renumbered": "·",
}  # fmt: skip
_ROLES: dict[Kind, str] = {"added": "good", "removed": "error", "changed": "warning", "moved": "note"}
_LONGEST = 60
"""Characters of a value that are shown."""
FIGURES = {
    "parameters": "parameters",
    "macs": "MACs",
    "peak_activation_bytes": "activations at the peak",
    "inference_bytes": "memory of inference",
    "training_bytes": "memory of training",
}
"""The totals that are shown, and what they are called."""


def headline(difference: Difference) -> str:
    """Return what differs, in a few words: 2 layers added, 1 changed; 3 settings."""
    if difference.is_empty:
        return "the same network"
    kinds: tuple[Kind, ...] = ("added", "removed", "changed", "moved", "renamed", "renumbered")
    counts = [(len(difference.by_kind.get(kind, ())), kind) for kind in kinds]
    parts = [f"{count} {kind}" for count, kind in counts if count]
    if parts:
        first, _, kind = parts[0].partition(" ")
        parts[0] = f"{first} layer{'s' * (first != '1')} {kind}"
    layers = ", ".join(parts) or ("no layer changed" if difference.layers else "the same layers")
    count = len(difference.settings)
    return layers + (f"; {count} setting{'s' * (count != 1)} changed" if count else "")


def listed(difference: Difference) -> list[LayerChange]:
    """Return the layers that are shown one by one: those that differ themselves, or have other parameters."""
    shown = ("added", "removed", "changed", "moved")
    return [
        change
        for change in difference.layers
        if change.kind in shown or (change.kind == "affected" and change.has_other_parameters)
    ]


def consequences(difference: Difference) -> list[str]:
    """Return what became of the layers that are not listed, in a sentence for each."""
    affected = [change for change in difference.by_kind.get("affected", ()) if not change.has_other_parameters]
    lines = []
    if affected:
        further = "further " if len(listed(difference)) else ""
        lines.append(f"{_layers(len(affected), further)} another shape or cost, such as {_example(affected[0])}")
    for before, after, count in _renamed(difference.by_kind.get("renamed", ())):
        lines.append(f"{quoted(before)} is now {quoted(after)}" + (f" ({count} layers)" if count > 1 else ""))
    if renumbered := difference.by_kind.get("renumbered"):
        before, after = (quoted(placed.node.name) for placed in (renumbered[0].before, renumbered[0].after) if placed)
        lines.append(f"{_layers(len(renumbered))} another number in the name, such as {before} → {after}")
    return lines


def _layers(count: int, further: str = "") -> str:
    return f"{count} {further}layer{'s have' if count != 1 else ' has'}"


def _example(change: LayerChange) -> str:
    """Return what differs of a layer that has another shape, or only another cost."""
    assert change.before is not None
    assert change.after is not None
    before, after = change.before.row, change.after.row
    shapes = f"{format_shape(before.output)} → {format_shape(after.output)}"
    return f"{quoted(after.name)} ({shapes if before.output != after.output else _figure(change, 'macs') + ' MACs'})"


def _renamed(changes: Sequence[LayerChange]) -> Iterator[tuple[str, str, int]]:
    """Yield the names before and after; of blocks that are renamed as a whole, the blocks' names and their layers."""
    found: dict[tuple[str, str], int] = {}
    for change in changes:
        assert change.before is not None
        assert change.after is not None
        before, after = (placed.node.name.split(".") for placed in (change.before, change.after))
        while len(before) > 1 and len(after) > 1 and before[-1] == after[-1]:
            before.pop()
            after.pop()
        key = ".".join(before), ".".join(after)
        found[key] = found.get(key, 0) + 1
    yield from ((before, after, count) for (before, after), count in found.items())


class Line(NamedTuple):
    """The texts of a layer, or of a block of layers that are all added or all removed, and of what differs."""

    kind: Kind
    name: str
    before: str
    after: str
    parameters: str
    macs: str
    memory: str
    notes: tuple[str, ...] = ()


def lines_of(changes: Sequence[LayerChange], *, each: bool) -> list[Line]:
    """Return a line for each layer, or (not `each`) one for a whole block of layers that are added or removed."""
    lines: list[Line] = []
    for (kind, block), group in groupby(changes, _block):
        together = [*group]
        if each or not block or len(together) < 3:
            lines += map(_line, together)
        else:
            lines.append(_block_line(kind, block, together))
    return lines


def _block(change: LayerChange) -> tuple[Kind, str]:
    """Return the block that a layer which is added or removed belongs to; none for others."""
    placed = change.after or change.before
    assert change.kind is not None
    assert placed is not None
    alone = change.before is None or change.after is None
    return change.kind, placed.node.name.rpartition(".")[0] if alone else ""


def _line(change: LayerChange) -> Line:
    assert change.kind is not None
    sides = (change.before, change.after)
    name = " → ".join(dict.fromkeys(side.node.name for side in sides if side))
    before, after = (f"{describe(side.node)}  {format_shape(side.row.output)}" if side else "" for side in sides)
    parameters, macs, memory = (_figure(change, name) for name in ("parameters", "macs", "activation_bytes"))
    fields = [f"{name}: {change_text(values)}" for name, values in change.fields.items() if name != "kind"]
    notes = (*(["moved"] if change.moved else []), *fields)
    return Line(change.kind, name, before, after, parameters, macs, memory, notes)


def _figure(change: LayerChange, name: str) -> str:
    """Return a number of a layer, before and after where both have it and it differs."""
    show = size_of if name.endswith("bytes") else "{:,}".format
    values = [getattr(side.row, name) for side in (change.before, change.after) if side]
    if len(values) == 1:
        return _signed(values[0] if change.before is None else -values[0], name)
    return " → ".join(map(show, dict.fromkeys(values))) if any(values) else ""


def _signed(by: int, name: str) -> str:
    """Return by how much a figure differs, "" where it does not."""
    show = size_of if name.endswith("bytes") else "{:,}".format
    return ("+" if by > 0 else "−") + show(abs(by)) if by else ""


def _block_line(kind: Kind, block: str, changes: Sequence[LayerChange]) -> Line:
    placed = [side for change in changes for side in (change.before, change.after) if side]
    text = f"{len(placed)} layers  {format_shape(placed[-1].row.output)}"
    sign = 1 if kind == "added" else -1
    parameters, macs, memory = (
        _signed(sign * sum(getattr(side.row, name) for side in placed), name)
        for name in ("parameters", "macs", "activation_bytes")
    )
    before, after = ("", text) if kind == "added" else (text, "")
    return Line(kind, block, before, after, parameters, macs, memory)


def change_text(change: Change) -> str:
    """Return a value before and after; a value that is not there is `none`."""
    return f"{value_text(change.before)} → {value_text(change.after)}"


def value_text(value: Any) -> str:
    """Return a value as a spec has it, shortened."""
    text = "none" if value is None else flow(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def totals(difference: Difference) -> dict[str, list[str]]:
    """Return the columns of the totals: before, after, and by how much they differ."""
    columns: dict[str, list[str]] = {"total": [], "before": [], "after": [], "change": []}
    for name, called in FIGURES.items():
        before, after = difference.totals[name]
        show = size_of if name.endswith("bytes") else "{:,}".format
        by = after - before
        part = f" ({_signed_percent(by / before)})" if before and by else ""
        for column, text in zip(columns.values(), (called, show(before), show(after)), strict=False):
            column.append(text)
        columns["change"].append(_signed(by, name) + part)
    return columns


def _signed_percent(fraction: float) -> str:
    text = percent(abs(fraction))
    return text if text.startswith("<") else ("+" if fraction > 0 else "−") + text


def title(difference: Difference) -> str:
    """Return the names of both specs, or the name that both have."""
    return " → ".join(dict.fromkeys(spec.name if spec else "nothing" for spec in (difference.before, difference.after)))


MOST_LINES = 20
"""The most lines of layers up to which each layer has its own."""
_LAYERS = Narrow(("memory", "MACs", "parameters"), names=("layer",), texts=("before", "after"))
_SETTINGS = Narrow(names=("setting",), texts=("before", "after"))
_TOTALS = Narrow(("before",), names=(), texts=("total",))


def difference_lines(
    difference: Difference, paint: Paint, *, each: bool = False, width: int | None = None
) -> list[str]:
    """Return the difference as lines for a terminal; long lists have a line for a block, or for `each` layer.

    The tables are at most `width` wide; None is an unlimited width.
    """
    lines = [f"{paint(title(difference), 'bold')}: {headline(difference)}"]
    if difference.is_empty:
        return lines
    if changes := listed(difference):
        lines += ["", *_layer_lines(lines_of(changes, each=each or len(changes) <= MOST_LINES), paint, width)]
    if others := consequences(difference):
        lines += ["", *others]
    if difference.settings:
        columns = {
            "setting": [*difference.settings],
            "before": [value_text(change.before) for change in difference.settings.values()],
            "after": [value_text(change.after) for change in difference.settings.values()],
        }
        lines += ["", *table_lines(columns, paint, columns, width=width, narrow=_SETTINGS)]
    return [*lines, "", *table_lines(totals(difference), paint, ("total",), width=width, narrow=_TOTALS)]


def _layer_lines(lines: Sequence[Line], paint: Paint, width: int | None) -> list[str]:
    columns = {
        " ": [MARKS[line.kind] for line in lines],
        "layer": [line.name for line in lines],
        "before": [line.before for line in lines],
        "after": [line.after for line in lines],
        "parameters": [line.parameters for line in lines],
        "MACs": [line.macs for line in lines],
        "memory": [line.memory for line in lines],
    }
    shown = {heading: texts for heading, texts in columns.items() if any(texts)}
    left = (" ", "layer", "before", "after")
    heading, rule, *rows = table_lines(shown, lambda text, role: paint(text, ""), left, width=width, narrow=_LAYERS)
    found = [paint(heading, "bold"), rule]
    for line, row in zip(lines, rows, strict=True):
        found += [paint(row, _ROLES.get(line.kind, "")), *(f"     {note}" for note in line.notes)]
    return found


def to_dict(difference: Difference) -> dict[str, Any]:
    """Return the form that `diff --format json` prints."""
    return {
        "equal": difference.is_empty,
        "before": difference.before.name if difference.before else None,
        "after": difference.after.name if difference.after else None,
        "layers": [
            {
                "change": change.kind,
                "moved": change.moved,
                "renamed": change.is_renamed,
                "before": _side(change.before),
                "after": _side(change.after),
                "fields": {name: values._asdict() for name, values in change.fields.items()},
            }
            for change in difference.layers
        ],
        "settings": {name: change._asdict() for name, change in difference.settings.items()},
        "totals": {name: change._asdict() for name, change in difference.totals.items()},
    }


def _side(placed: Placed | None) -> dict[str, Any] | None:
    if placed is None:
        return None
    node: Node = placed.node
    row = placed.row
    return {
        "name": node.name,
        "kind": node.kind,
        "output": list(row.output),
        "parameters": row.parameters,
        "macs": row.macs,
        "activation_bytes": row.activation_bytes,
    }
