"""The sizes that a network accepts, as text and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnspec.diagnostics import Paint
from cnnspec.graph.graph import Graph
from cnnspec.graph.resizing import Outcome
from cnnspec.graph.size_sets import SizeSet
from cnnspec.graph.valid_sizes import Place, Reason, ValidSizes
from cnnspec.layers.geometry import AXES

_ONE = {"depth": "plane", "height": "row", "width": "column", "length": "element"}


def size_lines(graph: Graph, found: Sequence[ValidSizes], paint: Paint) -> list[str]:
    """Return which sizes of its inputs the network accepts, and why no others, as text, a line each."""
    if not found:
        return ["The network has no input with spatial axes, whose sizes could be others."]
    lines: list[str] = []
    for entry in found:
        lines += [paint(_title(entry, len(graph.inputs) > 1), "bold"), *_statements(entry), ""]
    if any(len(entry.groups) > 1 for entry in found) or len(found) > 1:
        lines += ["Each axis was changed by itself, and all at once.", ""]
    return lines[:-1]


def _title(entry: ValidSizes, several: bool) -> str:
    groups = [_group(group, several) for group in entry.groups]
    (*most, last) = groups
    return (f"{', '.join(most)} and {last}" if most else last) + f" ({entry.groups[0][0].size} here)"


def _group(group: Sequence[Place], several: bool) -> str:
    """Return the axes that change together: `height of first and second`, `height and width together`."""
    if len(group) == 1:
        return f"{group[0].name} of `{group[0].input}`" if several else group[0].name
    axes = list(dict.fromkeys(place.name for place in group))
    inputs = list(dict.fromkeys(place.input for place in group))
    of = f" of {' and '.join(f'`{name}`' for name in inputs)}" if several else ""
    return f"{' and '.join(axes)}{of} together"


def _statements(entry: ValidSizes) -> list[str]:
    lines = []
    keeps_weights = entry.keeping == entry.fitting
    if not keeps_weights:
        lines.append(f"  {entry.keeping}, with the weights of this network")
        lines += map(_reason, entry.around)
    lines.append(f"  {entry.fitting}" + ("" if keeps_weights else ", with other weights for each size"))
    lines += [_reason(reason) for reason in (entry.below, entry.between) if reason is not None]
    ones = " and ".join(dict.fromkeys(_ONE[place.name] for group in entry.groups for place in group))
    which = "at all of these" if entry.reading == entry.fitting else str(entry.reading)
    lines.append(f"  {which}, every {ones} is read: no window leaves any out at the end")
    if entry.leaves is not None:
        lines.append(_left_out(*entry.leaves))
    tried = " and ".join(f"{block[0]} to {block[-1]}" for block in entry.tried)
    inferred = "; larger ones are inferred" if entry.fitting.repeats else ""
    if inferred and entry.period > 1:
        inferred += f", as the strides repeat every {entry.period}"
    lines.append(f"  tried: every size from {tried}{inferred}")
    return lines


def _reason(reason: Reason) -> str:
    return f"    not {reason.size}: {reason.fault.message}"


def _left_out(size: int, outcome: Outcome) -> str:
    first = outcome.unread[0]
    others = len(outcome.unread) - 1
    more = f", and {others} more layer{'s' * (others > 1)} leave{'s' * (others == 1)} some out" if others else ""
    axes = zip(first.counts, AXES[len(first.counts)], strict=True)
    counted = [f"{_ONE[axis]}" if n == 1 else f"{n} {_ONE[axis]}s" for n, axis in axes if n]
    return f"    at {size}, `{first.name}` does not read the last {' and '.join(counted)}{more}"


def sizes_dict(found: Sequence[ValidSizes]) -> list[dict[str, Any]]:
    """Return the sizes that a network accepts as plain values for JSON."""
    return [
        {
            "axes": [[{"input": p.input, "axis": p.name, "size": p.size} for p in group] for group in entry.groups],
            "keeping_weights": _set(entry.keeping),
            "fitting": _set(entry.fitting),
            "reading_all": _set(entry.reading),
            "refused": [
                {"size": r.size, "layer": r.fault.name, "message": r.fault.message}
                for r in (entry.below, entry.between, *entry.around)
                if r is not None
            ],
            "tried": [[block[0], block[-1]] for block in entry.tried],
        }
        for entry in found
    ]


def _set(sizes: SizeSet) -> dict[str, Any]:
    return {
        "text": str(sizes),
        "smallest": sizes.first,
        "single": list(sizes.single),
        "start": sizes.start if sizes.repeats else None,
        "period": sizes.period if sizes.repeats else None,
        "within": list(sizes.within),
    }
