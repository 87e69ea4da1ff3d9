"""Other sizes of the input: the nearest that fit, the smallest that does, and the axes in another order."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cnnspec.diagnostics import Edit, Label
from cnnspec.graph.graph import Node
from cnnspec.language.causes.candidate import Candidate
from cnnspec.language.causes.chain import spatial_text
from cnnspec.language.causes.network import Change, Network
from cnnspec.language.inputs import DeclaredInput, flow_of
from cnnspec.language.remedies import smallest_input
from cnnspec.layers import Shape
from cnnspec.layers.conv import ConvTranspose
from cnnspec.layers.geometry import AXIS_NAMES

FACTORS = (2, 4, 8, 16, 32, 64)
"""What sizes are made multiples of."""


def candidates(network: Network, declared: dict[str, DeclaredInput]) -> Iterator[Candidate]:
    """Yield other shapes of the inputs that a fault depends on."""
    for node in network.nodes:
        given = declared.get(node.name)
        if node.inputs or given is None or given.node is None or given.shape != node.shape:
            continue
        for score, shape, label in _shapes(network, node):
            edit = _edit(given, shape)
            if edit is not None:
                title = f"make `{node.name}` {flow_of(shape)}"
                yield Candidate(score, title, (edit,), Change(inputs={node.name: shape}), label)


def _shapes(network: Network, node: Node) -> Iterator[tuple[float, Shape, Label | None]]:
    shape = node.shape
    if len(shape) == 3 and shape[-1] in (1, 3) and min(shape[:2]) > 3:
        yield 0.3, (shape[-1], *shape[:2]), Label(node.span, "has its channels last") if node.span else None
    if len(shape) == 3 and shape[1] in (1, 3) and min(shape[0], shape[2]) > 3:
        yield 0.3, (shape[1], shape[0], shape[2]), Label(node.span, "has its channels second") if node.span else None
    if network.fault.code == "needs-image" and len(shape) == 1:
        for channels in (1, 3):
            side = math.isqrt(shape[0] // channels)
            if side > 1 and shape[0] == channels * side * side:
                yield 0.8, (channels, side, side), None
        yield 1.6, (1, shape[0]), None
    if len(shape) < 2:
        return
    rounded = [n for n in network.nodes if rounds_down(n)]
    first = next(iter(rounded), None)
    for factor in FACTORS if len(network.fault.reads) > 1 else ():
        found = []
        for up in (False, True):
            sizes = [max(1, n // factor + up) * factor if n % factor else n for n in shape[1:]]
            if tuple(sizes) != shape[1:] and network.fits(Change(inputs={node.name: (shape[0], *sizes)})):
                found.append((shape[0], *sizes))
        if len(found) < 2:  # where the next multiple does not fit, it takes a larger one
            continue
        text = f"the input must be a multiple of {factor}"
        label = Label(first.span, f"{lost(first)}: {text}") if first is not None and first.span else None
        score = 0.75 if first is not None else 2.2
        for i, other in enumerate(sorted(found, key=lambda s: sum(abs(m - n) for m, n in zip(s, shape, strict=True)))):
            yield score + 0.01 * i, other, label
        break
    if len(network.fault.reads) == 1 and network.layer is not None:
        smallest = smallest_input(network.nodes, network.layer, network.fault.reads)
        if smallest is not None and smallest != shape:
            sizes = [max(m, n) for m, n in zip(smallest[1:], shape[1:], strict=True)]
            yield 1.45, (shape[0], *sizes), None


def rounds_down(node: Node) -> bool:
    """Return whether a layer moves by more than one element and leaves a rest of its input."""
    return (
        bool(node.windows)
        and not isinstance(node.layer, ConvTranspose)
        and any(not w.bounds and not w.divides(n) for w, n in zip(node.windows, node.in_shapes[0][1:], strict=False))
    )


def lost(node: Node) -> str:
    """Return what a layer that leaves a rest makes of its input."""
    return f"turned {spatial_text(node.in_shapes[0])} into {spatial_text(node.shape)}"


def _edit(given: DeclaredInput, shape: Shape) -> Edit | None:
    """Return the edit that gives an input another shape; one whose axes are named only where one size changes."""
    node = given.node
    assert node is not None
    written = node.get("shape") or node
    if written.is_list:
        return Edit(written.span, str(list(shape)))
    if written.is_mapping and any(name in AXIS_NAMES for name in written.keys):
        return Edit(written.span, flow_of(shape)) if not set(written.keys) - set(AXIS_NAMES) else None
    return None
