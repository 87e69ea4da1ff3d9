"""Rename a parameter, a block or a layer, wherever the text has its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from cnnspec.diagnostics import Diagnostic, Edit, Span
from cnnspec.language.blocks import RESERVED
from cnnspec.language.build import Built, build
from cnnspec.language.edits import apply, with_field
from cnnspec.language.entry import COMMON_KEYS, Entry
from cnnspec.language.names import NAME_RULE, is_layer_name, is_name, is_param_name, param_rule
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find
from cnnspec.layers.input import INPUT
from cnnspec.lsp.analysis import Analysis
from cnnspec.lsp.names import names_of
from cnnspec.lsp.symbols import Occurrence, Symbol


class CannotRename(Exception):
    """A name that cannot be changed, or not to that; the message says why."""


def renamable(analysis: Analysis, offset: int) -> Occurrence:
    """Return the name at an offset; raise CannotRename where there is none that can be changed."""
    found = names_of(analysis).at(offset) or _kind_at(analysis, offset)
    if found is None:
        raise CannotRename("no name of a parameter, a block or a layer is here")
    symbol = found.symbol
    if symbol.span.source != analysis.source:
        raise CannotRename(f"`{symbol.name}` is defined in {symbol.span.source.name}: rename it there")
    if symbol.spelling == "computed" or symbol.name == INPUT:
        raise CannotRename(f"`{symbol.name}` is {'computed' if symbol.name != INPUT else 'the input, by default'}")
    return found


def _kind_at(analysis: Analysis, offset: int) -> Occurrence | None:
    """Return the kind of a layer at an offset, which stands for the layer's default name."""
    for span, nodes in analysis.nodes_at.items():
        if span.source == analysis.source and span.range[0] <= offset <= span.range[1] and len(nodes) == 1:
            name = nodes[0].name
            if nodes[0].inputs and not _has_name(analysis, span):
                return Occurrence(span, Symbol("layer", name.rpartition(".")[2], span, "default"))
    return None


def _has_name(analysis: Analysis, span: Span) -> bool:
    config = _configuration(analysis.root, span)
    return config is not None and "name" in config.keys


def rename(analysis: Analysis, offset: int, new: str) -> list[Edit]:
    """Return the edits that rename what is at an offset; raise CannotRename where that cannot be done.

    The edited text is tried: it must have the same network, and no error that the text does not have.
    """
    symbol = renamable(analysis, offset).symbol
    _check_name(symbol, new)
    edits = []
    for span, _ in names_of(analysis).of(symbol):
        if span.text != symbol.name:
            computed = f"`{span.text}` in line {span.line} is computed: change it by hand"
            raise CannotRename(f"`{symbol.name}` cannot be renamed everywhere: {computed}")
        edits.append(Edit(span, new))
    if symbol.spelling == "default":
        edits.append(_named(analysis, symbol.span, new))
    _try(analysis, edits, new)
    return edits


def _check_name(symbol: Symbol, new: str) -> None:
    if symbol.what == "parameter":
        if not is_param_name(new) or new in COMMON_KEYS:
            raise CannotRename(f"a parameter cannot be called `{new}`: {param_rule(new)}")
    elif symbol.what == "block":
        if not is_name(new) or new in RESERVED or find(new) is not None:
            raise CannotRename(f"a block cannot be called `{new}`: {NAME_RULE}, and no kind of a layer")
    elif not is_layer_name(new) or new == INPUT:
        raise CannotRename(f"a layer cannot be called `{new}`: {NAME_RULE}")


def _named(analysis: Analysis, span: Span, new: str) -> Edit:
    """Return the edit that gives a layer with a default name a name of its own."""
    kind = span.text
    cls = find(kind)
    config = _configuration(analysis.root, span)
    document = analysis.document
    assert document is not None
    edit = with_field(Entry(kind, span, config, document.scope), cls.main if cls is not None else None, "name", new)
    if edit is None:
        raise CannotRename(f"the fields of `{kind}` in line {span.line} are a parameter: give it a `name` by hand")
    return edit


def _configuration(node: YamlNode | None, span: Span) -> YamlNode | None:
    """Return what stands behind the kind at a place."""
    if node is None:
        return None
    for key, item in node.items():
        if node.keys[key] == span:
            return item
    inner = [*node.elements(), *(item for _, item in node.items())]
    return next((found for item in inner if (found := _configuration(item, span)) is not None), None)


def _try(analysis: Analysis, edits: Iterable[Edit], new: str) -> None:
    before = build(analysis.source, analysis.opener, fixes=False)
    after = build(apply(analysis.source, edits), analysis.opener, fixes=False)
    fresh = [d for d in after.diagnostics if d.severity == "error" and _count(after, d) > _count(before, d)]
    if fresh:
        raise CannotRename(f"with the name `{new}`, {fresh[0].message}")
    if _network(before) != _network(after):
        raise CannotRename(f"with the name `{new}`, the network is another one: the name has a meaning already")


def _count(built: Built, diagnostic: Diagnostic) -> int:
    return Counter(d.code for d in built.diagnostics)[diagnostic.code]


def _network(built: Built) -> list[tuple[object, ...]]:
    nodes = built.expansion.placer.builder.nodes if built.expansion is not None else []
    index = {node.name: i for i, node in enumerate(nodes)}
    return [(node.layer, node.shape, [index[name] for name in node.inputs]) for node in nodes]
