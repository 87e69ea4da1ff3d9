"""The candidates for each kind of layer."""

from __future__ import annotations

from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import Method
from cnnspec_numpy.plan.methods import pool
from cnnspec_numpy.plan.methods.columns import Columns, Depthwise
from cnnspec_numpy.plan.methods.dense import Dense
from cnnspec_numpy.plan.methods.merge import Add, Concat, Multiply
from cnnspec_numpy.plan.methods.moved import Moved
from cnnspec_numpy.plan.methods.norm import LocalResponseNorm, Normalised, Softmax
from cnnspec_numpy.plan.methods.slab import DepthwiseRows, Slab
from cnnspec_numpy.plan.methods.transposed import Transposed
from cnnspec_numpy.plan.methods.whole import Elementwise, Kernel
from cnnspec_numpy.plan.methods.winograd import Winograd
from cnnspec_numpy.plan.value import BATCH_LAST, CHANNELS_LAST, Layout

BOTH = (CHANNELS_LAST, BATCH_LAST)

CONVOLUTIONS: list[Method] = [
    Columns(),
    Depthwise(),
    *(Slab(rows) for rows in (1, 2, 4)),
    DepthwiseRows(),
    *(Winograd(2, layout) for layout in BOTH),
]
FAST: list[Method] = [Winograd(4, layout) for layout in BOTH]
"""With `numerics=fast` alone: their rounding is 10 to 20 times that of the others."""

METHODS: dict[str, list[Method]] = {
    "conv": CONVOLUTIONS,
    "conv_transpose": [Transposed(CHANNELS_LAST)],
    "dense": [Dense(layout) for layout in BOTH],
    "max_pool": [pool.SlidingPool(layout) for layout in BOTH],
    "avg_pool": [pool.SlidingPool(layout) for layout in BOTH],
    "global_avg_pool": [pool.GlobalPool(layout) for layout in BOTH],
    "global_max_pool": [pool.GlobalPool(layout) for layout in BOTH],
    "adaptive_avg_pool": [method(layout) for method in (pool.GlobalPool, pool.WeightedSums) for layout in BOTH],
    "upsample": [method(layout) for method in (Moved, pool.WeightedSums) for layout in BOTH],
    "add": [Add(layout) for layout in BOTH],
    "multiply": [Multiply(layout) for layout in BOTH],
    "concat": [Concat(layout) for layout in BOTH],
    "crop": [Moved(layout) for layout in BOTH],
    "pad": [Moved(layout) for layout in BOTH],
    "channel_shuffle": [Moved(layout) for layout in BOTH],
    "layer_norm": [Normalised(layout) for layout in BOTH],
    "group_norm": [Normalised(layout) for layout in BOTH],
    "local_response_norm": [LocalResponseNorm(layout) for layout in BOTH],
    "softmax": [Softmax(layout) for layout in BOTH],
    "log_softmax": [Softmax(layout) for layout in BOTH],
}
"""By kind; elementwise layers have one of their own, and every layer can be computed by its kernel."""


def candidates(operation: Operation, layout: Layout, fast: bool) -> list[Method]:
    """Return the methods that can compute an operation in a layout, at least one."""
    node = operation.node
    if node.kind == "conv" and not node.layer.pads_with_zeros:
        return [Kernel(layout)]  # the others find zeros around their input
    found = [*METHODS.get(node.kind, ()), *(FAST if fast and node.kind == "conv" else ())]
    if node.layer.elementwise and len(node.inputs) == 1 and (not node.parameters or node.layer.affine_by_channel):
        found.append(Elementwise(layout))
    fitting = [method for method in found if method.layout is layout and method.applies(operation)]
    return fitting or [Kernel(layout)]
