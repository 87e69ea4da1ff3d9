"""Changes of windows that people would make: padding, stride, kernel, rounding, dilation."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.language.causes.candidate import Candidate
from cnnspec.language.causes.conventions import Conventions, Value, slides
from cnnspec.language.causes.fields import Proposal, candidate, changed, value
from cnnspec.language.causes.network import Network
from cnnspec.language.causes.origins import reference
from cnnspec.language.causes.written import Written
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Shape
from cnnspec.layers.conv import Conv, ConvTranspose
from cnnspec.layers.geometry import AXES
from cnnspec.layers.padding import Total
from cnnspec.layers.pool import Pool
from cnnspec.layers.window import looks_per_side


def likeness(network: Network, proposal: Proposal, own: Written | None) -> float:
    """Return a bonus where a window would be as that of another layer, a penalty where it is so now."""
    _, one, field, new = proposal
    layer: Any = network.placed[one.names[0]].layer
    others = [one] if own is None else [one, own]
    if field not in ("kernel", "stride", "padding"):
        return 0.0
    if network.rules.same_window(layer, others):
        return -0.2
    made = next(iter(changed(network, one, field, new).values()), None)
    bonus = 0.3 if field == "stride" else 0.7  # what shrinks is usually the exception
    return bonus if made is not None and network.rules.same_window(made, others) else 0.0


def padded(network: Network, one: Written) -> Candidate | None:
    """Return `padding: same` on an entry whose window makes sizes smaller for want of it; None for any other."""
    layer: Any = network.placed[one.names[0]].layer
    if not isinstance(layer, Conv | Pool) or layer.padding != "valid" or layer.kernel == 1:
        return None
    if layer.stride not in (1, (1, 1)):
        return None
    return candidate(network, Proposal(1.0, one, "padding", value(one, "same")))


def each_side(network: Network, one: Written) -> Candidate | None:
    """Return the padding of an entry on each side, where it looks as if that were meant; None for any other."""
    layer: Any = network.placed[one.names[0]].layer
    node = network.by_name.get(one.names[0])
    if not looks_per_side(layer, len(node.windows) if node is not None else 2) or not isinstance(layer.padding, Total):
        return None
    sizes = layer.padding.sizes
    content = {"each_side": sizes if isinstance(sizes, int) else [*sizes]}
    return candidate(network, Proposal(0.5, one, "padding", value(one, content)))


def listed(titles: list[str]) -> str:
    """Return what messages call several entries."""
    if len(titles) > 3:
        return f"{len(titles)} layers from {titles[0]} to {titles[-1]}"
    return f"{', '.join(titles[:-1])} and {titles[-1]}"


def window_proposals(network: Network, one: Written, rules: Conventions, ratio: int) -> Iterator[Proposal]:
    """Yield other paddings, strides and kernels for an entry with a window.

    `ratio` is how much larger the sizes of one branch are than those of the other, where that is a whole number.
    """
    layer: Any = network.placed[one.names[0]].layer
    if not isinstance(layer, Conv | ConvTranspose | Pool):
        return
    node = network.by_name.get(one.names[0])
    yield from _paddings(layer, node, one, rules, bool(network.fault.branches))
    yield from _strides(layer, one, rules, ratio)
    yield from _kernels(layer, one, rules)
    yield from _of_parameters(network, one)
    if isinstance(layer, ConvTranspose):
        steps = layer.stride if isinstance(layer.stride, int) else max(layer.stride)
        for extra in range(steps):
            score = 1.2 if _exact(node) < 0 and extra == steps - 1 else 1.8
            yield Proposal(score + _innocent(node), one, "output_padding", value(one, extra) if extra else None)
    if isinstance(layer, Pool):
        other = "ceil" if layer.rounding == "floor" else "floor"
        usual = any(known.text == other for known in rules.values(one.kind, "rounding", one))
        new = None if other == "floor" else value(one, other)
        yield Proposal(0.9 if usual or new is None else 2.4, one, "rounding", new)
    if layer.dilation != 1:
        yield Proposal(2.2, one, "dilation", None)


def _of_parameters(network: Network, one: Written) -> Iterator[Proposal]:
    """Yield references to parameters that are called as a field, and other values of those that are used."""
    for field, score in (("stride", 0.8), ("padding", 1.0), ("kernel", 1.5)):
        written = one.written(field)
        if reference(written) is not None:
            layers = [network.placed[name].layer for name in one.names]
            contents = {repr(found): found for layer in layers if (found := getattr(layer, field, None)) is not None}
            for content in contents.values():
                if isinstance(content, int | str):
                    yield Proposal(score + 0.2, one, field, value(one, content))
        elif written is None and field in _parameters(network, one):
            yield Proposal(score, one, field, Value(f"${field}", YamlNode(f"${field}", one.span)))


def _parameters(network: Network, one: Written) -> Collection[str]:
    """Return the parameters of the block that an entry stands in."""
    blocks = one.entry.scope.open_blocks
    block = network.document.blocks.get(blocks[0]) if blocks else None
    return block.params if block is not None else ()


def _exact(node: Node | None) -> int:
    """Return how much a transposed convolution makes beyond n·s, along its first axis; 0 where it does not fit."""
    return node.windows[0].out - node.in_shapes[0][1] * node.windows[0].stride if node is not None else 0


def _innocent(node: Node | None) -> float:
    """Return a penalty for a change of a layer that makes exactly n·s of n."""
    exact = node is not None and isinstance(node.layer, ConvTranspose) and _exact(node) == 0
    return 1.0 if exact else 0.0


def _paddings(layer: Any, node: Node | None, one: Written, rules: Conventions, in_branch: bool) -> Iterator[Proposal]:
    kept = rules.preserving(one)
    if kept == 0.5 and in_branch and node is not None and slides(node):
        kept = 0.75  # what runs beside another branch keeps the size
    is_transposed = isinstance(layer, ConvTranspose)
    if is_transposed:
        base = 0.7 if _exact(node) else 1.6
    elif isinstance(layer, Pool) and layer.stride == 1:
        base = 0.6
    else:
        base = 0.6 if kept > 0.5 else 1.3 if kept == 0.5 else 2.0
        if layer.padding != "valid":
            base += 0.6
        if node is not None and slides(node) and node.shape[1:] == node.in_shapes[0][1:]:
            base += 0.8
    for i, known in enumerate(rules.values(one.kind, "padding", one)):
        yield Proposal(base + 0.05 * i, one, "padding", known)
    yield Proposal(base + 0.2, one, "padding", value(one, "same"))
    if is_transposed:
        yield Proposal(base + 0.25, one, "padding", value(one, {"each_side": 1}))
    if layer.padding != "valid":
        yield Proposal(0.8 if kept < 0.5 else 1.9, one, "padding", None)


def _strides(layer: Any, one: Written, rules: Conventions, ratio: int) -> Iterator[Proposal]:
    stride = layer.stride if layer.stride is not None else layer.kernel
    if not isinstance(stride, int):
        return
    usual = {known.text for kind in ("conv", one.kind) for known in rules.values(kind, "stride", one)}
    for kind in dict.fromkeys((one.kind, "conv", "max_pool", "avg_pool")):
        for i, known in enumerate(rules.values(kind, "stride", one)):
            yield Proposal(1.0 + 0.05 * i + 0.3 * (kind != one.kind), one, "stride", known)
    if layer.stride is not None:
        yield Proposal(1.15, one, "stride", None)
    elif isinstance(layer, Pool):
        yield Proposal(0.8 if layer.padding != "valid" else 1.6, one, "stride", value(one, 1))
    for new in {1, 2, stride * ratio, stride // ratio if stride % ratio == 0 else 1}:
        if new != stride:
            rare = 0.3 * (str(new) not in usual and new != 1) + 0.3 * (new > 2)
            projects = isinstance(layer, Conv) and layer.kernel == 1 and new == ratio > 1
            score = 0.8 if projects else 1.2 + rare + 0.3 * isinstance(layer, Pool)
            yield Proposal(score, one, "stride", value(one, new))


def _kernels(layer: Any, one: Written, rules: Conventions) -> Iterator[Proposal]:
    for i, known in enumerate(rules.values(one.kind, "kernel", one)):
        yield Proposal(1.9 + 0.05 * i, one, "kernel", known)
    stride = layer.stride if layer.stride is not None else 1
    if isinstance(layer, ConvTranspose) and isinstance(stride, int):
        for new in (stride, 2 * stride):
            yield Proposal(1.5, one, "kernel", value(one, new))


def for_expectation(network: Network, ones: list[Written], wanted: Shape) -> Iterator[Proposal]:
    """Yield the padding with which a layer makes exactly the size that is expected of it, and a pool's stride of 1."""
    for one in ones:
        node = network.by_name.get(one.names[0])
        if node is None or not isinstance(node.layer, Conv | Pool) or len(wanted) != len(node.shape):
            continue
        missing = zip(node.windows, node.in_shapes[0][1:], wanted[1:], strict=True)
        totals = [(out - 1) * w.stride + w.span - n for w, n, out in missing]
        if all(total > 0 for total in totals):
            yield Proposal(1.9, one, "padding", value(one, totals[0] if len(set(totals)) == 1 else totals))
        if node.layer.stride is None:
            yield Proposal(1.2, one, "stride", value(one, 1))


def own_window(network: Network, one: Written) -> Iterator[Proposal]:
    """Yield smaller windows for a layer whose window does not fit its input."""
    layer: Any = network.layer
    shape = network.shapes[0]
    if not isinstance(layer, Conv | Pool) or len(shape) - 1 not in AXES:
        return
    axes = layer.window_axes(shape)
    largest = [min(axis.kernel, max(1, axis.largest_kernel)) for axis in axes]
    if isinstance(layer.kernel, int):
        one_position = isinstance(layer, Conv) and max(shape[1:]) == 1
        yield Proposal(0.9 if one_position else 1.5, one, "kernel", value(one, min(largest)))
    else:
        yield Proposal(1.5, one, "kernel", value(one, largest))
