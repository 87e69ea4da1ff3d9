"""Check what the author states about a layer or the whole network, and that every layer has a use."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cnnspec.diagnostics import Label
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.graph import Node
from cnnspec.graph.training import Train
from cnnspec.language.document import Document
from cnnspec.language.entry import Entry
from cnnspec.language.layer_placer import made_by
from cnnspec.language.names import Output
from cnnspec.language.scope import InvalidValue
from cnnspec.wording import describe, format_shape


def check_expected(name: str, entry: Entry, output: Output) -> Output:
    """Compare a layer's output with the shape in its `expect`; an unknown output is taken to have that shape."""
    node, scope = entry.get("expect"), entry.scope
    if node is None:
        return output
    try:
        value = scope.value(node)
    except InvalidValue:
        return output
    if not isinstance(value, list) or not value or not all(type(n) is int and n > 0 for n in value):
        scope.error("wrong-type", f"`expect` takes a shape, not {describe(value)}", node.span, help="`[6, 24, 24]`")
    elif output.shape is None:
        return Output(output.node, tuple(value), output.span)
    elif tuple(value) != output.shape:
        message = f"`{name}` makes {format_shape(output.shape)}, and its author expects {format_shape(value)}"
        remedy = f"`expect: {list(output.shape)}`, or another layer"
        scope.error("expectation-failed", message, node.span, "", made_by(output), help=remedy)
    return output


def check_layers(document: Document, nodes: Sequence[Node], consumed: Collection[str]) -> None:
    """Report a network without layers, and warn of those whose output nothing reads."""
    if len(nodes) == 1 and document.layers is not None:
        span = document.layers.elements()[0].span
        document.scope.error("invalid-value", "`layers` expands to no layer at all", span)
    for node in nodes:
        if node.name not in consumed and node.span is not None:
            message = f"nothing reads what `{node.name}` makes"
            remedy = "leave it out, or let a branch of the merge behind it begin without `from`"
            document.scope.warning("unread-layer", message, node.span, help=remedy)


def check_totals(document: Document, output: Output, nodes: Sequence[Node] | None) -> None:
    """Compare the network with the totals that its author states; `nodes` is None where some are missing."""
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
            scope.error("expectation-failed", message, text.at((key,)), label, help=f"`{key}: {found}`")
    if output.shape is not None and expect.output not in (None, output.shape):
        shape, expected_shape = format_shape(output.shape), format_shape(expect.output or ())
        message = f"the network makes {shape}, and its author expects {expected_shape}"
        last = Label(output.span, f"makes {shape}")
        remedy = f"`output: {list(output.shape)}`, or another last layer"
        scope.error("expectation-failed", message, text.at(("output",)), "", last, help=remedy)


def check_classes(document: Document, output: Output) -> None:
    """Compare the number of classes with the number of outputs."""
    count, span = len(document.classes), document.classes_span
    if output.shape is not None and count and span and count != output.shape[0]:
        message = f"`classes` names {count} of the network's {output.shape[0]} outputs"
        if count > output.shape[0]:
            message = f"`classes` has {count} names, and the network {output.shape[0]} outputs"
        last = Label(output.span, f"makes {format_shape(output.shape)}")
        document.scope.error("invalid-value", message, span, f"{count} names", last)


def check_loss(document: Document, last: Node) -> None:
    """Warn of a softmax at the end of what is trained with cross-entropy."""
    if document.train is not None and last.span is not None and (message := softmax_before_loss(document.train, last)):
        remedy = "leave it out; `cnnspec run` shows probabilities without it"
        document.scope.warning("softmax-before-loss", message, last.span, help=remedy)


def softmax_before_loss(train: Train, last: Node) -> str:
    """Return a warning about a network that ends in a softmax under cross-entropy, "" for any other."""
    if last.kind != "softmax" or not train.loss.takes_logits:
        return ""
    return f"`{last.name}` stands before cross-entropy, which takes logits and has a softmax of its own"
