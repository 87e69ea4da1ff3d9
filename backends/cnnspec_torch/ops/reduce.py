"""Numbers along some axes as one."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

from torch import Tensor

from cnnspec.layers.reduce import Reduce
from cnnspec_torch.layer import LayerModule


def reduce(module: LayerModule[Reduce], x: Tensor) -> Tensor:
    axes = [1 + axis for axis in module.layer.positions(module.node.in_shapes[0])]
    match module.layer.mode:
        case "mean":
            return x.mean(axes, keepdim=True)
        case "sum":
            return x.sum(axes, keepdim=True)
        case "max":
            return x.amax(axes, keepdim=True)
    return x.amin(axes, keepdim=True)
