"""Fixes of items of lists: layers that are written as in other formats, nested too deep, or two in one item."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from cnnspec.diagnostics import Edit, Fix, Span
from cnnspec.language.key_edits import without_key
from cnnspec.language.repairs import for_word, replaced
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import quoted

_KIND_KEYS = ("type", "kind", "layer", "class", "op")
_SLASHES = re.compile(r"//.*")
_SEVERAL = re.compile(r"\w+(?:\s*,\s*\w+)+")


def is_word(kind: str) -> bool:
    """Return whether a kind is one word, and no line of code or a kind with its value."""
    return re.fullmatch(r"[\w.-]+", kind) is not None


def for_kind(kind: str, span: Span, config: YamlNode | None, kinds: Collection[str]) -> list[Fix]:
    """Return fixes of an item whose kind is not known; `config` is what it is configured by."""
    from cnnspec.language.calls import from_call, is_call
    from cnnspec.language.foreign import with_padding
    from cnnspec.language.suggestions import fold
    from cnnspec.language.yaml_repairs import slashes

    if _SLASHES.match(kind):
        return slashes(span.source)
    if is_call(kind):
        written = from_call(kind) if config is None else None
        return [replaced(span, written, certain=True)] if written is not None else []
    folded = fold(kind)
    whole = span._replace(end_line=config.span.end_line, end_column=config.span.end_column) if config else span
    if folded in ("activation", "norm", "normalization") and config and str(config.value) in kinds:
        return [replaced(whole, str(config.value), certain=True)]
    if folded in ("view", "reshape") and config and _flattens(config):
        return [replaced(whole, "flatten", certain=True)]
    if folded == "leaky":
        return [replaced(span, "leaky_relu: 0.1" if config is None else "leaky_relu")]
    if config and config.is_mapping and (fix := _with_fields(folded, span, config)) is not None:
        return [fix]
    if folded == "sequential" and config and config.is_list:
        return spliced(whole, config)
    if folded in ("identity", "noop") and (edit := _without(whole)) is not None:
        return [Fix(f"leave out {quoted(kind)}", (edit,), certain=True)]
    if _SEVERAL.fullmatch(kind) and {*kinds} >= {*re.split(r"\s*,\s*", kind)}:
        return _one_by_one(span, kind)
    return [with_padding(fix, kind, config) for fix in for_word(kind, span, [*kinds, "from"])]


def for_sugar(kind: str, span: Span, kinds: Collection[str]) -> list[Fix]:
    """Return fixes of a `norm` or an `activation` that is not known."""
    if kind.casefold() == "leaky":  # as Darknet has it
        return [replaced(span, "{leaky_relu: 0.1}")]
    return for_word(kind, span, kinds)


def _flattens(sizes: YamlNode) -> bool:
    """Return whether the sizes of a `view` are those of a batch, and one for all the rest."""
    items = sizes.elements()
    return len(items) == 2 and items[0].value in (-1, "batch", "batch_size", "N", "B")


_POOLS = {"max": "max_pool", "ave": "avg_pool", "avg": "avg_pool", "average": "avg_pool"}


def _with_fields(kind: str, span: Span, config: YamlNode) -> Fix | None:
    """Return the fix of a kind whose fields change, too: Caffe's pooling, depthwise convolutions of Keras."""
    if kind == "pooling" and (pool := config.get("pool")) is not None:
        meant, edit = _POOLS.get(str(pool.value).casefold()), without_key(config, "pool")
        if meant is not None and edit is not None:
            return Fix(f"write `{meant}`", (Edit(span, meant), edit), certain=True)
    if kind == "depthwiseconv" and config.span.text.startswith("{") and "depth_multiplier" not in config.keys:
        start = config.span._replace(column=config.span.column + 1, end_line=config.span.line)
        fields = Edit(start._replace(end_column=start.column), "channels: $in, groups: $in, ")
        return Fix("write a `conv` in as many groups as channels arrive", (Edit(span, "conv"), fields), certain=True)
    return None


