"""Changes of one field that people would make: padding, stride, kernel, channels, groups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from cnnspec.diagnostics import Edit, Label
from cnnspec.graph.graph import Node
from cnnspec.language.causes.candidate import Candidate
from cnnspec.language.causes.chain import spatial_text
from cnnspec.language.causes.conventions import Conventions, Value, slides
from cnnspec.language.causes.network import Change, Network
from cnnspec.language.causes.origins import reference
from cnnspec.language.causes.written import Written
from cnnspec.language.collector import DiagnosticCollector
from cnnspec.language.edits import with_field, without_key
from cnnspec.language.scope import InvalidValue
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Layer, find
from cnnspec.layers.conv import Conv, ConvTranspose, Weighted, divisors
from cnnspec.layers.geometry import AXES
from cnnspec.layers.padding import Total
from cnnspec.layers.pool import Pool
from cnnspec.layers.window import looks_per_side


class Proposal(NamedTuple):
    """A value for a field of an entry (None: leave the field out), and how likely it is what is meant."""

    score: float
    one: Written
    field: str
    value: Value | None


def value(one: Written, content: Any) -> Value:
    """Return a value that is written in an entry."""
    flow = content
    if isinstance(content, dict):
        flow = "{" + ", ".join(f"{key}: {item}" for key, item in content.items()) + "}"
    elif isinstance(content, list | tuple):
        flow = str(list(content))
    return Value(str(flow), YamlNode.of(content, one.span))


def candidate(network: Network, proposal: Proposal) -> Candidate | None:
    """Return a proposal as a candidate; None where the text or a layer does not take it."""
    score, one, field, new = proposal
    edit = edit_of(one, field, new)
    layers = changed(network, one, field, new)
    if edit is None or not layers:
        return None
    title = f"leave out `{field}` of {one.title}" if new is None else f"set `{field}: {new.text}` on {one.title}"
    return Candidate(score, title, (edit,), Change(layers), cause(network, one, layers))


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
    return 0.7 if made is not None and network.rules.same_window(made, others) else 0.0


def edit_of(one: Written, field: str, new: Value | None) -> Edit | None:
    """Return the edit that sets a field of an entry, or leaves it out."""
    cls = find(one.kind)
    if cls is None:
        return None
    if new is not None:
        return with_field(one.entry, cls.main, field, new.text)
    config = one.entry.config
    return without_key(config, field) if config is not None and field in config.keys else None


def changed(network: Network, one: Written, field: str, new: Value | None) -> dict[str, Layer]:
    """Return the layers of an entry with another value in a field; none where it changes nothing, or is not valid."""
    found: dict[str, Layer] = {}
    for name in one.names:
        network.left -= 1
        layer, entry = network.placed[name]
        if new is None:
            content = type(layer).model_fields[field].default
        else:
            try:
                content = entry.scope.replace(collector=DiagnosticCollector(proposes_fixes=False)).value(new.node)
            except InvalidValue:
                return {}
        try:
            found[name] = type(layer)(**{**layer.__dict__, field: content})
        except ValidationError:
            return {}
    return {} if all(layer == network.placed[name].layer for name, layer in found.items()) else found


def cause(network: Network, one: Written, layers: Mapping[str, Layer]) -> Label | None:
    """Return a label at a layer: what it makes of its input; None for the layer that does not fit itself."""
    node = next((network.by_name[name] for name in one.names if name in network.by_name), None)
    if node is None or network.fault.name in one.names:
        return None
    return Label(one.span, turned(node, layers.get(node.name)))


def turned(node: Node, new: Layer | None = None) -> str:
    """Return what a layer makes of its input, and why, where it is to be replaced."""
    before, after = node.in_shapes[0], node.shape
    if len(before) != len(after) or len(after) == 1:
        return f"makes {after[0]}" if len(after) == 1 else ""
    if before[1:] == after[1:]:
        return f"makes {after[0]} channels"
    if new is not None and (field := channels_field(node.layer)) and getattr(new, field) != getattr(node.layer, field):
        return f"makes {after[0]} channels"
    text = f"turns {spatial_text(before)} into {spatial_text(after)}"
    layer: Any = node.layer
    if slides(node) and all(w.before == w.after == 0 for w in node.windows):
        return f"{text} for want of padding"
    if isinstance(layer, ConvTranspose) and (stride := node.windows[0].stride) > 1:
        return f"{text}, not {spatial_text((0, *(n * stride for n in before[1:])))}"
    strides = [w.stride for w in node.windows]
    if new is not None and getattr(new, "stride", None) != getattr(layer, "stride", None):
        return f"{text} with a stride of {strides[0] if len(set(strides)) == 1 else strides}"
    return text


# Windows


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
    elif isinstance(layer, Pool) and layer.padding != "valid":
        yield Proposal(0.8, one, "stride", value(one, 1))
    for new in {1, 2, stride * ratio, stride // ratio if stride % ratio == 0 else 1}:
        if new != stride:
            rare = 0.3 * (str(new) not in usual and new != 1) + 0.3 * (new > 2)
            yield Proposal(1.2 + rare + 0.3 * isinstance(layer, Pool), one, "stride", value(one, new))


def _kernels(layer: Any, one: Written, rules: Conventions) -> Iterator[Proposal]:
    for i, known in enumerate(rules.values(one.kind, "kernel", one)):
        yield Proposal(1.9 + 0.05 * i, one, "kernel", known)
    stride = layer.stride if layer.stride is not None else 1
    if isinstance(layer, ConvTranspose) and isinstance(stride, int):
        for new in (stride, 2 * stride):
            yield Proposal(1.5, one, "kernel", value(one, new))


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


# Channels and groups


def last_with_channels(network: Network, name: str) -> Written | None:
    """Return the entry that decides how many channels a node makes; None where a merge or an input does."""
    node = network.by_name.get(name)
    while node is not None and node.inputs:
        if channels_field(node.layer) is not None:
            entry = network.placed[node.name].entry
            return next((one for one in network.written.values() if one.span == entry.span), None)
        if len(node.inputs) > 1 or len(node.shape) != len(node.in_shapes[0]) or node.shape[0] != node.in_shapes[0][0]:
            return None
        node = network.by_name.get(node.inputs[0])
    return None


def channels_field(layer: Layer) -> str | None:
    """Return the field that holds the number of channels (or units) that a layer makes, if it has one."""
    if not isinstance(layer, Weighted):
        return None
    return "units" if "units" in type(layer).model_fields else "channels"


def channel_proposals(network: Network, name: str, wanted: int, others: list[Written]) -> Iterator[Proposal]:
    """Yield what makes a node have as many channels as are wanted, or as others are written to have."""
    one = last_with_channels(network, name)
    if one is None:
        return
    layer = network.placed[one.names[0]].layer
    field = channels_field(layer)
    assert field is not None
    counts = network.rules
    rarer = counts.count(one.kind, field, getattr(layer, field)) - counts.count(one.kind, field, wanted)
    score = 1.0 + (0.2 if rarer > 0 else -0.2 if rarer < 0 else 0.0)
    for other in others:
        key = channels_field(network.placed[other.names[0]].layer)
        node = other.entry.get(key) if key else None
        if node is not None and node.span != other.span and node.span.line == node.span.end_line:
            yield Proposal(score - 0.1, one, field, Value(node.span.text, node))
    yield Proposal(score, one, field, value(one, wanted))


def group_proposals(network: Network, one: Written, channels: int) -> Iterator[Proposal]:
    """Yield groups that divide the channels, for a layer whose groups do not, and channels that its groups divide."""
    layer: Any = network.layer
    field = next((key for key in ("groups", "heads") if key in type(layer).model_fields), None)
    if field is None:
        return
    groups = getattr(layer, field)
    made: int = layer.channels if hasattr(layer, "channels") else channels
    near = sorted((d for d in divisors(channels) if made % d == 0), key=lambda d: abs(d - groups))
    for i, d in enumerate(near[:2]):
        yield Proposal(1.0 + 0.1 * i, one, field, value(one, d))
    if isinstance(layer, Weighted) and channels % groups == 0:
        for n in sorted({made // groups * groups, -(-made // groups) * groups} - {0}, key=lambda n: abs(n - made)):
            yield Proposal(1.2, one, "channels", value(one, n))
    elif channels % groups:
        rest = {channels // groups * groups, -(-channels // groups) * groups} - {0}
        for n in sorted(rest, key=lambda n: abs(n - channels)):
            for proposal in channel_proposals(network, network.fault.reads[0], n, []):
                yield proposal._replace(score=proposal.score + 0.3)
