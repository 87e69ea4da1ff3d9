"""Keys of other frameworks whose value changes with them, and keys that say what is inferred here."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from cnnspec.diagnostics import Edit, Fix, Span
from cnnspec.language.key_edits import without_key
from cnnspec.language.repairs import replaced
from cnnspec.language.suggestions import fold
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import quoted

Pairs = list[tuple[str, str]]
"""Keys and the text of their values; none where the key is to be left out."""
Conversion = Callable[[Any], Pairs | None]

_PER_SIDE = re.compile(
    r"(?:nn\.|torch\.nn\.)?(?:Lazy)?(?:Conv|ConvTranspose|MaxPool|AvgPool|ZeroPad|ReflectionPad|ReplicationPad)[123]d"
    r"|(?:layers\.|keras\.layers\.)?ZeroPadding[123]D"
)
"""Kinds whose `padding` is a number of rows on each side."""

_INFERRED = (
    "in_channels in_features in_planes inplanes in_dim num_features num_channels in_size input_channels input_size "
    "input_dim input_shape data_format inplace metrics t_max start_dim end_dim"
)
_LEFT_OUT = frozenset(map(fold, _INFERRED.split()))
_UNSURE = frozenset(map(fold, ("input_dim", "input_shape", "input_size")))
"""Keys of the first layer that may be all that says what the input is."""


def pairs_of(key: str, value: Any, known: Collection[str]) -> Pairs | None:
    """Return the keys and values that a key of another framework stands for; none where it is to be left out."""
    folded = fold(key)
    if folded in _LEFT_OUT:
        return []
    conversion = _CONVERSIONS.get(folded)
    pairs = conversion(value) if conversion is not None else None
    return pairs if pairs is not None and {new for new, _ in pairs} <= set(known) else None


def is_per_side(kind: str) -> bool:
    """Return whether a kind of another framework counts its padding on each side."""
    return _PER_SIDE.fullmatch(kind) is not None


def for_key(node: YamlNode, key: str, known: Collection[str]) -> list[Fix]:
    """Return the fix of a key that stands for others with another value, or that can be left out."""
    item = node.get(key)
    if key == "from" and item is not None:
        return _as_item(node, item)
    pairs = pairs_of(key, item.plain(), known) if item is not None else None
    if item is None or pairs is None or not {new for new, _ in pairs}.isdisjoint(node.keys):
        return []
    if not pairs:
        edit = without_key(node, key)
        return [Fix(f"leave out {quoted(key)}", (edit,), certain=fold(key) not in _UNSURE)] if edit is not None else []
    span = node.keys[key]
    whole = span._replace(end_line=item.span.end_line, end_column=item.span.end_column)
    if whole.end_line != whole.line:
        return []
    between = ", " if node.span.text.startswith("{") else "\n" + " " * (span.column - 1)
    written = between.join(f"{new}: {text}" for new, text in pairs)
    return [replaced(whole, written, certain=True)]


def _as_item(node: YamlNode, source: YamlNode) -> list[Fix]:
    """Return the fix of `flatten: {from: name}`: an item of its own before the layer, in a list with dashes."""
    span = node.keys["from"]
    line, edit = span.source.lines[span.line - 1], without_key(node, "from")
    dash = len(line) - len(line.lstrip(" "))
    if edit is None or not line.startswith("- ", dash) or node.span.line != span.line:
        return []
    item = Edit(Span(span.source, span.line, 1, span.line, 1), f"{' ' * dash}- from: {source.span.text}\n")
    return [Fix(f"put {quoted(f'from: {source.span.text}')} before it", (item, edit))]


def with_padding(fix: Fix, kind: str, config: YamlNode | None) -> Fix:
    """Return the fix of a foreign kind with the padding changed, too, where that kind counts it on each side."""
    node = config.get("padding") if config is not None else None
    if node is None or not is_per_side(kind) or not _sizes(node.plain()) or node.plain() == 0:
        return fix
    text = f"{{each_side: {node.span.text}}}"
    title = f"{fix.title}, and {quoted(f'padding: {node.span.text}')} with {quoted(f'padding: {text}')}"
    return Fix(title, (*fix.edits, Edit(node.span, text)), fix.certain)


def _sizes(value: Any) -> bool:
    """Return whether a value is a size, or a list of sizes."""
    items = value if isinstance(value, list) and value else [value]
    return all(type(n) is int and n >= 0 for n in items)


def _kept(value: Any) -> Pairs | None:
    """From the probability of keeping a number to that of dropping it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        return None
    return [("rate", f"{round(1 - value, 10):g}")]


def _flag(field: str, text: str) -> Conversion:
    """A flag that stands for a value of a field; where it is off, it can be left out."""

    def convert(value: Any) -> Pairs | None:
        return [(field, text)] if value in (True, 1) else [] if value in (False, 0) else None

    return convert


def _each_side(value: Any) -> Pairs | None:
    """A padding that is counted on each side, of one number or of one for each axis."""
    return [("padding", f"{{each_side: {value}}}")] if _sizes(value) else None


_SIDES = {2: ("left", "right"), 4: ("top", "left", "bottom", "right")}


def _pads(value: Any) -> Pairs | None:
    """The pads of ONNX: those at the beginning of every axis, then those at the end."""
    if not isinstance(value, list) or not _sizes(value) or len(value) not in (2, 4, 6):
        return None
    half = len(value) // 2
    before, after = value[:half], value[half:]
    if before == after:
        return [("padding", f"{{each_side: {before[0] if len(set(before)) == 1 else before}}}")]
    if len(value) not in _SIDES:
        return None
    sides = zip(_SIDES[len(value)], value, strict=True)
    return [("padding", "{" + ", ".join(f"{side}: {n}" for side, n in sides) + "}")]


_RULES = {"SAME_UPPER": "same_upper", "SAME_LOWER": "same_lower", "VALID": "valid"}


def _auto_pad(value: Any) -> Pairs | None:
    """The padding rule of ONNX."""
    return [] if value == "NOTSET" else [("padding", _RULES[value])] if value in _RULES else None


def _split(*fields: str) -> Conversion:
    """A list whose items are fields of their own."""

    def convert(value: Any) -> Pairs | None:
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != len(fields):
            return None
        return [(field, str(item)) for field, item in zip(fields, value, strict=True)]

    return convert


def _part(key: str, field: str) -> Conversion:
    """A value that is a field of one of the parts of a section."""
    return lambda value: None if isinstance(value, list | dict) else [(key, f"{{{field}: {value}}}")]


def _corners(value: Any) -> Pairs | None:
    return [("coordinates", "align_corners" if value else "half_pixel")] if isinstance(value, bool) else None


def _first_axis(value: Any) -> Pairs | None:
    """The axis of a merge by its number, behind the batch: that of the channels is the default."""
    return [] if value == 1 else None


def _by_key(rows: Iterable[tuple[str, Conversion]]) -> dict[str, Conversion]:
    return {fold(key): conversion for keys, conversion in rows for key in keys.split()}


_CONVERSIONS = _by_key(
    [
        ("keep_prob keep_probability keep", _kept),
        ("ceil_mode", _flag("rounding", "ceil")),
        ("batch_normalize use_bn use_batch_norm batch_norm bn batchnorm", _flag("norm", "batch_norm")),
        ("pad", _each_side),
        ("pads", _pads),
        ("auto_pad", _auto_pad),
        ("betas", _split("beta1", "beta2")),
        ("align_corners", _corners),
        ("dim axis", _first_axis),
        ("patience", _part("early_stopping", "patience")),
    ]
)