def _one_by_one(span: Span, text: str) -> list[Fix]:
    """Return the fix of `flatten, dense: 120`: an item for each kind."""
    head = span.source.lines[span.line - 1][: span.column - 1]
    if head.strip() != "-":
        return []
    between = "\n" + " " * (len(head.rstrip()) - 1) + "- "
    written = between.join(re.split(r"\s*,\s*", text))
    return [Fix("begin each layer with `- `", (Edit(span, written),), certain=True)]


def _without(span: Span) -> Edit | None:
    """Return the edit that takes an item out of a list in brackets, or a line of its own away."""
    line = span.source.lines[span.line - 1]
    before, behind = line[: span.column - 1], line[span.end_column - 1 :]
    if span.line != span.end_line:
        return None
    if before.strip() == "-" and (not behind.strip() or behind.lstrip().startswith("#")):
        return (
            Edit(Span(span.source, span.line, 1, span.line + 1, 1), "") if span.line < len(span.source.lines) else None
        )
    if behind.lstrip().startswith(","):
        end = span.end_column + len(behind) - len(behind.lstrip(" ,"))
        return Edit(span._replace(end_column=end), "")
    if before.rstrip().endswith(","):
        return Edit(span._replace(column=len(before.rstrip()[:-1]) + 1), "")
    return Edit(span, "") if before.rstrip().endswith("[") and behind.lstrip().startswith("]") else None


def spliced(whole: Span, inner: YamlNode) -> list[Fix]:
    """Return the fix that puts the items of a list that is an item itself into the list around it."""
    title = "put its layers into the list around it"
    text = inner.span.text
    if text.startswith("["):
        layers = text[1:-1].strip()
        return [Fix(title, (Edit(whole, layers),), certain=True)] if "\n" not in layers and layers else []
    source, items = whole.source, inner.elements()
    head = source.lines[whole.line - 1][: whole.column - 1]
    outer, nested = len(head.rstrip()), inner.span.column
    if not items or head.strip() != "-":
        return []
    edits = []
    for line in range(whole.line, inner.span.end_line + 1):
        content = source.lines[line - 1]
        if line == whole.line and inner.span.line != whole.line:
            edits.append(Edit(Span(source, line, 1, line + 1, 1), ""))
        elif line == whole.line:
            edits.append(Edit(Span(source, line, outer, line, nested), ""))
        elif content.strip():
            cut = min(nested - outer, len(content) - len(content.lstrip()))
            edits.append(Edit(Span(source, line, 1, line, cut + 1), ""))
    return [Fix(title, tuple(edits), certain=True)]


def for_keys(node: YamlNode, kinds: Collection[str]) -> list[Fix]:
    """Return fixes of an entry with several keys: `type: conv` beside fields, fields at the level of their kind."""
    pairs = dict(node.items())
    if "repeat" in pairs and "layers" in pairs:
        return [fix] if (fix := _repeat(node)) is not None else []
    if all(key in kinds for key in pairs):
        return [*_items_of_their_own(node)]
    named = next((key for key in _KIND_KEYS if key in pairs and pairs[key].value in kinds), None)
    kind = str(pairs[named].value) if named else next((key for key in pairs if key in kinds), None)
    if kind is None:
        return []
    fields = {key: item for key, item in pairs.items() if key not in (named, kind)}
    own = pairs.get(kind)
    if named is None and own is not None and own.value is None and (fix := _indented(node, kind)) is not None:
        return [fix]
    if own is not None and own.is_mapping:
        fields = {**dict(own.items()), **fields}
    elif own is not None and own.value is not None:
        return []
    if not fields or any("\n" in item.span.text for item in fields.values()):
        return []
    written = f"{kind}: {{{', '.join(f'{key}: {item.span.text}' for key, item in fields.items())}}}"
    edits = (Edit(node.span, written),)
    return [Fix(f"write {quoted(written, 100)}", edits, certain=named is not None, if_alone=True)]


