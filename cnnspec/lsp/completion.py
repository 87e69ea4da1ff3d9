"""What may be written at the cursor: kinds, fields, words, blocks, parameters and names of layers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Literal, NamedTuple

from cnnspec import bundled
from cnnspec.diagnostics import Source
from cnnspec.language.expressions import ARRIVING, ARRIVING_SIZES, UNRESOLVED
from cnnspec.language.render import flow
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find, known_kinds
from cnnspec.lsp.analysis import Analysis, any_schema
from cnnspec.lsp.context import ITEM, Context, Path, context
from cnnspec.lsp.fields import Fields, Key
from cnnspec.lsp.hover import documentation_of
from cnnspec.lsp.places import children
from cnnspec.lsp.positions import point_of
from cnnspec.wording import format_shape

What = Literal["kind", "block", "field", "word", "parameter", "layer", "file"]

_LAST_WORD = re.compile(r"\w*\Z")
_EACH = re.compile(r"\beach:\s*\{([^}]*)|\bindex:\s*(\w+)")
_EACH_NAME = re.compile(r"(\w+):\s")
_LAYER_KEYS = ("from", "share", "like")
_CHOSEN = ("freeze", "replace")


class Completion(NamedTuple):
    """A proposal: what is shown of it, and what replaces the text from `start` to the cursor.

    `snippet` is the same with tab stops (`${1}`), for editors that have them; "" where there is none.
    """

    label: str
    what: What
    detail: str
    about: str
    text: str
    start: int
    snippet: str = ""


def completions(source: Source, known: Analysis | None, offset: int) -> list[Completion]:
    """Return what may be written at an offset of a text, which need not be valid.

    `known` is an analysis of the text, or of an earlier state of it, whose blocks and names are offered.
    """
    at = context(source.text, offset)
    if at is None:
        return []
    known = known.readable if known is not None else None
    if (start := _reference_start(source.text[:offset])) is not None:
        return list(_parameters(source, known, at, start))
    found = list(_names(source, known, at, offset)) if at.role != "key" else []
    return found or list(_by_schema(Fields(known.schema if known is not None else any_schema()), known, at))


def _reference_start(text: str) -> int | None:
    """Return where the name of a parameter begins that a text ends in, behind `$` or within `$(…`; None elsewhere."""
    line = text[text.rfind("\n") + 1 :]
    word = _LAST_WORD.search(line)
    assert word is not None
    before = line[: word.start()]
    expression = before[before.rfind("$(") + 2 :] if "$(" in before else ")"
    if before.endswith("$") or expression.count("(") >= expression.count(")"):
        return len(text) - len(word[0])
    return None


# What the schema says


def _by_schema(fields: Fields, known: Analysis | None, at: Context) -> Iterator[Completion]:
    keys = fields.keys(at.path) if at.role != "value" else {}
    words = fields.values(at.path) if at.role != "key" else []
    if fields.is_entry(at.path):
        blocks = known.document.blocks if known is not None and known.document is not None else {}
        for name, key in keys.items():
            yield _entry(name, key, "block" if name in blocks else "kind", at)
    else:
        required = fields.required(at.path)
        for name, key in sorted(keys.items(), key=lambda pair: pair[0] not in required):
            if name not in at.siblings:
                detail = f"default {flow(key.default)}" if key.default is not None else ""
                detail = "required" if name in required else detail
                yield Completion(name, "field", detail, key.about, f"{name}: ", at.start)
    for word in words:
        if word not in keys:
            yield Completion(word, "word", "", documentation_of(word), word, at.start)


def _entry(name: str, key: Key, what: What, at: Context) -> Completion:
    """Return an entry of a list: a kind alone, or with the fields that it needs."""
    if key.alone and not key.needs:
        return Completion(name, what, "", key.about, name, at.start)
    cls = find(name)
    stops = ", ".join(f"{need}: ${{{i}}}" for i, need in enumerate(key.needs, 1))
    snippet = f"{name}: {{{stops}}}" if key.needs else ""
    if cls is not None and key.needs == (cls.main,):
        snippet = f"{name}: ${{1}}"
    return Completion(name, what, ", ".join(key.needs), key.about, f"{name}: ", at.start, snippet)


# Parameters


def _parameters(source: Source, known: Analysis | None, at: Context, start: int) -> Iterator[Completion]:
    document = known.document if known is not None else None
    found: dict[str, str] = {}
    block = document.blocks.get(at.path[1] or "") if document is not None and at.path[:1] == ("blocks",) else None
    if block is not None:
        found |= {name: f"{param.type or 'parameter'} of `{block.name}`" for name, param in block.params.items()}
    if "repeat" in at.path:
        own = [] if known is None or known.root is None else [*_of_repeats(known.root)]
        found |= dict.fromkeys([*own, *_of_open_repeats(source.text[:start])], "of a repeat")
    if document is not None:
        for name, value in document.scope.values.items():
            found.setdefault(name, flow(value) if value is not UNRESOLVED else "")
    if "layers" in at.path:
        found.setdefault(ARRIVING, "channels that arrive")
        for name, axis in ARRIVING_SIZES.items():
            found.setdefault(name, f"{axis} that arrives")
    for name, detail in found.items():
        yield Completion(name, "parameter", detail, "", name, start)


def _of_repeats(node: YamlNode) -> Iterator[str]:
    for key, item in children(node):
        if key == "each":
            yield from item.keys
        elif key == "index" and isinstance(item.value, str):
            yield item.value
        yield from _of_repeats(item)


def _of_open_repeats(text: str) -> Iterator[str]:
    """Yield the names that repeats bind in a text that need not be valid."""
    for found in _EACH.finditer(text):
        yield from [found[2]] if found[2] is not None else _EACH_NAME.findall(found[1])


# Names of layers and of files


def _names(source: Source, known: Analysis | None, at: Context, offset: int) -> Iterator[Completion]:
    path = at.path
    if path == ("extends",):
        yield from _bases(source, at)
    elif path and path[-1] in _LAYER_KEYS and (path[0] in ("layers", "blocks")):
        yield from _layers(source, known, at, offset, path[-2] if path[-1] == "share" and len(path) > 1 else None)
    elif _is_choice(path):
        yield from _layers(source, known, at, len(source.text), None)


def _is_choice(path: Path) -> bool:
    """Return whether the names of layers stand at a place beside the layers."""
    without_items = tuple(step for step in path if step is not ITEM)
    if without_items[:1] == ("outputs",):
        return True
    return without_items[:1] == ("train",) and without_items[1:2] in [(key,) for key in _CHOSEN]


def _layers(source: Source, known: Analysis | None, at: Context, offset: int, kind: str | None) -> Iterator[Completion]:
    """Yield the layers, inputs, uses of blocks and repeats before the cursor; of `kind`, if it is that of a layer."""
    if known is None or known.expansion is None:
        return
    line, _ = point_of(source, offset)
    names, nodes = known.expansion.names, {node.name: node for node in known.nodes}
    only_kind = kind if kind in known_kinds() else None
    in_block = at.path[1] if at.path[:1] == ("blocks",) and len(at.path) > 1 else None
    for full, place in names.places.items():
        node = nodes.get(full)
        if only_kind is not None and (node is None or node.kind != only_kind):
            continue
        inside = in_block is not None and _is_in_block(known, in_block, place.span.line)
        if place.span.source.name == source.name and place.span.line > line and "." not in full:
            continue  # it comes later
        name = full.rpartition(".")[2] if inside else full
        output = names.outputs.get(full)
        shape = format_shape(output.shape) if output is not None and output.shape is not None else ""
        detail = f"{node.kind} {shape}" if node is not None else f"{place.what} {shape}"
        yield Completion(name, "layer", detail.strip(), "", name, at.start)


def _is_in_block(known: Analysis, block: str, line: int) -> bool:
    blocks = known.root.get("blocks") if known.root is not None else None
    node = blocks.get(block) if blocks is not None else None
    return node is not None and node.span.line <= line <= node.span.end_line


def _bases(source: Source, at: Context) -> Iterator[Completion]:
    own = FilePath(source.name)
    beside = sorted(path.name for path in own.parent.glob("*.yaml") if path.name != own.name)
    for name in beside:
        yield Completion(name, "file", "beside this spec", "", name, at.start)
    for name in bundled.names():
        yield Completion(name, "file", "bundled", "", name, at.start)
