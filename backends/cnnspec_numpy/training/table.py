"""The operations of each kind of layer."""

from __future__ import annotations

from cnnspec_numpy.training.activation import ByInput, ByOutput, Prelu, Rectifier
from cnnspec_numpy.training.conv import Conv, ConvTranspose
from cnnspec_numpy.training.kernel import Kernel
from cnnspec_numpy.training.layers import Dense, Dropout, Flatten, Moved, Scale, Shift
from cnnspec_numpy.training.merge import Add, Concat, Multiply
from cnnspec_numpy.training.norm import BatchNorm, FrozenBatchNorm, LocalResponseNorm, OverSample
from cnnspec_numpy.training.operation import Operation
from cnnspec_numpy.training.pool import AvgPool, GlobalAvgPool, HalvingMaxPool, MaxPool, WeightedSums
from cnnspec_numpy.training.softmax import Softmax

from cnnspec.graph.graph import Node

KINDS: dict[str, tuple[type[Operation], ...]] = {
    **dict.fromkeys(ByInput.derivatives, (ByInput,)),
    **dict.fromkeys(ByOutput.derivatives, (ByOutput, ByInput)),
    "relu": (Rectifier,),
    "relu6": (Rectifier,),
    "prelu": (Prelu,),
    "softmax": (Softmax,),
    "log_softmax": (Softmax,),
    "conv": (Conv,),
    "conv_transpose": (ConvTranspose,),
    "dense": (Dense,),
    "scale": (Scale,),
    "shift": (Shift,),
    "batch_norm": (BatchNorm, FrozenBatchNorm),
    "layer_norm": (OverSample,),
    "group_norm": (OverSample,),
    "local_response_norm": (LocalResponseNorm,),
    "dropout": (Dropout,),
    "max_pool": (HalvingMaxPool, MaxPool),
    "avg_pool": (AvgPool,),
    "global_avg_pool": (GlobalAvgPool,),
    "adaptive_avg_pool": (GlobalAvgPool, WeightedSums),
    "upsample": (Moved, WeightedSums),
    "crop": (Moved,),
    "pad": (Moved,),
    "slice": (Moved,),
    "channel_shuffle": (Moved,),
    "flatten": (Flatten,),
    "add": (Add,),
    "multiply": (Multiply,),
    "concat": (Concat,),
}
"""By kind, in the order in which they are tried; every layer can be computed by its kernel."""


def class_of(node: Node) -> type[Operation]:
    """Return what computes a node: its own operation, or its kernel."""
    return next((cls for cls in KINDS.get(node.kind, ()) if cls.applies(node)), Kernel)
