"""Changes of one field that people would make: padding, stride, kernel, channels, groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from cnnspec.diagnostics import Edit, Label
from cnnspec.graph.graph import Node
from cnnspec.language.causes.candidate import Candidate
from cnnspec.language.causes.chain import spatial_text
from cnnspec.language.causes.conventions import Value, slides
from cnnspec.language.causes.network import Change, Network
from cnnspec.language.causes.written import Written
from cnnspec.language.collector import DiagnosticCollector
from cnnspec.language.edits import with_field, without_key
from cnnspec.language.scope import InvalidValue
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Layer, find
from cnnspec.layers.conv import ConvTranspose, Weighted, divisors
from cnnspec.layers.padding import EachSide, Total
from cnnspec.wording import format_shape


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
        return f"makes {format_shape(after)}"
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


# Factors, channels and groups


def factor_proposals(network: Network, one: Written, ratio: int) -> Iterator[Proposal]:
    """Yield other factors of a layer that makes its input larger by one, and a new shape with its channels first."""
    layer: Any = network.placed[one.names[0]].layer
    shape: Sequence[int] = getattr(layer, "shape", ())
    factor = getattr(layer, "scale", None)
    if len(shape) == 3 and shape[0] == shape[1] != shape[2]:
        yield Proposal(0.9, one, "shape", value(one, [shape[2], *shape[:2]]))
    if not isinstance(factor, int) or ratio == 1:
        return
    for new in {factor * ratio, factor // ratio} - {0, 1, factor}:
        yield Proposal(0.9, one, "scale", value(one, new))


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
    if field is None:  # of another layer that has got the same name
        return
    counts = network.rules
    rarer = counts.count(one.kind, field, getattr(layer, field)) - counts.count(one.kind, field, wanted)
    score = 1.0 + (0.2 if rarer > 0 else -0.2 if rarer < 0 else 0.0)
    for other in others:
        key = channels_field(network.placed[other.names[0]].layer)
        node = other.entry.get(key) if key else None
        if node is not None and node.span != other.span and node.span.line == node.span.end_line:
            yield Proposal(score - 0.1, one, field, Value(node.span.text, node))
    yield Proposal(score, one, field, value(one, wanted))


def rank_proposals(network: Network, one: Written) -> Iterator[Proposal]:
    """Yield one number for a size along all axes, where those that are written are equal."""
    layer = network.placed[one.names[0]].layer
    for field in type(layer).model_fields:
        written = getattr(layer, field)
        sizes = written.sizes if isinstance(written, Total | EachSide) else written
        if isinstance(sizes, list | tuple) and len(sizes) > 1 and len(set(sizes)) == 1 and isinstance(sizes[0], int):
            content = {"each_side": sizes[0]} if isinstance(written, EachSide) else sizes[0]
            yield Proposal(0.5, one, field, value(one, content))


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
