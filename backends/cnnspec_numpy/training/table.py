"""The operation of each kind of layer."""

from __future__ import annotations

from cnnspec_numpy.plan.lower import halves
from cnnspec_numpy.training.conv import Conv, ConvTranspose
from cnnspec_numpy.training.kernel import Kernel
from cnnspec_numpy.training.layers import Activation, Add, BatchNorm, Concat, Dense, Dropout, Flatten
from cnnspec_numpy.training.operation import Operation
from cnnspec_numpy.training.pool import AvgPool, GlobalAvgPool, HalvingMaxPool, MaxPool

from cnnspec.graph.graph import Node

KINDS: dict[str, type[Operation]] = {
    "conv": Conv,
    "conv_transpose": ConvTranspose,
    "dense": Dense,
    "flatten": Flatten,
    "batch_norm": BatchNorm,
    "dropout": Dropout,
    "add": Add,
    "concat": Concat,
    "max_pool": MaxPool,
    "avg_pool": AvgPool,
    "global_avg_pool": GlobalAvgPool,
    "adaptive_avg_pool": GlobalAvgPool,
}


def class_of(node: Node) -> type[Operation]:
    """Return what computes a node: its own operation, or its kernel."""
    if node.kind == "max_pool" and halves(node):
        return HalvingMaxPool
    found = KINDS.get(node.kind, Activation)
    return found if found.applies(node) else Kernel
