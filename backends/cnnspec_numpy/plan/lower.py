"""From the graph to operations: a layer with what can be done to its output while that is still in the cache."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cnnspec.graph.graph import Graph, Node


@dataclass(frozen=True)
class Stage:
    """An elementwise layer at the end of an operation; `other` is the second summand of an addition."""

    node: Node
    other: str | None = None


@dataclass(frozen=True)
class Operation:
    """A layer, a maximum over 2×2 windows behind it, and elementwise layers behind that; named as the last of them."""

    node: Node
    pool: Node | None = None
    stages: tuple[Stage, ...] = field(default=())

    @property
    def last(self) -> Node:
        """The node whose value the operation computes."""
        return self.stages[-1].node if self.stages else self.pool or self.node

    @property
    def name(self) -> str:
        """The name of that node."""
        return self.last.name

    @property
    def inputs(self) -> tuple[str, ...]:
        """The values that it reads: those of the layer, then the summands of its stages."""
        return (*self.node.inputs, *(stage.other for stage in self.stages if stage.other is not None))

    @property
    def kinds(self) -> str:
        """The kinds of its layers, as a listing shows them."""
        nodes = [self.node, *([self.pool] if self.pool else []), *(stage.node for stage in self.stages)]
        return " + ".join(node.kind for node in nodes)


def lower(graph: Graph) -> list[Operation]:
    """Return the operations of a graph in the order in which they run.

    Exact: a stage is applied to each element of the output after it is complete, in the order of the graph; only a
    value that nothing else reads, and that is no output of the network, is merged with its reader.
    """
    readers = dict.fromkeys(graph.by_name, 0)
    for node in graph.nodes:
        for name in node.inputs:
            readers[name] += 1
    operations: dict[str, Operation] = {}
    order: dict[str, int] = {}
    for position, node in enumerate(graph.nodes):
        host = _host(node, operations, order, readers, graph.outputs)
        if host is None:
            operations[node.name] = Operation(node)
            order[node.name] = position
            continue
        before = operations.pop(host)
        order[node.name] = order.pop(host)
        operations[node.name] = _extended(before, node, host)
    return sorted(operations.values(), key=lambda operation: order[operation.name])


def _host(
    node: Node,
    operations: dict[str, Operation],
    order: dict[str, int],
    readers: dict[str, int],
    outputs: tuple[str, ...],
) -> str | None:
    """Return the operation that the node can become a part of, if any: the one of its inputs that runs last."""
    if not node.inputs or node.layer.aliases_input:
        return None
    name = max(node.inputs, key=lambda read: order.get(read, -1))
    host = operations.get(name)
    if host is None or readers[name] != 1 or name in outputs or not host.node.inputs:
        return None
    if is_view(host.node) or host.node.layer.joins_channels:
        return None  # where possible, there is no block to complete
    if node.layer.takes_maximum and host.pool is None and not host.stages and halves(node) and host.node.layer.linear:
        return name if len(host.node.shape) == 3 and host.node.layer.folds_affine else None
    if _is_stage(node) or (node.layer.sums_inputs and len(node.inputs) == 2 and len(set(node.inputs)) == 2):
        return name
    return None


def is_view(node: Node) -> bool:
    """Whether the output lies in the input's memory: all of it, or a range of its channels."""
    return node.layer.aliases_input or node.layer.selects_channels


def _is_stage(node: Node) -> bool:
    return len(node.inputs) == 1 and node.layer.elementwise and (not node.parameters or node.layer.affine_by_channel)


def slides(node: Node) -> bool:
    """Whether it is a window over two axes whose taps lie side by side."""
    return len(node.windows) == 2 and all(w.dilation == 1 and not w.bounds for w in node.windows)


def halves(node: Node) -> bool:
    """Whether it is a window of 2×2 that moves by 2, without padding."""
    return len(node.windows) == 2 and all(
        (w.kernel, w.stride, w.dilation, w.before, w.after, w.extra) == (2, 2, 1, 0, 0, 0) for w in node.windows
    )


def _extended(before: Operation, node: Node, host: str) -> Operation:
    if node.layer.takes_maximum:
        return replace(before, pool=node)
    other = next((name for name in node.inputs if name != host), None)
    return replace(before, stages=(*before.stages, Stage(node, other)))
