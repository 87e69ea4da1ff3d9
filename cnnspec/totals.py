"""What the author states about the whole network: expected totals, classes, examples."""

from __future__ import annotations

from collections.abc import Sequence

from cnnspec.diagnostics import Label, Span
from cnnspec.document import Document
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.graph import Example, Node
from cnnspec.graph.settings import ExampleText
from cnnspec.graph.training import CrossEntropy, Train
from cnnspec.layers import Shape
from cnnspec.layers.fields import Numbers
from cnnspec.reading import Scope, read_model
from cnnspec.source import Node as Text
from cnnspec.wording import by, says


def check_totals(document: Document, output: Shape | None, last: Span, nodes: Sequence[Node] | None) -> None:
    """Holds the network to the totals that its author states; `nodes` is None where some layer is at fault."""
    scope, expect, text = document.scope, document.expect, document.expect_node
    if expect is None or text is None:
        return
    for key, what, count, expected in (
        ("parameters", "parameters", trainable, expect.parameters),
        ("macs", "MACs", macs, expect.macs),
    ):
        if nodes is not None and expected is not None and (found := count(nodes)) != expected:
            message = f"the network has {found:,} {what}, and its author expects {expected:,}"
            label = f"it is {found}, {abs(found - expected):,} {'more' if found > expected else 'fewer'}"
            scope.fault("expectation-failed", message, text.at((key,)), label, help=f"`{key}: {found}`")
    if output is not None and expect.output not in (None, output):
        message = f"the network makes {by(output)}, and its author expects {by(expect.output or ())}"
        made = Label(last, f"makes {by(output)}")
        remedy = f"`output: {list(output)}`, or another last layer"
        scope.fault("expectation-failed", message, text.at(("output",)), "", made, help=remedy)


def check_classes(document: Document, output: Shape | None, last: Span) -> None:
    """Holds the network to as many outputs as its author names classes."""
    count, place = len(document.classes), document.classes_span
    if output is not None and count and place and count != output[0]:
        message = f"`classes` names {count} of the network's {output[0]} outputs"
        if count > output[0]:
            message = f"`classes` has {count} names, and the network {output[0]} outputs"
        document.scope.fault("invalid-value", message, place, f"{count} names", Label(last, f"makes {by(output)}"))


def check_loss(document: Document, last: Node) -> None:
    """Warns of a softmax at the end of what is trained with cross-entropy."""
    if document.train is not None and last.span is not None and (message := softmax_before_loss(document.train, last)):
        remedy = "leave it out; `cnnspec run` shows shares of the classes all the same"
        document.scope.fault("softmax-before-loss", message, last.span, help=remedy, severity="warning")


def softmax_before_loss(train: Train, last: Node) -> str:
    """What is to be said of a network that ends in a softmax under cross-entropy, which has one of its own."""
    if last.kind != "softmax" or not isinstance(train.loss, CrossEntropy):
        return ""
    return f"`{last.name}` stands before cross-entropy, which takes logits and has a softmax of its own"


def read_examples(document: Document, given: Shape | None, made: Shape | None) -> tuple[Example, ...]:
    """The examples, each held to what the network is given and makes, where that is known."""
    scope, listed = document.scope, document.examples
    if listed is None:
        return ()
    if not listed.is_list:
        scope.fault("wrong-type", f"`examples` takes a list, not {says(listed.plain())}", listed.span, help=_FORM)
        return ()
    found = []
    for number, item in enumerate(listed.elements(), 1):
        if not item.is_mapping:
            scope.fault("wrong-type", f"an example is a mapping, not {says(item.plain())}", item.span, help=_FORM)
            continue
        text = read_model(ExampleText, scope, item, "example", item.span)
        if text is None:
            continue
        sizes = [
            _samples(scope, item, "input", text.input, given),
            _samples(scope, item, "output", text.output, made),
        ]
        if None not in sizes and sizes[0] != sizes[1] and text.output.shape:
            message = f"the example has {_some(sizes[0], 'input')} and {_some(sizes[1], 'output')}"
            first = Label(item.keys["input"], _some(sizes[0], "input"))
            scope.fault("example-shape", message, item.keys["output"], _some(sizes[1], "output"), first)
        found.append(Example(text.name or f"example {number}", text.input, text.output, text.tolerance, item.span))
    return tuple(found)


_FORM = "`- {input: [[0, 1], [2, 3]], output: [[6]]}`"


def _samples(scope: Scope, item: Text, key: str, numbers: Numbers, shape: Shape | None) -> int | None:
    """How many samples of a shape the example's numbers are; None, and a fault, where they are none."""
    if shape is None:
        return None
    count = numbers.samples(shape)
    if count is None:
        message = f"the example's {key} is {by(numbers.shape)}, and the network's is {by(shape)}"
        remedy = "leading axes of size one may be left out; a batch has one axis more"
        scope.fault("example-shape", message, item.keys[key], f"{by(numbers.shape)} numbers", help=remedy)
    return count


def _some(count: int | None, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
