"""The kernels: one function a layer, named as its kind.

A package that adds a layer adds its kernel in the entry-point group `cnnspec_numpy.kernels`, under the kind:

    def square(call: Call[Square], x: Array) -> Result:
        return x * x, lambda dy: ((2 * x * dy,), {})
"""

from __future__ import annotations

from importlib.metadata import entry_points

from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.layers.input import INPUT
from cnnspec_numpy.kernels import activation, conv, dense, merge, norm, pool, shape
from cnnspec_numpy.kernels.base import Call, Kernel, Result

__all__ = ["ENTRY_POINTS", "KERNELS", "Call", "Kernel", "Result", "kernels_of"]

ENTRY_POINTS = "cnnspec_numpy.kernels"

KERNELS: dict[str, Kernel] = {
    kernel.__name__: kernel
    for kernel in (
        conv.conv,
        conv.conv_transpose,
        dense.dense,
        pool.max_pool,
        pool.avg_pool,
        pool.global_avg_pool,
        pool.global_max_pool,
        pool.adaptive_avg_pool,
        dense.flatten,
        norm.batch_norm,
        norm.layer_norm,
        norm.group_norm,
        norm.local_response_norm,
        dense.dropout,
        shape.upsample,
        shape.pad,
        shape.crop,
        shape.channel_shuffle,
        shape.slice,
        norm.scale,
        activation.relu,
        activation.relu6,
        activation.leaky_relu,
        activation.prelu,
        activation.elu,
        activation.selu,
        activation.gelu,
        activation.silu,
        activation.mish,
        activation.sigmoid,
        activation.hard_sigmoid,
        activation.tanh,
        activation.hard_swish,
        activation.softplus,
        activation.softmax,
        activation.log_softmax,
        merge.add,
        merge.multiply,
        merge.concat,
    )
}


def kernels_of(graph: Graph) -> dict[str, Kernel]:
    """The kernel of every kind in the graph; the kinds that have none are one error that lists them."""
    kinds = dict.fromkeys(node.kind for node in graph.nodes if node.kind != INPUT)
    found = {kind: KERNELS.get(kind) or _third_party(kind) for kind in kinds}
    missing = [kind for kind, kernel in found.items() if kernel is None]
    if missing:
        raise BackendError(
            f"the numpy backend has no kernel for {', '.join(f'`{kind}`' for kind in missing)}: "
            f"a package adds one by the entry-point group `{ENTRY_POINTS}`"
        )
    return {kind: kernel for kind, kernel in found.items() if kernel is not None}


def _third_party(kind: str) -> Kernel | None:
    for point in entry_points(group=ENTRY_POINTS, name=kind):
        try:
            kernel: Kernel = point.load()
        except Exception as error:  # whatever a foreign package does wrong
            raise BackendError(f"the kernel of `{kind}`, {point.value}, cannot be loaded: {error}") from error
        return kernel
    return None
