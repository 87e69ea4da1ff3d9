"""What the author states about the whole network: expected totals, classes, examples."""

from __future__ import annotations

from collections.abc import Sequence

from cnnspec.document import Document
from cnnspec.graph import Example, Node
from cnnspec.layers.base import by
from cnnspec.layers.fields import says
from cnnspec.reading import read_model
from cnnspec.settings import ExampleText


def trainable(nodes: Sequence[Node]) -> int:
    """How many numbers are learned."""
    return sum(p.size for node in nodes for p in node.parameters.values() if p.trainable)


def macs(nodes: Sequence[Node]) -> int:
    """The multiply-accumulates of one sample."""
    return sum(node.layer.macs(node.in_shapes, node.shape) for node in nodes)


def check_expectations(document: Document, nodes: Sequence[Node], as_written: bool) -> None:
    """Holds the network to the totals and the classes that its author states."""
    scope, expect, node = document.scope, document.expect, document.expect_node
    output = nodes[-1].shape
    if expect is not None and node is not None and as_written:
        for key, found, expected in (
            ("parameters", trainable(nodes), expect.parameters),
            ("macs", macs(nodes), expect.macs),
        ):
            if expected is not None and found != expected:
                what = "MACs" if key == "macs" else key
                message = f"the network has {found:,} {what}, and its author expects {expected:,}"
                label = f"it is {found}, {abs(found - expected):,} {'more' if found > expected else 'fewer'}"
                scope.fault("expectation-failed", message, node.at((key,)), label)
        if expect.output is not None and expect.output != output:
            message = f"the network makes {by(output)}, and its author expects {by(expect.output)}"
            scope.fault("expectation-failed", message, node.at(("output",)), f"it is {list(output)}")
    if document.classes and document.classes_span and len(document.classes) != output[0]:
        message = f"`classes` names {len(document.classes)}, and the network has {output[0]} outputs"
        scope.fault("invalid-value", message, document.classes_span)


def check_examples(document: Document, nodes: Sequence[Node]) -> tuple[Example, ...]:
    """The examples, each held to the shapes of the network's input and output."""
    scope, listed = document.scope, document.examples
    if listed is None:
        return ()
    if not listed.is_list:
        scope.fault("wrong-type", f"`examples` takes a list, not {says(listed.plain())}", listed.span)
        return ()
    found = []
    for number, item in enumerate(listed.elements(), 1):
        if not item.is_mapping:
            scope.fault("wrong-type", f"an example is a mapping, not {says(item.plain())}", item.span)
            continue
        text = read_model(ExampleText, scope, item, "example", item.span)
        if text is None:
            continue
        sizes = []
        for key, given, node in (("input", text.input, nodes[0]), ("output", text.output, nodes[-1])):
            size = given.samples(node.shape)
            sizes.append(size)
            if size is None:
                message = f"the example's {key} is {by(given.shape)}, and the network's is {by(node.shape)}"
                remedy = "leading axes of size one may be left out; a batch has one axis more"
                scope.fault("example-shape", message, item.keys[key], help=remedy)
        if None not in sizes and sizes[0] != sizes[1] and text.output.shape:
            message = f"the example has {sizes[0]} inputs and {sizes[1]} outputs"
            scope.fault("example-shape", message, item.keys["output"])
        name = text.name or f"example {number}"
        found.append(Example(name, text.input, text.output, text.tolerance, item.span))
    return tuple(found)
