"""The outline of a spec: its sections, parameters, blocks, and layers with their branches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from cnnspec.diagnostics import Span
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find
from cnnspec.lsp.analysis import Analysis
from cnnspec.lsp.hints import shortened
from cnnspec.wording import format_shape

What = Literal["section", "parameter", "block", "layer", "merge", "branch", "repeat", "input"]


@dataclass(frozen=True)
class Entry:
    """One entry of an outline, with those within it."""

    name: str
    detail: str
    what: What
    span: Span
    """The whole of it."""
    name_span: Span
    inside: tuple[Entry, ...] = field(default=())


def outline(analysis: Analysis) -> list[Entry]:
    """Return the outline of a text that can be read."""
    root = analysis.root
    if root is None:
        return []
    shapes = _Shapes(analysis)
    return [_section(key, root.keys[key], item, shapes) for key, item in root.items()]


class _Shapes:
    """The names and output shapes of items, by their places."""

    def __init__(self, analysis: Analysis) -> None:
        self.blocks = analysis.document.blocks if analysis.document is not None else {}
        self.names = {span: nodes[0].name for span, nodes in analysis.nodes_at.items() if len(nodes) == 1}
        self.outputs: dict[Span, list[str]] = {}
        for span, output in analysis.expansion.trace if analysis.expansion is not None else ():
            if output.shape is not None:
                self.outputs.setdefault(span, []).append(format_shape(output.shape))

    def of(self, item: YamlNode) -> str:
        return shortened(list(dict.fromkeys(self.outputs.get(item.span, []))))


def _section(key: str, span: Span, node: YamlNode, shapes: _Shapes) -> Entry:
    inside: tuple[Entry, ...] = ()
    if key in ("params", "inputs"):
        what: What = "parameter" if key == "params" else "input"
        inside = tuple(
            Entry(name, _short(item), what, _whole(node.keys[name], item), node.keys[name])
            for name, item in node.items()
        )
    elif key == "blocks":
        inside = tuple(_block(name, node.keys[name], item, shapes) for name, item in node.items())
    elif key == "layers":
        inside = tuple(_items(node, shapes))
    return Entry(key, _short(node), "section", _whole(span, node), span, inside)


def _block(name: str, span: Span, node: YamlNode, shapes: _Shapes) -> Entry:
    params, layers = node.get("params"), node.get("layers")
    detail = ", ".join(params.keys) if params is not None else ""
    inside = tuple(_items(layers, shapes)) if layers is not None else ()
    return Entry(name, detail, "block", _whole(span, node), span, inside)


def _items(node: YamlNode, shapes: _Shapes) -> Iterator[Entry]:
    for item in node.elements():
        if isinstance(item.value, str):
            yield Entry(shapes.names.get(item.span, item.value), shapes.of(item), "layer", item.span, item.span)
        for kind, config in list(item.items())[:1]:
            yield _layer(kind, item.keys[kind], item, config, shapes)


def _layer(kind: str, span: Span, item: YamlNode, config: YamlNode, shapes: _Shapes) -> Entry:
    own = config.get("name")
    given = str(own.value) if own is not None and not own.is_list and not own.is_mapping else ""
    name, cls = given or shapes.names.get(span, kind), find(kind)
    what: What = "layer"
    inside: tuple[Entry, ...] = ()
    if kind == "repeat":
        what = "repeat"
        layers = config.get("layers")
        inside = tuple(_items(layers, shapes)) if layers is not None else ()
    elif cls is not None and cls.arity is None:
        what = "merge"
        inside = tuple(
            Entry(key, "", "branch", _whole(config.keys[key], branch), config.keys[key], tuple(_items(branch, shapes)))
            for key, branch in config.items()
            if branch.is_list and key not in cls.model_fields and key != "expect"
        )
    elif kind in shapes.blocks:
        what = "block"
    elif kind == "from":
        name = f"from {_short(config)}"
    kind_shown = f"{kind} " if not name.startswith(kind) and kind != "from" else ""
    return Entry(name, kind_shown + shapes.of(item), what, _whole(span, item), span, inside)


def _whole(span: Span, node: YamlNode) -> Span:
    """Return the place of a key together with its value."""
    ends = max((span.end_line, span.end_column), (node.span.end_line, node.span.end_column))
    return span._replace(end_line=ends[0], end_column=ends[1])


def _short(node: YamlNode) -> str:
    """Return a value as an outline shows it."""
    if node.value is None or (node.span.line != node.span.end_line and (node.is_mapping or node.is_list)):
        return ""
    text = node.span.text
    return text if len(text) <= 40 else f"{text[:39]}…"
