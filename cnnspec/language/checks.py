"""What the author states about the whole network: expected totals, classes, examples."""

from __future__ import annotations

from collections.abc import Sequence

from cnnspec.diagnostics import Label, Span
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.graph import Node
from cnnspec.graph.training import CrossEntropy, Train
from cnnspec.language.document import Document
from cnnspec.layers import Shape
from cnnspec.wording import format_shape


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
        message = (
            f"the network makes {format_shape(output)}, and its author expects {format_shape(expect.output or ())}"
        )
        made = Label(last, f"makes {format_shape(output)}")
        remedy = f"`output: {list(output)}`, or another last layer"
        scope.fault("expectation-failed", message, text.at(("output",)), "", made, help=remedy)


def check_classes(document: Document, output: Shape | None, last: Span) -> None:
    """Holds the network to as many outputs as its author names classes."""
    count, place = len(document.classes), document.classes_span
    if output is not None and count and place and count != output[0]:
        message = f"`classes` names {count} of the network's {output[0]} outputs"
        if count > output[0]:
            message = f"`classes` has {count} names, and the network {output[0]} outputs"
        document.scope.fault(
            "invalid-value", message, place, f"{count} names", Label(last, f"makes {format_shape(output)}")
        )


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
