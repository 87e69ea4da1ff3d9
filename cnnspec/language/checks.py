"""Check what the author states about a layer or the whole network, and that every layer has a use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from cnnspec.diagnostics import Edit, Fix, Label, Span, any_errors
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.finetuning import faults, unmatched, with_arrays
from cnnspec.graph.graph import Node
from cnnspec.graph.selection import prefixes
from cnnspec.graph.training import Loss
from cnnspec.language.causes.fault import Fault
from cnnspec.language.document import Document
from cnnspec.language.entry import Entry
from cnnspec.language.layer_placer import made_by
from cnnspec.language.names import Output
from cnnspec.language.removal import removal
from cnnspec.language.repairs import for_name
from cnnspec.language.scope import InvalidValue, Scope
from cnnspec.layers import Shape
from cnnspec.wording import describe, format_shape, names, quoted


def check_expected(name: str, entry: Entry, output: Output, faults: list[Fault]) -> Output:
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
        scope.error("expectation-failed", message, node.span, "", made_by(output))
        faults.append(_not_as_expected(node.span, output, tuple(value), f"expect {list(output.shape)}"))
    return output


def _not_as_expected(place: Span, output: Output, expected: Shape, title: str) -> Fault:
    """Return the fault of an output that has another shape; the last fix is to expect the shape that it has."""

    def is_expected(shapes: Sequence[Shape]) -> bool:
        return shapes[0] == expected

    instead = Fix(title, (Edit(place, str(list(output.shape or ()))),))
    reads = (output.node,)
    return Fault("expectation-failed", place, reads, accepts=is_expected, wanted=expected, last_resort=(instead,))


def check_layers(document: Document, nodes: Sequence[Node], consumed: Collection[str]) -> None:
    """Report a network without layers, and warn of inputs and layers whose output nothing reads."""
    errors = any_errors(document.scope.collector.diagnostics)
    if not any(node.inputs for node in nodes) and document.layers is not None and not errors:
        span = document.layers.elements()[0].span
        document.scope.error("invalid-value", "`layers` expands to no layer at all", span)
        return
    for node in nodes:
        if node.name in consumed or node.span is None:
            continue
        if not node.inputs:
            message, remedy = f"nothing reads the input `{node.name}`", f"leave it out, or read it: `from: {node.name}`"
            document.scope.warning("unread-input", message, node.span, help=remedy)
            continue
        message = f"nothing reads what `{node.name}` makes"
        remedy = "leave it out, or let a branch of the merge behind it begin without `from`"
        if document.outputs is not None:
            remedy = "leave it out, read it with `from`, or name it in `outputs`"
        document.scope.warning("unread-layer", message, node.span, help=remedy)


def check_totals(
    document: Document, outputs: Mapping[str, Output], nodes: Sequence[Node] | None, faults: list[Fault]
) -> None:
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
            place = text.at((key,))
            instead = Fix(f"expect `{key}: {found}`", (Edit(place, str(found)),))
            scope.error("expectation-failed", message, place, label, fixes=[instead])
    if expect.output is not None and len(outputs) > 1:
        message = f"the network has the outputs {names(list(outputs))}, and `output` expects one"
        remedy = "`outputs: {name: shape}`"
        scope.error("not-allowed-here", message, text.key_at(("output",)), help=remedy)
    elif expect.output is not None:
        (output,) = outputs.values()
        _check_shape(scope, text.at(("output",)), output, expect.output, faults)
    for name, shape in expect.outputs.items():
        if name in outputs:
            _check_shape(scope, text.at(("outputs", name)), outputs[name], shape, faults, name)
        else:
            no_output(scope, name, text.key_at(("outputs", name)), outputs)


def _check_shape(
    scope: Scope, place: Span, output: Output, expected: Shape, faults: list[Fault], name: str = ""
) -> None:
    """Compare an output with the shape that its author expects; it has no name where it is the only one."""
    if output.shape is None or output.shape == expected:
        return
    shape = format_shape(output.shape)
    what = f"the output `{name}` is" if name else "the network makes"
    message = f"{what} {shape}, and its author expects {format_shape(expected)}"
    scope.error("expectation-failed", message, place, "", Label(output.span, f"makes {shape}"))
    title = f"expect `{name or 'output'}: {list(output.shape)}`"
    faults.append(_not_as_expected(place, output, expected, title))


def no_output(scope: Scope, name: str, place: Span, outputs: Iterable[str]) -> None:
    """Report the name of an output that does not exist."""
    near, fixes = for_name(name, place, outputs)
    remedy = f"did you mean `{near}`?" if near else f"the outputs are {names(list(outputs))}"
    scope.error("unknown-output", f"the network has no output {quoted(name)}", place, help=remedy, fixes=fixes)


def check_losses(document: Document, outputs: Mapping[str, Output], nodes: Sequence[Node] | None) -> None:
    """Report losses and targets of outputs that do not exist; warn of losses that an output cannot be trained with."""
    train, text, scope = document.train, document.train_node, document.scope
    if train is None or text is None:
        return
    for key, named in (("losses", train.losses), ("targets", train.targets)):
        for name in named:
            if name not in outputs:
                no_output(scope, name, text.key_at((key, name)), outputs)
    by_name = {node.name: node for node in nodes or ()}
    for name, loss in train.by_output(outputs).items():
        shape, last = outputs[name].shape, by_name.get(outputs[name].node)
        written = next((key for key in (("losses", name), ("loss",)) if text.get(key[0]) is not None), None)
        misfit = loss.misfit(shape, name if len(outputs) > 1 else "") if shape is not None else ""
        if shape is not None and misfit and written:
            maker = made_by(outputs[name])
            scope.warning("loss-mismatch", misfit, text.at(written), "", maker, help=loss.remedy(shape))
        elif last is not None and last.span is not None and (message := activation_before_loss(loss, last)):
            remedy = "leave it out; `cnnspec run` shows probabilities without it"
            fixes = removal(document.levels, last.span) if scope.collector.proposes_fixes else []
            scope.warning(f"{loss.applies}-before-loss", message, last.span, help=remedy, fixes=fixes)


def check_chosen_layers(document: Document, nodes: Sequence[Node]) -> None:
    """Report names in `freeze` and `rates` that fit no layer; warn of those in `replace`, which a file may have."""
    train, text, scope = document.train, document.train_node, document.scope
    if train is None or text is None:
        return
    for code, path, message, remedy in faults(nodes, train):
        place = text.key_at(path) if path[0] == "rates" else text.at(path)
        known = {prefix for node in nodes for prefix in prefixes(node.name)} if code == "unknown-layer" else ()
        scope.error(code, message, place, help=remedy, fixes=for_name(place.text, place, known)[1])
    for code, path, message, remedy in unmatched("replace", train.replace, with_arrays(nodes)):
        scope.warning(code, message, text.at(path), help=remedy)


LOSS_WARNINGS = ("loss-mismatch", "softmax-before-loss", "sigmoid-before-loss")
"""The codes of warnings about a loss, which another loss makes void."""


def activation_before_loss(loss: Loss, last: Node) -> str:
    """Return a warning about an output that ends in the activation that its loss applies itself, "" for any other."""
    if loss.applies is None or last.kind != loss.applies:
        return ""
    return f"`{last.name}` stands before {loss.title}, which takes logits and has a {loss.applies} of its own"
