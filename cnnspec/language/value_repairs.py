"""Fixes of values in another form: numbers with units, lists without brackets, expressions without their sign."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cnnspec.diagnostics import Fix, Span
from cnnspec.language.expressions import ARRIVING, ARRIVING_SIZES
from cnnspec.language.repairs import is_written, replaced
from cnnspec.language.yaml_tree import YamlNode, resolve

_NUMBER = r"\d+(?:\.\d+)?"
_PERCENT = re.compile(rf"({_NUMBER}) ?%")
_SIZES = re.compile(r"\d+(?: ?[x×] ?\d+)+")
_LIST = re.compile(rf"\(?\s*-?{_NUMBER}(?:\s*[,;\s]\s*-?{_NUMBER})+\s*,?\s*\)?")
_GROUPED = re.compile(r"\d+(?:_\d+)+")
_COMMA = re.compile(r"(\d+),(\d+)")
_POWER_OF_TEN = re.compile(r"(?:(\d+(?:\.\d+)?) ?[x×*·] ?)?10 ?(?:\^|\*\*) ?\(?([-−]?\d+)\)?")
_WITH_REMARK = re.compile(rf"({_NUMBER})(#.*)")
_WITH_UNIT = re.compile(rf"({_NUMBER}) ?([A-Za-z]+)")
_SHELL = re.compile(r"\$?\{\{?\s*([A-Za-z_]\w*)\s*\}\}?")
_NAME = re.compile(r"[A-Za-z_]\w*")
_SIGNS = str.maketrans({"$": "", "−": "-", "×": "*", "·": "*", "÷": "/"})
_FORMULA = re.compile(r"[\w$(). +*/%−-]+")
_BOOLEANS = {"yes": "true", "no": "false", "on": "true", "off": "false"}
_WORDS = {"SAME": "same_upper", "VALID": "valid"}
"""TensorFlow's rules of padding."""
_COLOURS = {"rgb": "3", "bgr": "3", "color": "3", "colour": "3", "gray": "1", "grey": "1", "rgba": "4"}
_CHANNELS = ("in_channels", "in_planes", "inplanes", "in_features", "in_ch", "nin", "c_in", "cin")
"""What code calls the number of channels that arrive."""


def for_value(value: Any, span: Span, params: Mapping[str, Any], field: str = "") -> list[Fix]:
    """Return fixes of a value that has the wrong form: a parameter without its `$`, a percentage, `3x3`, `yes`."""
    if isinstance(value, float) and value.is_integer() and resolve(span.text) == value:
        return [replaced(span, str(int(value)), certain=True, said=True)]
    if not isinstance(value, str) or not is_written(value, span):
        return []
    return [
        *_references(value, span, params),
        *_numbers(value, span, field),
        *_lists(value, span),
        *_words(value, span, field),
    ]


def _references(value: str, span: Span, params: Mapping[str, Any]) -> Iterator[Fix]:
    """Yield fixes of references to parameters, and of expressions, that are written otherwise."""
    if value in params:
        yield replaced(span, f"${value}", certain=True)
    elif value in _CHANNELS:
        yield replaced(span, f"${ARRIVING}", certain=True)
    elif (found := _SHELL.fullmatch(value)) and found[1] in params:
        yield replaced(span, f"${found[1]}", certain=True)
    elif (text := as_expression(value, params)) is not None:
        yield replaced(span, text, certain=True)


def as_expression(value: str, params: Mapping[str, Any]) -> str | None:
    """Return the expression that a text without its sign is, or with too many; None where it can be none."""
    bare = value.translate(_SIGNS).replace("^", "**").strip()
    if bare.count("(") == bare.count(")") + 1:
        bare += ")"
    if bare.startswith("(") and bare.endswith(")") and ")" not in bare[1:-1]:
        bare = bare[1:-1]
    names = _NAME.findall(bare)
    known = {*params, ARRIVING, *ARRIVING_SIZES}
    if not names or not _FORMULA.fullmatch(bare) or not known.issuperset(names) or bare == names[0]:
        return None
    return f"$({bare})"


