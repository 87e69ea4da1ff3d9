"""The names of layers, uses of blocks, repeats and inputs in a text, and the parts of dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cnnspec.diagnostics import Span
from cnnspec.language.names import Place
from cnnspec.language.scope import within
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.lsp.analysis import Analysis
from cnnspec.lsp.symbols import Occurrence, Spelling, Symbol

ByName = Mapping[str, tuple[Symbol, bool]]
"""The symbols by the full names of layers, and whether each is a repeat, whose rounds have numbers behind it."""


def layer_names(analysis: Analysis) -> Iterator[Occurrence]:
    """Yield the names of layers that a text holds."""
    if analysis.expansion is None or analysis.root is None:
        return
    names = analysis.expansion.names
    by_name = {full: (_symbol(full, place), place.what == "repeat") for full, place in names.places.items()}
    for symbol, _ in by_name.values():
        if symbol.spelling == "written" and symbol.span.source == analysis.source:
            yield Occurrence(symbol.span, symbol)
    for reference in names.references:
        if reference.span.source == analysis.source:
            yield from _in_name(reference.full, reference.text, reference.span, by_name)
    for text, span in _other_names(analysis.root):
        yield from _in_name(text, text, span, by_name)


def _symbol(full: str, place: Place) -> Symbol:
    written = _unquoted(place.span)
    text = written.text
    if full == text or full.endswith(f".{text}"):
        return Symbol("layer", text, written)
    spelling: Spelling = "computed" if "$" in text else "default"
    return Symbol("layer", full.rpartition(".")[2], place.span, spelling)


def _unquoted(span: Span) -> Span:
    text = span.text
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return span._replace(column=span.column + 1, end_column=span.end_column - 1)
    return span


def _in_name(full: str, text: str, span: Span, by_name: ByName) -> Iterator[Occurrence]:
    """Yield the names that a dotted name is made of; `text` is the part of the full name that is written."""
    cut = len(full) - len(text)
    parts = full.split(".")
    for count in range(1, len(parts) + 1):
        prefix = ".".join(parts[:count])
        found = by_name.get(prefix)
        if found is None:
            prefix = prefix.rstrip("0123456789")
            found = by_name.get(prefix)
            if found is None or not found[1]:
                continue
        symbol = found[0]
        start = len(prefix) - len(symbol.name)
        if start >= cut:
            yield Occurrence(within(span, text, start - cut, len(prefix) - cut), symbol)


def _other_names(root: YamlNode) -> Iterator[tuple[str, Span]]:
    """Yield the names of layers and outputs that the rest of a spec holds, with their places."""
    for key in ("freeze", "replace"):
        node = _get(root, "train", key)
        for item in (node, *node.elements()) if node is not None else ():
            if isinstance(item.value, str):
                yield item.value, item.span
    by_layer = [_get(root, "train", "rates")]
    by_output = [_get(root, *path) for path in _BY_OUTPUT]
    examples = root.get("examples")
    for example in examples.elements() if examples is not None else ():
        by_layer.append(example.get("inputs"))
        by_output.append(example.get("outputs"))
    outputs = root.get("outputs")
    if outputs is None or outputs.is_list:  # the outputs are called as their layers
        by_layer += by_output
    for node in by_layer:
        yield from node.keys.items() if node is not None else ()


_BY_OUTPUT = (("classes",), ("train", "losses"), ("train", "targets"), ("expect", "outputs"))


def _get(root: YamlNode, *path: str) -> YamlNode | None:
    node: YamlNode | None = root
    for key in path:
        node = node.get(key) if node is not None else None
    return node