def _indented(node: YamlNode, kind: str) -> Fix | None:
    """Return the fix that indents the fields of a kind which stand in its column; None for those within braces."""
    first, *others = node.keys.values()
    if node.keys[kind] != first or any(span.column != first.column or span.line == first.line for span in others):
        return None
    lines = range(others[0].line, node.span.end_line + 1)
    source = node.span.source
    edits = [Edit(Span(source, line, 1, line, 1), "  ") for line in lines if source.lines[line - 1].strip()]
    return Fix(f"indent the fields of `{kind}`", tuple(edits), if_alone=True)


def _items_of_their_own(node: YamlNode) -> Iterator[Fix]:
    """Yield the fix of a mapping of several kinds: an item for each."""
    first, *others = node.keys.values()
    head = node.span.source.lines[first.line - 1][: first.column - 1]
    if head.strip() != "-" or any(span.line == first.line for span in others):
        return
    dash = len(head.rstrip())
    edits = []
    for span in others:
        edits.append(Edit(Span(span.source, span.line, 1, span.line, span.column), " " * (dash - 1) + "- "))
    if all(item.span.line == item.span.end_line for _, item in node.items()):
        yield Fix("begin each layer with `- `", tuple(edits), certain=True)


def _repeat(node: YamlNode) -> Fix | None:
    """Return the fix that puts the layers beside `repeat: 3` into it."""
    times, layers = node.get("repeat"), node.keys["layers"]
    first = node.keys["repeat"]
    if times is None or times.is_mapping or node.span.text.startswith("{") or layers.line == first.line:
        return None
    indent = " " * (first.column + 1)
    edits = [Edit(times.span, f"\n{indent}times: {times.span.text}")]
    for line in range(layers.line, node.span.end_line + 1):
        edits.append(Edit(Span(node.span.source, line, 1, line, 1), "  "))
    return Fix(f"put `times: {times.span.text}` and `layers` into the `repeat`", tuple(edits), certain=True)


def for_branch(merge: YamlNode, name: str) -> list[Fix]:
    """Return fixes of a branch that is no list: one layer alone, nothing, or a field that no merge has."""
    from cnnspec.language.foreign import for_key

    item, key = merge.get(name), merge.keys[name]
    assert item is not None
    if fixes := for_key(merge, name, ("axis",)):
        return fixes
    text = item.span.text
    if item.value is None:
        line = key.source.lines[key.line - 1]
        behind = key._replace(column=key.end_column + 1, end_column=key.end_column + 1)
        is_open = line[key.end_column - 1 : key.end_column] == ":" and not text
        return [Fix("write `[]`, the identity", (Edit(behind, " []"),), certain=True)] if is_open else []
    if not (isinstance(item.value, str) or item.is_mapping) or "\n" in text:
        return []
    inner = text[1:-1] if item.is_mapping and text.startswith("{") else text
    written = f"[{inner.strip()}]"
    return [Fix(f"write it as the list {quoted(written, 100)}", (Edit(item.span, written),), certain=True)]


def layers_of_block(node: YamlNode) -> list[Fix]:
    """Return the fix that puts the list of a block behind `layers:`."""
    span, source = node.span, node.span.source
    if span.text.startswith("["):
        return [Fix("write the list behind `layers:`", (Edit(span, f"{{layers: {span.text}}}"),), certain=True)]
    indent = source.lines[span.line - 1][: span.column - 1]
    if indent.strip():
        return []
    edits = [Edit(Span(source, span.line, 1, span.line, 1), f"{indent}layers:\n  ")]
    for line in range(span.line + 1, span.end_line + 1):
        edits.append(Edit(Span(source, line, 1, line, 1), "  " if source.lines[line - 1].strip() else ""))
    return [Fix("write the list behind `layers:`", tuple(edits), certain=True)]
