"""One function for each layer, named as its kind: `op(module, *inputs, **parameters)`, images [n, c, h, w].

`module` is a `cnnspec_torch.layer.LayerModule`: its node, its fields, and whether it trains. Windows and shapes come
from the node, which has them from the layer's shape rule.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from torch import Tensor

from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.layers import functions_by_kind
from cnnspec.layers.input import INPUT
from cnnspec_torch.layer import AnyLayer, Op
from cnnspec_torch.ops import (
    activation,
    attention,
    dense,
    dropout,
    function,
    merge,
    norm,
    rearrange,
    reduce,
    resize,
    shape,
    window,
)

ENTRY_POINTS = "cnnspec_torch.ops"


def _input(module: AnyLayer, x: Tensor) -> Tensor:
    return x


OPS: dict[str, Op] = {INPUT: _input} | functions_by_kind(
    window, dense, dropout, norm, shape, rearrange, reduce, resize, attention, activation, function, merge
)
"""The ops by kind."""


def ops_of(graph: Graph) -> dict[str, Op]:
    """Return the op of every kind in the graph, those of other packages by the entry points `cnnspec_torch.ops`."""
    kinds = dict.fromkeys(node.kind for node in graph.nodes)
    found = {kind: OPS[kind] for kind in kinds if kind in OPS}
    if len(found) < len(kinds):
        found |= {point.name: point.load() for point in entry_points(group=ENTRY_POINTS) if point.name in kinds}
    missing = [kind for kind in kinds if kind not in found]
    if missing:
        raise BackendError(
            f"the torch backend has no op for {', '.join(f'`{kind}`' for kind in missing)}; "
            f"a package adds one through the entry-point group `{ENTRY_POINTS}`"
        )
    return found
