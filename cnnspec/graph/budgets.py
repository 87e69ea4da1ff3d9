"""Limits of what a network may cost, and the largest batch that fits into a memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from cnnspec.diagnostics import Diagnostic, Label, Source, Span
from cnnspec.graph.costs import Row, Summary
from cnnspec.graph.graph import Graph
from cnnspec.sizes import parse_size, size_of
from cnnspec.wording import nearest

HEAVIEST = 3
"""How many layers a message names."""
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}


class Figure(NamedTuple):
    """A figure of a network that can have a budget."""

    phrase: str
    """What a message says of it, with the `name` of the network and the `value`."""
    of: Callable[[Graph, Summary], int | None]
    """Its value; None where the network has none."""
    parts: str = ""
    """What the parts of the layers are called; "" where it is no sum over layers."""
    part: Callable[[Row, int], int] = lambda row, itemsize: 0
    """The part of a layer, for so many bytes to a number."""
    is_memory: bool = False


def _receptive_field(graph: Graph, summary: Summary) -> int | None:
    """Return the smallest receptive field of the outputs, along any axis."""
    rows = [row for row in summary.rows if row.name in graph.outputs]
    return min((n for row in rows for n in row.receptive_field or ()), default=None)


def _bytes(row: Row, itemsize: int) -> int:
    return itemsize * row.parameters + row.activation_bytes


_WEIGHTS = "weights and activations"

FIGURES: Mapping[str, Figure] = {
    "parameters": Figure(
        "`{name}` has {value} parameters", lambda _, s: s.totals.parameters, "parameters", lambda row, _: row.parameters
    ),
    "macs": Figure("`{name}` takes {value} MACs", lambda _, s: s.totals.macs, "MACs", lambda row, _: row.macs),
    "flops": Figure("`{name}` takes {value} FLOPs", lambda _, s: s.totals.flops, "FLOPs", lambda row, _: row.macs),
    "activations": Figure(
        "the activations of `{name}` take {value} at the peak",
        lambda _, s: s.totals.peak_activation_bytes,
        "activations",
        lambda row, _: row.activation_bytes,
        is_memory=True,
    ),
    "memory": Figure(
        "inference of `{name}` takes {value}", lambda _, s: s.totals.inference_bytes, _WEIGHTS, _bytes, is_memory=True
    ),
    "training": Figure(
        "training of `{name}` takes {value}", lambda _, s: s.totals.training_bytes, _WEIGHTS, _bytes, is_memory=True
    ),
    "receptive_field": Figure("the receptive field of the output of `{name}` is {value}", _receptive_field),
}


class Budget(NamedTuple):
    """The range that a figure may be in."""

    figure: str
    least: int | None
    most: int | None


def parse_budgets(text: str) -> list[Budget]:
    """Return the budgets of a text such as `macs=500M,memory=4GB,receptive_field=64..`; ValueError for anything else.

    `NAME=MOST` is an upper limit, `NAME=LEAST..` a lower one, `NAME=LEAST..MOST` both. Numbers may end in k, M, G (or
    B) or T, and memory is written as `500MB` or `4GiB`.
    """
    return [_budget(part) for part in text.split(",")]


def _budget(text: str) -> Budget:
    name, equals, limits = (part.strip() for part in text.partition("="))
    name = name.replace("-", "_")
    if name not in FIGURES:
        near = nearest(name, FIGURES)
        hint = f"did you mean `{near}`?" if near else f"there are {', '.join(FIGURES)}"
        raise ValueError(f"no figure is called `{name}`: {hint}")
    if not equals or not limits:
        raise ValueError(
            f"`{text.strip()}` states no limit: write it as {name}={'4GB' if FIGURES[name].is_memory else '500M'}"
        )
    least, dots, most = limits.partition("..")
    if not dots:
        return Budget(name, None, _number(name, limits))
    found = Budget(name, _number(name, least) if least else None, _number(name, most) if most else None)
    if found.least is None and found.most is None:
        raise ValueError(f"`{text.strip()}` states no limit")
    if found.least is not None and found.most is not None and found.least > found.most:
        raise ValueError(f"`{text.strip()}`: the first limit is the lower one")
    return found


def _number(name: str, text: str) -> int:
    if FIGURES[name].is_memory:
        return parse_size(text)
    digits = text.strip().rstrip("".join(_UNITS))
    unit = text.strip()[len(digits) :]
    try:
        value = float(digits) * _UNITS[unit]
    except (ValueError, KeyError):
        value = math.nan
    if not 0 <= value < 1e30:
        raise ValueError(f"`{text}` is no number: write it as 500M, 1.5G or 2e9")
    return round(value)


def over_budget(graph: Graph, summary: Summary, budgets: Iterable[Budget], itemsize: int = 4) -> list[Diagnostic]:
    """Return an error for each figure beyond its budget, at the layer that weighs most, with the next heaviest."""
    return [found for budget in budgets if (found := _excess(graph, summary, budget, itemsize)) is not None]


def _excess(graph: Graph, summary: Summary, budget: Budget, itemsize: int) -> Diagnostic | None:
    figure = FIGURES[budget.figure]
    value = figure.of(graph, summary)
    if value is None:
        message = f"the output of `{graph.name}` has no receptive field, which has a budget"
        return _at(graph, graph.outputs[0], message, "reads no spatial axes, or mixes them with others", ())
    low, high = budget.least, budget.most
    if (low is None or value >= low) and (high is None or value <= high):
        return None
    limit, word = (high, "more") if high is not None and value > high else (low, "less")
    assert limit is not None
    difference = abs(value - limit)
    percent = f" ({100 * difference / limit:.1f} %)" if limit else ""
    said = figure.phrase.format(name=graph.name, value=_shown(figure, value))
    bound = f"{'at most' if word == 'more' else 'at least'} {_shown(figure, limit)}"
    message = f"{said}, {_shown(figure, difference)}{percent} {word} than its budget of {bound}"
    if not figure.parts:
        return _at(graph, graph.outputs[0], message, "is the output", ())
    heaviest = sorted(summary.rows, key=lambda row: -figure.part(row, itemsize))[:HEAVIEST]
    total = sum(figure.part(row, itemsize) for row in summary.rows) or 1
    parts = [f"`{row.name}` {100 * figure.part(row, itemsize) / total:.1f} %" for row in heaviest]
    return _at(graph, heaviest[0].name, message, "weighs most", (f"most {figure.parts} are of {', '.join(parts)}",))


def _shown(figure: Figure, value: int) -> str:
    return size_of(value) if figure.is_memory else f"{value:,}"


def _at(graph: Graph, name: str, message: str, label: str, notes: tuple[str, ...]) -> Diagnostic:
    span = graph.by_name[name].span or Span(Source(graph.name, ""), 1, 1, 1, 1)
    return Diagnostic("over-budget", message, Label(span, label), notes=notes)


def largest_batch(bytes_of: Callable[[int], int], limit: int) -> int:
    """Return the largest batch whose bytes are at most the limit; 0 where those of one sample are more.

    `bytes_of` is the memory for a batch, which grows with it.
    """
    if bytes_of(1) > limit:
        return 0
    low, high = 1, 2
    while bytes_of(high) <= limit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bytes_of(middle) <= limit else (low, middle)
    return low
