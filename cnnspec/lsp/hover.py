"""What an editor shows of the place under the pointer: layers with their formulas, fields, parameters and blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from cnnspec.diagnostics import Span
from cnnspec.graph.graph import Node
from cnnspec.language.blocks import Block
from cnnspec.language.expressions import UNRESOLVED, ExpressionError, UnresolvedValue, arriving, evaluate
from cnnspec.language.render import flow
from cnnspec.layers import find
from cnnspec.layers.reference import documentation
from cnnspec.lsp.analysis import Analysis
from cnnspec.lsp.fields import Fields
from cnnspec.lsp.names import names_of
from cnnspec.lsp.places import Found, found_at
from cnnspec.lsp.symbols import Occurrence
from cnnspec.view.explanation import explain_layer
from cnnspec.view.table import describe
from cnnspec.wording import format_shape

MOST_USES = 8
_SHOWN = ("output", "parameters", "MACs", "receptive field")
"""The topics of an explanation that a hover shows."""
_HIDDEN_STEPS = ("reads",)
_EXPRESSION = re.compile(r"\$(?:[A-Za-z_]\w*|\([^$]*\))")


class Hover(NamedTuple):
    """A text in Markdown, and the part of the text that it is about."""

    markdown: str
    span: Span


def hover(analysis: Analysis, offset: int) -> Hover | None:
    """Return what is known of the place at an offset; None where nothing is."""
    root = analysis.root
    found = found_at(root, analysis.source, offset) if root is not None else None
    if found is None:
        return None
    if not found.is_key and isinstance(found.node.value, str) and "$" in found.node.value:
        return _reference(analysis, found, offset)
    if (nodes := analysis.nodes_at.get(found.span)) is not None and nodes[0].inputs:
        return Hover(_layer(analysis, nodes), found.span)
    if (name := names_of(analysis).at(offset)) is not None and (text := _name(analysis, name)):
        return Hover(text, name.span)
    about = _field(analysis, found)
    return Hover(about, found.span) if about else None


def _reference(analysis: Analysis, found: Found, offset: int) -> Hover | None:
    """Return the parameter under the pointer, and the values of the expressions around it."""
    names = names_of(analysis)
    name = names.at(offset)
    parts = [_parameter(analysis, name)] if name is not None and name.symbol.what == "parameter" else []
    inside = [o.symbol for o in names.occurrences if o.span.source is found.span.source and _within(o.span, found.span)]
    # The values of a block's parameters and of the names of a repeat differ from use to use.
    if all(_is_of_spec(analysis, symbol.span) for symbol in inside):
        for expression in _EXPRESSION.findall(str(found.node.value)):
            shown = list(dict.fromkeys(filter(None, (_value(expression, v) for v in _values(analysis, found)))))
            if shown and not (parts and expression == f"${name.symbol.name if name else ''}"):
                parts.append(f"`{expression}` = {', '.join(f'`{value}`' for value in shown[:MOST_USES])}")
    return Hover("\n\n".join(parts), found.span) if parts else None


def _within(inner: Span, outer: Span) -> bool:
    return outer.range[0] <= inner.range[0] and inner.range[1] <= outer.range[1]


def _values(analysis: Analysis, found: Found) -> list[dict[str, Any]]:
    """Return the values of names at each use of a place: those of the spec, and what arrives at the layer around."""
    values = dict(analysis.document.scope.values) if analysis.document is not None else {}
    for parent in reversed(found.parents):
        nodes = [node for span in parent.keys.values() for node in analysis.nodes_at.get(span, ()) if node.in_shapes]
        if nodes:
            return [{**arriving(node.in_shapes[0]), **values} for node in nodes]
    return [values]


def _value(text: str, values: dict[str, Any]) -> str:
    try:
        value = evaluate(text, values)
    except (ExpressionError, UnresolvedValue):
        return ""
    return "" if value is UNRESOLVED else flow(value)


def _parameter(analysis: Analysis, name: Occurrence) -> str:
    symbol, document = name.symbol, analysis.document
    assert document is not None
    for block in document.blocks.values():
        param = block.params.get(symbol.name) if block is not None else None
        if block is not None and param is not None and param.span == symbol.span:
            given = "every use gives it" if param.required else f"`{_shown(param.default)}` by default"
            kind = f", {param.type}" if param.type else ""
            return f"**`${symbol.name}`**: a parameter of the block `{block.name}`{kind}; {given}."
    value = document.scope.values.get(symbol.name)
    if symbol.name in document.scope.values and value is not UNRESOLVED and _is_of_spec(analysis, symbol.span):
        return f"**`${symbol.name}`** = `{flow(value)}`: a parameter of the spec."
    return f"**`${symbol.name}`**: it has a value in each round of the repeat in line {symbol.span.line}."


def _is_of_spec(analysis: Analysis, span: Span) -> bool:
    params = analysis.root.get("params") if analysis.root is not None else None
    return span.source != analysis.source or (params is not None and span in params.keys.values())


def _shown(default: Any) -> str:
    return (
        flow(default) if isinstance(default, int | float | str | list | dict) else str(getattr(default, "value", "…"))
    )


def _layer(analysis: Analysis, nodes: Sequence[Node]) -> str:
    """Return the figures of a layer, with the formulas; of one that is used several times, the figures of each use."""
    first, spec = nodes[0], analysis.spec
    assert spec is not None
    if len(nodes) > 1:
        lines = [f"**`{first.kind}`**, used {len(nodes)} times:", "", "```text"]
        lines += [f"{node.name}: {_shapes(node)}" for node in nodes[:MOST_USES]]
        lines += ["…"] * (len(nodes) > MOST_USES)
        return "\n".join([*lines, "```", "", documentation_of(type(first.layer).kind)])
    found = explain_layer(spec, first.name)
    sections = [s for s in found.sections if s.topic in _SHOWN and not s.result.startswith("none")]
    lines = [f"**`{first.name}`**: {describe(first)}, {_shapes(first)}", "", "```text"]
    for section in sections:
        lines.append(f"{section.topic:<17}{section.result}")
        if section.topic != "receptive field":
            lines += [f"  {s.quantity:<15}{s.formula}" for s in section.steps if s.quantity not in _HIDDEN_STEPS]
    return "\n".join([*lines, "```", "", documentation_of(first.kind)])


def _shapes(node: Node) -> str:
    return f"{' and '.join(map(format_shape, node.in_shapes))} → {format_shape(node.shape)}"


def documentation_of(kind: str) -> str:
    """Return the documentation of a kind of layer; "" where there is none."""
    cls = find(kind)
    return documentation(cls) if cls is not None else ""


def _name(analysis: Analysis, name: Occurrence) -> str:
    symbol, document = name.symbol, analysis.document
    assert document is not None
    if symbol.what == "parameter":
        return _parameter(analysis, name)
    if symbol.what == "block":
        block = document.blocks.get(symbol.name)
        return _block(analysis, block) if block is not None else ""
    outputs = analysis.expansion.names.outputs if analysis.expansion is not None else {}
    fulls = [full for full in outputs if full == symbol.name or full.endswith(f".{symbol.name}")]
    shapes = [shape for full in fulls if (shape := outputs[full].shape) is not None]
    shown = ", ".join(dict.fromkeys(map(format_shape, shapes)))
    where = f", line {symbol.span.line}" if symbol.span.source == analysis.source else f", {symbol.span}"
    return f"**`{symbol.name}`**: {shown}{where}" if shown else ""


def _block(analysis: Analysis, block: Block) -> str:
    params = [
        f"{name}: {param.type}" if param.required else f"{name} = {_shown(param.default)}"
        for name, param in block.params.items()
    ]
    lines = [f"**block `{block.name}`**({', '.join(params)})"]
    uses = [
        format_shape(output.shape)
        for span, output in (analysis.expansion.trace if analysis.expansion is not None else ())
        if output.shape is not None and span.text.split(":")[0].strip() == block.name
    ]
    if uses:
        lines.append(f"outputs of its uses: {', '.join(dict.fromkeys(uses))}")
    return "\n\n".join(lines)


def _field(analysis: Analysis, found: Found) -> str:
    """Return the documentation of a key, and its default."""
    if not found.path or found.path[-1] is None:
        return documentation_of(found.node.value) if isinstance(found.node.value, str) else ""
    path, fields = found.path, Fields(analysis.schema)
    cls = find(path[-1] or "")
    if not found.is_key and cls is not None and cls.main is not None:
        path = (*path, cls.main)  # the value of a kind is that of its main field
    about, default = fields.about(path), fields.default(path)
    if not about:
        return ""
    return f"**`{path[-1]}`**: {about}" + (f"\n\nDefault: `{flow(default)}`" if default is not None else "")
