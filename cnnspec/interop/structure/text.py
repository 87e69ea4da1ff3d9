"""A spec as a person would write it: with blocks, repeats and short forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cnnspec.diagnostics import SpecError
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.spec import Spec
from cnnspec.interop.structure.compress import Block, Structure, compressed
from cnnspec.interop.structure.entry import Entry, Value, entries_of
from cnnspec.interop.structure.unify import Reference
from cnnspec.language.load import loads
from cnnspec.language.render import flow, render, with_layers
from cnnspec.layers import LAYERS

WIDTH = 110
"""The longest line of a branch or a repeat that is written on one line."""


def compact(spec: Spec, modules: bool = False) -> str:
    """Return the text of a spec with what repeats in it as blocks and repeats; it checks to the same graph.

    Where names are those of `modules` (see `entries_of`), those of layers without weights may differ. Where the
    structure cannot be said with the same names, the text has none.
    """
    entries = entries_of(spec.graph, modules)
    for structure in (compressed(entries), Structure(entries)):
        text = with_layers(spec, _body(structure))
        if _says(text, spec.graph):
            return text
    return render(spec, defaults=False)


def _says(text: str, graph: Graph) -> bool:
    """Whether a text checks to a graph."""
    try:
        return bool(_content(loads(text).graph) == _content(graph))
    except SpecError:
        return False


def _content(graph: Graph) -> Any:
    """Return what a graph computes and how its arrays, inputs and outputs are called."""
    places = {node.name: i for i, node in enumerate(graph.nodes)}

    def content(node: Node) -> Any:
        inputs = [places[name] for name in node.inputs]
        return node.layer, inputs, node.shape, node.windows, dict(node.arrays)

    outputs = [places[name] for name in graph.outputs]
    names = graph.output_names if len(outputs) > 1 or graph.aliases else ()
    return [content(node) for node in graph.nodes], graph.inputs, outputs, names


def _body(structure: Structure) -> Iterator[str]:
    if structure.blocks:
        yield "blocks:"
        for name, block in structure.blocks.items():
            yield f"  {name}:"
            if block.params:
                yield f"    params: {flow(block.params)}"
            yield "    layers:"
            yield from _list(block.entries, 3, structure.blocks)
    yield "layers:"
    yield from _list(structure.entries, 1, structure.blocks)


def _list(entries: Sequence[Entry], level: int, blocks: dict[str, Block]) -> Iterator[str]:
    indent = "  " * level
    for entry in entries:
        short = f"{indent}- {_inline(entry, blocks)}"
        if not entry.lists or (len(short) <= WIDTH and entry.is_short_repeat):
            yield short
            continue
        yield f"{indent}- {entry.kind}:"
        for name, value in _fields(entry):
            yield f"{indent}    {name}: {_value(value)}"
        for name, inner in entry.lists:
            line = f"{indent}    {name}: [{', '.join(_inline(e, blocks) for e in inner)}]"
            if len(line) <= WIDTH and len(inner) < 4 and all(not e.lists for e in inner):
                yield line
            else:
                yield f"{indent}    {name}:"
                yield from _list(inner, level + 3, blocks)


def _inline(entry: Entry, blocks: dict[str, Block]) -> str:
    if entry.kind == "from":
        return f"from: {entry.fields[0][1]}"
    if entry.lists:
        parts = [f"{name}: {_value(value)}" for name, value in _fields(entry)]
        parts += [f"{name}: [{', '.join(_inline(e, blocks) for e in inner)}]" for name, inner in entry.lists]
        return f"{entry.kind}: {{{', '.join(parts)}}}"
    fields = _fields(entry)
    if not fields:
        return entry.kind
    main = next(iter(blocks[entry.kind].params), None) if entry.kind in blocks else LAYERS[entry.kind].main
    if len(fields) == 1 and fields[0][0] == main and not isinstance(fields[0][1], dict):
        return f"{entry.kind}: {_value(fields[0][1])}"
    return f"{entry.kind}: {{{', '.join(f'{name}: {_value(value)}' for name, value in fields)}}}"


def _fields(entry: Entry) -> list[tuple[str, Value]]:
    """Return the fields as they are written, the name first."""
    return [*([("name", _name(entry.name))] if entry.name else []), *entry.fields]


def _name(name: str) -> Value:
    """Return a name as it is written: with quotes where it would be a number."""
    return Reference(name) if "$" in name else name


def _value(value: Value) -> str:
    if isinstance(value, Reference):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return flow(value)
