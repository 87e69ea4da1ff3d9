"""The sizes on the way to a fault: where branches parted, and how each came to its shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cnnspec.graph.graph import Node
from cnnspec.language.causes.network import Network
from cnnspec.language.remedies import ancestors
from cnnspec.layers import Shape
from cnnspec.layers.merge import Merge
from cnnspec.wording import format_shape

MOST_STEPS = 6
"""How many sizes of a chain are shown."""
LONGEST = 100
"""How many characters of one, where fewer sizes will do."""


def parting(network: Network) -> Node | None:
    """Return the last node that all branches of a merge depend on; None where they have none in common."""
    reads = network.fault.reads
    common = [{node.name for node in ancestors(network.nodes, [name])} for name in reads]
    shared = set.intersection(*common)
    return next((node for node in reversed(network.nodes) if node.name in shared), None)


def path(network: Network, start: Node | None, end: str) -> list[Node]:
    """Return the nodes from one to another, both included; of the ways through a merge, the first."""
    behind = {start.name} if start else set[str]()
    for node in network.nodes:
        if not behind.isdisjoint(node.inputs):
            behind.add(node.name)
    found = []
    at = network.by_name.get(end)
    while at is not None:
        found.append(at)
        if start is not None and at.name == start.name:
            break
        at = next((network.by_name[name] for name in at.inputs if name in behind or not start), None)
    return found[::-1]


def spatial_text(shape: Shape) -> str:
    """Return the sizes along the spatial axes: 14 where all are, else 14×10."""
    sizes = shape[1:]
    return str(sizes[0]) if sizes and len(set(sizes)) == 1 else format_shape(sizes)


def clash(network: Network) -> tuple[bool, bool]:
    """Return whether the channels of a merge's branches do not fit, and whether their spatial sizes do not."""
    layer, shapes = network.layer, network.shapes
    if len({len(shape) for shape in shapes}) > 1:
        return True, True
    broadcasts = isinstance(layer, Merge) and layer.broadcasts
    columns = [{*sizes} - ({1} if broadcasts else set()) for sizes in zip(*shapes, strict=True)]
    channels = len(columns[0]) > 1 and not (layer is not None and layer.joins_channels)
    return channels, any(len(column) > 1 for column in columns[1:])


def shown_by(network: Network) -> tuple[Callable[[Shape], str], str]:
    """Return how the shapes of chains are shown, by what differs at their ends, and a unit behind them."""
    channels, spatial = clash(network)
    if channels == spatial or len(network.shapes[0]) == 1:
        return format_shape, ""
    return ((lambda shape: str(shape[0])), " channels") if channels else (spatial_text, "")


def steps(nodes: Sequence[Node], shown: Callable[[Shape], str]) -> str:
    """Return the sizes along a path, where they change, with the layers that change them: 14 → 9 (`conv1`)."""
    parts: list[str] = []
    last = ""
    for node in nodes:
        size = shown(node.shape)
        if size != last:
            parts.append(f"{size} (`{node.name}`)" if parts else size)
            last = size
    text = ""
    for most in range(MOST_STEPS, 2, -1):
        few = [*parts[: max(1, most - 4)], "…", *parts[max(1, most - 4) + 1 - most :]]
        text = " → ".join(parts if len(parts) <= most else few)
        if len(text) <= LONGEST:
            break
    return text


def notes(network: Network) -> list[str]:
    """Return the chains of sizes of a fault's branches and where these parted, or the chain that leads to a layer."""
    fault = network.fault
    if len(fault.reads) < 2:
        way = path(network, None, fault.reads[0])
        if not way or len(way[0].shape) < 2:
            return []
        spatial = [node for node in way if len(node.shape) > 1]
        chain = steps(spatial, spatial_text)
        return [f"{way[0].name}: {chain}"] if chain.count("→") > 1 else []
    start = parting(network)
    if start is None:
        return []
    shown, unit = shown_by(network)
    found = []
    for branch, name in zip(fault.branches, fault.reads, strict=True):
        found.append(f"{branch}: {steps(path(network, start, name), shown)}{unit}")
    if start.inputs and any(name != start.name for name in fault.reads):
        found.append(f"the branches part behind `{start.name}`, {format_shape(start.shape)}")
    return found


def difference(network: Network, i: int, j: int) -> Node | None:
    """Return the last layer of two branches that changes what differs at their ends; None where none does."""
    reads, start = network.fault.reads, parting(network)
    channels, spatial = clash(network)
    for end in (reads[i], reads[j]):
        for node in reversed(path(network, start, end)[1:]):
            before, after = node.in_shapes[0], node.shape
            if len(before) != len(after) or (spatial and before[1:] != after[1:]):
                return node
            if channels and before[0] != after[0]:
                return node
    return None
