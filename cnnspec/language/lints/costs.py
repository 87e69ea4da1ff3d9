"""Lints of costs: dense layers behind a whole map, receptive fields, channels that hardware is slow at."""

from __future__ import annotations

import math

from cnnspec.diagnostics import Severity
from cnnspec.graph.costs import receptive_fields, trainable
from cnnspec.graph.graph import Node
from cnnspec.language.lints.subject import Subject
from cnnspec.layers.base import Fields, Shape
from cnnspec.layers.conv import Weighted
from cnnspec.sizes import size_of
from cnnspec.wording import format_shape

HEAVY_BYTES = 2**30
"""Weights of one dense layer, in float32, from which on they are a warning."""
HEAVY_WEIGHTS = 1_000_000
"""Weights of a dense layer from which on more than half of a network's are worth a note."""
FEWEST_LATER = 4
"""The convolutions behind one that sees the whole input, from which on that is worth a note."""
MULTIPLE = 8
"""Matrix units work on this many channels of 16 bits at a time."""


def huge_dense(subject: Subject, node: Node) -> None:
    """Warn of a dense layer behind `flatten` whose weights alone fill a memory."""
    flat = _flattened(subject, node)
    if flat is not None and 4 * _weights(node) >= HEAVY_BYTES:
        _report_dense(subject, node, flat, is_warning=True)


def heavy_dense(subject: Subject) -> None:
    """Note a dense layer behind `flatten` that holds most parameters of the network."""
    total = trainable(subject.graph.nodes)
    for node in subject.graph.nodes:
        flat = _flattened(subject, node)
        if flat is None or 4 * _weights(node) >= HEAVY_BYTES or _weights(node) < HEAVY_WEIGHTS:
            continue
        if 2 * _weights(node) > total:
            _report_dense(subject, node, flat, is_warning=False)


def _flattened(subject: Subject, node: Node) -> Node | None:
    """Return the layer that makes a map a vector, which a dense layer reads; None for anything else."""
    if not isinstance(node.layer, Weighted) or len(node.in_shapes[0]) != 1:
        return None
    for before in subject.before(node):
        if not before.layer.aliases_input:
            return None
        if len(before.in_shapes[0]) > 1:
            return before
    return None


def _weights(node: Node) -> int:
    return sum(parameter.size for parameter in node.parameters.values())


def _report_dense(subject: Subject, node: Node, flat: Node, *, is_warning: bool) -> None:
    weights, total = _weights(node), trainable(subject.graph.nodes)
    message = (
        f"`{node.name}` has {weights:,} parameters, {size_of(4 * weights)} in float32, "
        f"{100 * weights / total:.1f} % of the network's"
    )
    channels, units = flat.in_shapes[0][0], node.shape[0]
    remedy = f"`global_avg_pool` in place of `{flat.kind}` leaves {channels} × {units} = {channels * units:,} weights"
    label = subject.label(flat, f"makes {math.prod(flat.in_shapes[0]):,} of {format_shape(flat.in_shapes[0])}")
    severity: Severity = "warning" if is_warning else "note"
    subject.report(
        severity, "heavy-dense", message, node, label, help=remedy, fix=subject.renaming(flat, "global_avg_pool")
    )


def receptive_field(subject: Subject) -> None:
    """Note a receptive field that does not cover the input, or that covers it long before the end."""
    graph = subject.graph
    if len(graph.inputs) != 1 or len(graph.input.shape) < 2:
        return
    fields, sizes = receptive_fields(graph), graph.input.shape[1:]
    convolutions = [node for node in graph.nodes if node.windows and isinstance(node.layer, Weighted)]
    for node in graph.nodes:
        if node.inputs and len(node.in_shapes[0]) > 1 and len(node.shape) == 1 and not node.layer.aliases_input:
            seen = fields[node.inputs[0]]
            if seen and all(field.size < n for field, n in zip(seen, sizes, strict=True)):
                whole = format_shape(sizes)
                message = f"what `{node.name}` reads has a receptive field of {_shown(seen)}, and the input is {whole}"
                remedy = "nothing in the network sees a whole image: a larger stride, dilation or more layers widen it"
                subject.report("note", "small-receptive-field", message, node, help=remedy)
    first = next((node for node in graph.nodes if node.inputs and _covers(fields[node.name], sizes)), None)
    if first is None or first not in convolutions:  # a global pooling covers it at any depth
        return
    earlier = convolutions.index(first)
    later = len(convolutions) - 1 - earlier
    if later >= FEWEST_LATER and later > earlier:
        shown = _shown(fields[first.name])
        message = f"from `{first.name}` on, the receptive field ({shown}) covers the input of {format_shape(sizes)}"
        subject.report("note", "early-receptive-field", message, first, help=f"{later} more convolutions follow")


def _covers(seen: Fields, sizes: Shape) -> bool:
    return bool(seen) and all(field.size >= n for field, n in zip(seen, sizes, strict=True))


def _shown(seen: Fields) -> str:
    return format_shape([field.size for field in seen])


def uneven_channels(subject: Subject) -> None:
    """Note layers whose channels are no multiple of what matrix units work on at a time."""
    graph = subject.graph
    inside = [
        node
        for node in graph.nodes
        if isinstance(node.layer, Weighted) and node.name not in graph.outputs and node.shape[0] > MULTIPLE
    ]
    uneven = [node for node in inside if node.shape[0] % MULTIPLE]
    if uneven:
        first = uneven[0]
        message = (
            f"{len(uneven)} of {len(inside)} layers with weights make channels that are no multiple of {MULTIPLE}: "
            f"`{first.name}` makes {first.shape[0]}"
        )
        subject.report(
            "note", "uneven-channels", message, first, help="the matrix units of GPUs are slower then in 16 bits"
        )
