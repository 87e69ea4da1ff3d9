"""What repeats and blocks bind: the rounds of the one, the arguments of the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnspec.declarations import Block, Param, a_type, is_of, meant_type
from cnnspec.diagnostics import Label, Span
from cnnspec.expressions import LOST
from cnnspec.reading import Faulty, Scope, example, unknown_keys
from cnnspec.source import Node as Text
from cnnspec.wording import names, says


def rounds_of(config: Text, place: Span, scope: Scope, lost: set[str], most: int) -> list[dict[str, Any]] | None:
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


def arguments(block: Block, place: Span, config: Text | None, scope: Scope) -> dict[str, Any]:
    """The values of a block's parameters at one use; LOST for those that cannot be had."""
    given: dict[str, Text] = {}
    lost: set[str] = set()
    if config is not None and config.is_mapping:
        required = [key for key, param in block.params.items() if param.required]
        known = (*block.params, "name", "expect")
        lost = unknown_keys(scope, config, known, f"`{block.name}`", required)
        given = {key: item for key, item in config.items() if key in block.params}
    elif config is not None and config.value is not None:
        if block.params:
            given = {next(iter(block.params)): config}
        else:
            message = f"`{block.name}` takes no value: it has no parameters"
            scope.fault("wrong-type", message, config.span, "", Label(block.span, "declared here"))
    missing = [key for key, param in block.params.items() if param.required and key not in given]
    if missing and not lost & {*missing, ""}:
        declared = [Label(block.params[key].span, "declared here") for key in missing]
        scope.fault(
            "missing-key",
            f"`{block.name}` needs {names(missing)}",
            place,
            "",
            *declared,
            help=example(block.name, missing, config),
        )
    return {key: _argument(block, key, param, given.get(key), scope) for key, param in block.params.items()}


def _argument(block: Block, key: str, param: Param, item: Text | None, scope: Scope) -> Any:
    """The value of one parameter of a block."""
    if item is None:
        return LOST if param.required else param.default
    try:
        value = scope.value(item)
    except Faulty:
        return LOST
    if is_of(value, param.type):
        return value
    remedy = ""
    if param.type == "text" and not param.required and (type_ := meant_type(param.default)):
        remedy = f"`{key}: {type_}` declares a parameter without a default"
    declared = Label(param.span, f"declared here, as {param.type}")
    message = f"`{key}` of `{block.name}` takes {a_type(param.type)}, not {says(value)}"
    scope.fault("wrong-type", message, item.span, "", declared, help=remedy)
    return LOST


def lost_names(config: Text) -> dict[str, Any]:
    """The names that the rounds of a faulty repeat would have bound."""
    return {name: LOST for _, item in config.items() for name in item.keys}


def with_values(values: Mapping[str, Any]) -> str:
    """What a use or a round binds, as a label ends with it."""
    shown = ", ".join(f"{key} = {_short(value)}" for key, value in values.items() if value is not LOST)
    return f", with {shown}" if shown else ""


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:23] + "…"