def _numbers(value: str, span: Span, field: str) -> Iterator[Fix]:
    """Yield fixes of numbers with a sign, a unit, a remark or a comma."""
    if found := _PERCENT.fullmatch(value):
        yield replaced(span, f"{float(found[1]) / 100:g}", certain=True)
    if found := _COMMA.fullmatch(value):
        yield replaced(span, f"{found[1]}.{found[2]}", certain=True)
    if _GROUPED.fullmatch(value):
        yield replaced(span, value.replace("_", ""), certain=True)
    if found := _POWER_OF_TEN.fullmatch(value):
        yield replaced(span, f"{found[1] or 1}e{found[2].replace('−', '-')}", certain=True)
    if found := _WITH_REMARK.fullmatch(value):
        yield replaced(span, f"{found[1]}  {found[2]}", certain=True)
    if found := _WITH_UNIT.fullmatch(value):
        is_own = found[2].casefold().rstrip("s") == field.casefold().rstrip("s")
        yield replaced(span, found[1], certain=is_own)
    if span.text[:1] in "\"'" and not isinstance(resolve(value), str | None):
        yield replaced(span, value, certain=True, said=True)


def _lists(value: str, span: Span) -> Iterator[Fix]:
    """Yield fixes of lists of numbers without their brackets."""
    if _SIZES.fullmatch(value):
        sizes = [int(n) for n in re.findall(r"\d+", value)]
        if len(sizes) == 3 and sizes[2] in (1, 3):
            yield replaced(span, str([sizes[2], *sizes[:2]]))
        yield replaced(span, str(sizes), if_alone=True)
        if len(sizes) == 2:
            yield replaced(span, str([1, *sizes]), if_alone=True)
    elif _LIST.fullmatch(value):
        items = ", ".join(re.findall(rf"-?{_NUMBER}", value))
        first, end = span.range
        text = span.source.text
        is_inside = text[first - 1 : first] == "[" and text[end : end + 1] == "]"
        yield replaced(span, items if is_inside else f"[{items}]", certain=True)


def _words(value: str, span: Span, field: str) -> Iterator[Fix]:
    """Yield fixes of words that stand for others."""
    if value.casefold() in _BOOLEANS:
        yield replaced(span, _BOOLEANS[value.casefold()], certain=True)
    if field in ("input", "shape") and value.casefold() in _COLOURS:
        yield replaced(span, _COLOURS[value.casefold()])
    if value in _WORDS:
        yield replaced(span, _WORDS[value], certain=True)


def in_percent(value: Any, limit: Any, span: Span) -> list[Fix]:
    """Return the fix of a number that is probably in percent, where at most 1 is taken."""
    if isinstance(value, bool) or not isinstance(value, int | float) or limit != 1 or not 5 <= value <= 100:
        return []
    return [replaced(span, f"{value / 100:g}")] if resolve(span.text) == value else []


def axis_by_number(value: Any, span: Span) -> list[Fix]:
    """Return fixes of an axis by its number, behind that of the batch, or from the end."""
    names = {1: ["channels"], 2: ["height", "length", "depth"], 3: ["width", "height"], 4: ["width"], -1: ["width"]}
    found = names.get(value, []) if type(value) is int and resolve(span.text) == value else []
    return [replaced(span, name) for name in found]


def last_of(value: Any, span: Span) -> list[Fix]:
    """Return the fix of `[256, 120]`, the sizes before and behind a layer, where only the latter is written."""
    if not isinstance(value, list) or len(value) != 2 or not all(type(n) is int for n in value):
        return []
    return [replaced(span, str(value[1]))] if span.text.startswith("[") else []


def by_position(node: YamlNode, fields: list[str]) -> list[Fix]:
    """Return the fix of fields that are given by position."""
    items = node.elements()
    if len(items) != len(fields) or len(items) < 2 or "\n" in node.span.text:
        return []
    written = ", ".join(f"{field}: {item.span.text}" for field, item in zip(fields, items, strict=True))
    return [replaced(node.span, f"{{{written}}}")]


def whole_division(text: str, value: Any, span: Span) -> list[Fix]:
    """Return the fix of a division whose result is whole, and has to be."""
    if not isinstance(value, float) or not value.is_integer() or not re.search(r"(?<!/)/(?!/)", text):
        return []
    return [replaced(span, re.sub(r"(?<!/)/(?!/)", "//", span.text), certain=True)] if text in span.text else []
