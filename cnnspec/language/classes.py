"""The `classes` of a spec: the names of the elements of its outputs."""

from __future__ import annotations

from collections.abc import Mapping

from cnnspec.diagnostics import Label, Span
from cnnspec.language.checks import no_output
from cnnspec.language.document import Document
from cnnspec.language.names import Output
from cnnspec.language.removal import removal
from cnnspec.language.repairs import replaced
from cnnspec.language.scope import Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import describe, format_shape, names


def read_classes(document: Document, outputs: Mapping[str, Output] | None) -> dict[str, tuple[str, ...]]:
    """Return the names of the classes of each output that has some; report those that do not fit it.

    Where the outputs are not known, the names alone are checked. A list is that of the one output, or of every output
    that is a vector with so many elements; a mapping gives a list for each output.
    """
    node, span, scope = document.classes, document.classes_span, document.scope
    if node is None or span is None:
        return {}
    if outputs is None:
        for item in node.elements() and [node] if not node.is_mapping else [item for _, item in node.items()]:
            _names(document, item)
        return {}
    if node.is_mapping:
        found = {}
        for name, item in node.items():
            if name not in outputs:
                no_output(scope, name, node.keys[name], outputs)
            elif (classes := _names(document, item)) and _fits(scope, classes, outputs[name], node.keys[name], name):
                found[name] = classes
        return found
    classes = _names(document, node)
    if not classes:
        return {}
    if len(outputs) == 1:
        ((name, output),) = outputs.items()
        return {name: classes} if _fits(scope, classes, output, span) else {}
    fitting = [name for name, output in outputs.items() if output.shape in (None, (len(classes),))]
    if not fitting:
        message = f"`classes` has {len(classes)} names, and no output is a vector of {len(classes)}"
        others = [Label(output.span, f"makes {format_shape(output.shape or ())}") for output in outputs.values()]
        remedy = f"`classes: {{{next(iter(outputs))}: […]}}` names those of one of {names(list(outputs))}"
        scope.error("invalid-value", message, span, f"{len(classes)} names", *others, help=remedy)
    return dict.fromkeys(fitting, classes)


def _names(document: Document, node: YamlNode) -> tuple[str, ...]:
    scope = document.scope
    if not node.is_list:
        is_list = isinstance(node.value, str) and "," in node.value and node.span.text == node.value
        written = f"[{node.span.text}]"
        fixes = [replaced(node.span, written, certain=True)] if is_list else []
        message = f"`classes` takes a list of names, not {describe(node.plain())}"
        if type(node.value) is int:
            fixes = removal(document.levels, node.span)
        scope.error("wrong-type", message, node.span, fixes=fixes)
        return ()
    found = []
    for item in node.elements():
        if isinstance(item.value, tuple | dict | bool | None):
            remedy = "quote it" if isinstance(item.value, bool) else ""
            scope.error("wrong-type", f"a class is named by text, not {describe(item.plain())}", item.span, help=remedy)
        found.append(str(item.value))
    return tuple(found)


def _fits(scope: Scope, classes: tuple[str, ...], output: Output, span: Span, name: str = "") -> bool:
    """Compare the number of classes with the number of elements of an output."""
    count = len(classes)
    if output.shape is None or count == output.shape[0]:
        return True
    elements = output.shape[0]
    whole, what = (f"`{name}`", "elements") if name else ("the network", "outputs")
    message = f"`{name or 'classes'}` names {count} of {whole}'s {elements} {what}"
    if name:
        message = f"`classes` has {count} names for `{name}`, which has {elements} elements"
    elif count > elements:
        message = f"`classes` has {count} names, and the network {elements} outputs"
    scope.error(
        "invalid-value", message, span, f"{count} names", Label(output.span, f"makes {format_shape(output.shape)}")
    )
    return False
