"""What repeats and blocks bind: the rounds of the one, the arguments of the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnspec.diagnostics import Label, Span
from cnnspec.language.expressions import LOST
from cnnspec.language.scope import Faulty, Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import says


def rounds_of(config: YamlNode, place: Span, scope: Scope, lost: set[str], most: int) -> list[dict[str, Any]] | None:
    """The values of each round of a repeat, of at most so many; None after a fault."""
    times, each = config.get("times"), config.get("each")
    if (times is None) == (each is None):
        if times is not None or not lost & {"times", "each", ""}:
            remedy = "`times: 3`, or `each: {c: [64, 128]}` with a list of values"
            scope.fault("missing-key", "`repeat` takes either `times` or `each`", place, help=remedy)
        return None
    try:
        if times is not None:
            count = scope.value(times)
            if isinstance(count, bool) or not isinstance(count, int):
                scope.fault("wrong-type", f"`times` takes a whole number, not {says(count)}", times.span)
                return None
            if count < 0:
                scope.fault("invalid-value", f"`times` takes 0 or more, not {says(count)}", times.span)
                return None
            return [{}] * min(count, most)
        assert each is not None
        lists = {key: scope.value(item) for key, item in each.items()}
    except Faulty:
        return None
    if not lists or not all(isinstance(values, list) for values in lists.values()):
        remedy = "`each: {c: [64, 128], n: [1, 2]}`"
        scope.fault("wrong-type", "`each` takes names and lists of values", each.span, help=remedy)
        return None
    lengths = {key: len(values) for key, values in lists.items()}
    if len(set(lengths.values())) > 1:
        first, *others = (
            Label(each.keys[key], f"{length} value{'s' * (length != 1)}") for key, length in lengths.items()
        )
        message = "the lists of `each` have different lengths"
        scope.fault("uneven-each", message, first.span, first.text, *others)
        return None
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def lost_names(config: YamlNode) -> dict[str, Any]:
    """The names that the rounds of a faulty repeat would have bound."""
    return {name: LOST for _, item in config.items() for name in item.keys}


def with_values(values: Mapping[str, Any]) -> str:
    """What a use or a round binds, as a label ends with it."""
    shown = ", ".join(f"{key} = {_short(value)}" for key, value in values.items() if value is not LOST)
    return f", with {shown}" if shown else ""


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:23] + "…"
