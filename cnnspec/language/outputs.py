"""The `outputs` of a spec: the layers whose values the network hands out, and the names under which it does."""

from __future__ import annotations

from collections.abc import Iterator

from cnnspec.diagnostics import Label
from cnnspec.language.document import Document
from cnnspec.language.names import NAME_RULE, Names, Output, is_name
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import describe, quoted

_KEY = "outputs"
_FORM = "`outputs: [main, aux]`: names of layers, or `outputs: {main: dense1}` to hand one out under another name"


def read_outputs(document: Document, names: Names, end: Output) -> dict[str, Output] | None:
    """Return the outputs by the names under which they are handed out; the end of the layers where none are named.

    Returns None, and reports what is wrong, where an output that is named is none.
    """
    node, scope = document.outputs, document.scope
    if node is None:
        return {end.node: end}
    if not (node.is_list or node.is_mapping) or not node.value:
        shown = "none" if node.value in ((), {}) else describe(node.plain())
        scope.error("wrong-type", f"`outputs` takes the names of layers, not {shown}", node.span, help=_FORM)
        return None
    found: dict[str, Output] = {}
    places: dict[str, tuple[str, YamlNode]] = {}
    valid = True
    for written, item in _entries(node):
        output = names.look_up(_KEY, item, scope)
        name = written if written is not None else str(scope.value(item)) if output else ""
        if output is None:
            valid = False
        elif written is not None and not all(map(is_name, written.split("."))):
            message = f"an output cannot be called {quoted(written)}"
            scope.error("invalid-name", message, node.keys[written], help=NAME_RULE)
            valid = False
        elif output.is_input:
            message = f"{quoted(output.node)} is an input, and an output is made by a layer"
            scope.error("not-allowed-here", message, item.span, "", Label(output.span, "the input"))
            valid = False
        elif output.node in places:
            first, where = places[output.node]
            message = f"{quoted(first)} and {quoted(name)} are the same output"
            message = f"the output {quoted(name)} is named twice" if first == name else message
            scope.error("duplicate-name", message, item.span, "again here", Label(where.span, "first here"))
            valid = False
        else:
            found[name] = output
            places[output.node] = (name, item)
    return found if valid else None


def _entries(node: YamlNode) -> Iterator[tuple[str | None, YamlNode]]:
    """Yield each layer that is an output, and the name that a mapping gives it."""
    if node.is_list:
        yield from ((None, item) for item in node.elements())
    else:
        yield from node.items()
