"""Each layer in Keras: the layers that have arrays, and the table of all kinds."""

from __future__ import annotations

from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.interop.source import keras_windows as windows
from cnnspec.interop.source.expression import code, number
from cnnspec.interop.source.keras_functions import FUNCTIONS
from cnnspec.interop.source.keras_rearrange import REARRANGED
from cnnspec.interop.source.keras_step import Link, Place, Write, last, layer, of, own_layer, permute, rank
from cnnspec.interop.source.text import Argument, Call
from cnnspec.weights.keras_layouts import OUTPUT_BIAS


def _dense(node: Node, place: Place) -> list[Link]:
    units = number(node.shape[0], "channels", place.owner)
    bias = number("bias" in node.arrays, "bias", place.owner, "use_bias", True)
    return [layer("Dense", units, bias, place=place, weights=True)]


def _eps(node: Node, place: Place, default: float = 1e-3) -> Argument:
    own: Any = node.layer
    return number(own.eps, "eps", place.owner, "epsilon", default)


def _batch_norm(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    momentum = number(round(1 - own.momentum, 12), "momentum", place.owner, "momentum", 0.99)
    return [layer("BatchNormalization", momentum, _eps(node, place), place=place, weights=True)]


def _group_norm(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    groups = node.shape[0] if node.kind == "instance_norm" else own.groups
    plain = [code("False", "center"), code("False", "scale")] if not node.arrays else []
    given = number(groups, "groups", place.owner, "", 32)
    return [layer("GroupNormalization", given, _eps(node, place), *plain, place=place, weights=bool(node.arrays))]


def _over_axes(name: str, eps: float) -> Write:
    """Return how a norm over chosen axes is written; not every backend of Keras takes others than the last ones."""

    def write(node: Node, place: Place) -> list[Link]:
        own: Any = node.layer
        axes = {axis or len(node.shape) for axis in own.positions(node.shape)}
        axis = code(str([*range(-len(axes), 0)]), "axis")
        given = [axis] if len(axes) > 1 else []
        norm = layer(name, *given, _eps(node, place, eps), place=place, weights=True)
        every = range(1, 1 + len(node.shape))
        order = (*(axis for axis in every if axis not in axes), *sorted(axes))
        if order == tuple(every):
            return [norm]
        back = tuple(1 + order.index(axis) for axis in every)
        return [permute(order, place, "_order"), norm, permute(back, place, "_back")]

    return write


def _local_response_norm(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    defaults = {"alpha": 1e-4, "beta": 0.75, "k": 1.0}
    fields = [number(getattr(own, name), name, place.owner, name, value) for name, value in defaults.items()]
    size = number(own.size, "size", place.owner)
    return [of("local_response_norm", size, *fields)]


def _prelu(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    axes = [*range(1, len(node.shape) + own.shared)]
    initial = Call("keras.initializers.Constant", (number(own.slope, "slope", place.owner),))
    arguments = [Argument((initial,))] + ([code(str(axes), "shared_axes")] if axes else [])
    return [layer("PReLU", *arguments, place=place, weights=True)]


def _by_channel(cls: str, keyword: str, default: float) -> Write:
    """Return how a layer is written that scales or shifts each channel, or everything by one number."""

    def write(node: Node, place: Place) -> list[Link]:
        own: Any = node.layer
        if not own.learn:
            value = number(own.value, "value", place.owner, keyword)
            return [layer("Rescaling", *([code("1.0")] if keyword else []), value, place=place)]
        return [own_layer(cls, number(own.value, "value", place.owner, "", default), place=place)]

    return write


def _attention(node: Node, place: Place) -> list[Link]:
    """MultiHeadAttention over a sequence of all positions; an output's bias alone is a layer of its own."""
    own: Any = node.layer
    heads = number(own.heads, "heads", place.owner)
    key = number(node.shape[0] // own.heads, "key_dim", place.owner)
    bias = number(own.bias, "bias", place.owner, "use_bias", True)
    links = [layer("MultiHeadAttention", heads, key, bias, place=place, weights=True, times=2)]
    if own.adds_output_bias and not own.bias:
        links.append(own_layer("Shift", place=place, suffix=OUTPUT_BIAS))
    if rank(node) == 1:
        return links
    sizes = last(node.shape)
    sequence = layer("Reshape", number((-1, sizes[-1]), "sizes", place.owner), place=place, suffix="_in")
    back = layer("Reshape", number(sizes, "sizes", place.owner), place=place, suffix="_out")
    return [sequence, *links, back]


def _position_embedding(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    return [own_layer("PositionEmbedding", number(own.std, "std", place.owner, "", 0.02), place=place)]


WRITERS: dict[str, Write] = (
    FUNCTIONS
    | REARRANGED
    | {
        "conv": windows.conv,
        "conv_transpose": windows.conv_transpose,
        "dense": _dense,
        "max_pool": windows.max_pool,
        "avg_pool": windows.avg_pool,
        "lp_pool": windows.lp_pool,
        "global_avg_pool": windows.global_pool,
        "global_max_pool": windows.global_pool,
        "adaptive_avg_pool": windows.adaptive_pool,
        "adaptive_max_pool": windows.adaptive_pool,
        "pad": windows.pad,
        "crop": windows.crop,
        "batch_norm": _batch_norm,
        "layer_norm": _over_axes("LayerNormalization", 1e-3),
        "rms_norm": _over_axes("RMSNormalization", 1e-6),
        "instance_norm": _group_norm,
        "group_norm": _group_norm,
        "local_response_norm": _local_response_norm,
        "scale": _by_channel("Scale", "", 1.0),
        "shift": _by_channel("Shift", "offset", 0.0),
        "prelu": _prelu,
        "attention": _attention,
        "position_embedding": _position_embedding,
    }
)
"""How each kind is written."""


def obstacle(node: Node) -> str | None:
    """Return why a node cannot be written, if it cannot."""
    if node.kind not in WRITERS:
        return f"there is no Keras code for `{node.name}` ({node.kind})"
    if node.kind == "attention" and "in_proj_bias" in node.arrays and "out_proj.bias" not in node.arrays:
        return f"`{node.name}` adds a bias in all projections but the last, which MultiHeadAttention of Keras does not"
    return None
