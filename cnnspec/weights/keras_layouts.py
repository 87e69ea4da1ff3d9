"""The arrays of a network as Keras has them: which layer has which, and in which order of axes.

Keras' data is channels last, so are its arrays: a kernel is [kh, kw, c, o], the factors of a norm over an image
[h, w, c].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.errors import WeightsError
from cnnspec.graph.graph import Graph, Node
from cnnspec.layers import Shape
from cnnspec.layers.geometry import TransposedAxis

OUTPUT_BIAS = "_bias"
"""The end of the name of the layer that adds the bias of an attention whose other projections have none."""


class KerasArray(NamedTuple):
    """One array of a Keras layer, and where its numbers are in the arrays of the spec."""

    layer: str
    """The name of the Keras layer."""
    path: str
    """Its place in the layer's part of a weights file: `0`, or `query_dense/0`."""
    title: str
    """What Keras calls it: kernel."""
    name: str
    """The array of the spec."""
    rows: tuple[int, int]
    """[first, end) of the array's first axis."""
    split: Shape
    """The shape of the rows with some axes split, whose order then changes."""
    order: tuple[int, ...]
    """The axes of `split` in the order of Keras."""
    shape: Shape
    """The shape in Keras, in which some of these axes are joined."""
    reversed: tuple[int, ...] = ()
    """The axes of the Keras array along which the numbers run the other way."""

    def to_keras(self, array: Array) -> Array:
        """Return the array of the spec as Keras' array."""
        part = array[slice(*self.rows)].reshape(self.split).transpose(self.order).reshape(self.shape)
        return np.ascontiguousarray(np.flip(part, self.reversed))

    def from_keras(self, array: Array) -> Array:
        """Return Keras' array as the rows of that of the spec."""
        part = np.flip(array, self.reversed).reshape([self.split[axis] for axis in self.order])
        return part.transpose(np.argsort(self.order)).reshape(self.rows[1] - self.rows[0], -1)


def keras_name(path: str) -> str:
    """Return the name of a layer in Keras: dots, which not every backend of Keras takes, are underscores."""
    return path.replace(".", "_")


def layer_path(node: Node) -> str:
    """Return the name of the layer that the node's arrays are called after: with shared weights, of another one."""
    for key, name in node.arrays.items():
        return name.removesuffix(f".{key}")
    return node.name


def layouts(graph: Graph) -> list[KerasArray]:
    """Return the arrays of all layers, in the order of each Keras layer's weights.

    Raises WeightsError where a layer has no counterpart in Keras.
    """
    found: dict[str, list[KerasArray]] = {}
    unknown = [f"`{node.name}` ({node.kind})" for node in graph.nodes if node.arrays and node.kind not in LAYOUTS]
    if unknown:
        raise WeightsError(f"there is no layout in Keras for the arrays of {', '.join(unknown)}")
    for node in graph.nodes:
        if node.arrays:
            found.setdefault(layer_path(node), [*LAYOUTS[node.kind](node)])
    return [array for arrays in found.values() for array in arrays]


# Which layer of Keras a convolution is


def is_depthwise(node: Node) -> bool:
    """Whether a convolution is a DepthwiseConv: each channel has kernels of its own. Keras has none for volumes."""
    layer: Any = node.layer
    return layer.groups == node.in_shapes[0][0] > 1 and len(node.shape) <= 3


def is_conv_transpose(node: Node) -> bool:
    """Whether a transposed convolution is a ConvTranspose of Keras, without padding and cut to size.

    Those of Keras have no groups, and a dilation not on every backend. Any other is a convolution of the input with
    zeros between its elements (Dumoulin & Visin 2016, section 4), whose kernel is turned.
    """
    layer: Any = node.layer
    if layer.groups > 1 or any(w.dilation > 1 for w in node.windows):
        return False
    return all(
        w.before + w.out <= transposed_size(n, w.kernel, w.stride)
        for n, w in zip(node.in_shapes[0][1:], node.windows, strict=True)
    )


def transposed_size(n: int, kernel: int, stride: int) -> int:
    """Return the size of the output of Keras' ConvTranspose without padding: at least n·stride."""
    return max(TransposedAxis(n, kernel, stride, 0, 0).out, n * stride)


# The arrays of each kind


def _array(node: Node, key: str, path: str, title: str, order: tuple[int, ...] = (), **changes: Any) -> KerasArray:
    """Return an array whose axes are in another order, and with other fields of KerasArray than follow from that."""
    shape = node.parameters[key].shape
    order = order or tuple(range(len(changes.get("split", shape))))
    split = changes.pop("split", shape)
    turned = tuple(split[axis] for axis in order)
    found = KerasArray(keras_name(layer_path(node)), path, title, node.arrays[key], (0, shape[0]), split, order, turned)
    return found._replace(**changes)


def _bias(node: Node) -> Iterator[KerasArray]:
    if "bias" in node.arrays:
        yield _array(node, "bias", "1", "bias")


def _conv(node: Node) -> Iterator[KerasArray]:
    layer: Any = node.layer
    o, _, *kernel = node.parameters["weight"].shape
    axes = range(len(kernel))
    turned = tuple(axes) if layer.flip else ()
    if is_depthwise(node):
        split, order = (layer.groups, o // layer.groups, *kernel), (*(2 + axis for axis in axes), 0, 1)
        yield _array(node, "weight", "0", "kernel", order, split=split, reversed=turned)
    else:
        order = (*(2 + axis for axis in axes), 1, 0)
        yield _array(node, "weight", "0", "kernel", order, reversed=turned)
    yield from _bias(node)


def _conv_transpose(node: Node) -> Iterator[KerasArray]:
    layer: Any = node.layer
    c, o, *kernel = node.parameters["weight"].shape
    axes = range(len(kernel))
    if is_conv_transpose(node):
        yield _array(node, "weight", "0", "kernel", (*(2 + axis for axis in axes), 1, 0))
    elif is_depthwise(node):
        yield _array(node, "weight", "0", "kernel", (*(2 + axis for axis in axes), 0, 1), reversed=tuple(axes))
    else:
        split = (layer.groups, c // layer.groups, o, *kernel)
        order = (*(3 + axis for axis in axes), 1, 0, 2)
        shape = (*kernel, c // layer.groups, layer.groups * o)
        yield _array(node, "weight", "0", "kernel", order, split=split, shape=shape, reversed=tuple(axes))
    yield from _bias(node)


def _dense(node: Node) -> Iterator[KerasArray]:
    yield _array(node, "weight", "0", "kernel", (1, 0))
    yield from _bias(node)


def _plain(**titles: str) -> Callable[[Node], Iterator[KerasArray]]:
    """Return the arrays of a layer that has them as Keras has; each with the name that Keras has for it."""

    def arrays(node: Node) -> Iterator[KerasArray]:
        for i, (key, title) in enumerate(titles.items()):
            if key in node.arrays:
                yield _array(node, key, str(i), title)

    return arrays


def _channels_last(**titles: str) -> Callable[[Node], Iterator[KerasArray]]:
    """Return the arrays of a layer over some axes, or over the whole sample: its channels become the last axis."""

    def arrays(node: Node) -> Iterator[KerasArray]:
        layer: Any = node.layer
        axes = layer.positions(node.shape) if hasattr(layer, "positions") else tuple(range(len(node.shape)))
        order = (*range(1, len(axes)), 0) if axes[0] == 0 else tuple(range(len(axes)))
        for i, (key, title) in enumerate(titles.items()):
            yield _array(node, key, str(i), title, order)

    return arrays


def _prelu(node: Node) -> Iterator[KerasArray]:
    shape = (*[1] * (len(node.shape) - 1), *node.parameters["weight"].shape)
    yield _array(node, "weight", "0", "alpha", shape=shape)


def _attention(node: Node) -> Iterator[KerasArray]:
    """The projections of a MultiHeadAttention, each with an axis for the heads."""
    layer: Any = node.layer
    c = node.shape[0]
    head = (layer.heads, c // layer.heads)
    for i, part in enumerate(("query", "key", "value")):
        rows = (i * c, (i + 1) * c)
        path, title = f"{part}_dense/0", f"{part}/kernel"
        yield _array(node, "in_proj_weight", path, title, (2, 0, 1), split=(*head, c), rows=rows)
        if "in_proj_bias" in node.arrays:
            yield _array(node, "in_proj_bias", f"{part}_dense/1", f"{part}/bias", split=head, rows=rows)
    split = (c, *head)
    yield _array(node, "out_proj.weight", "output_dense/0", "attention_output/kernel", (1, 2, 0), split=split)
    if "out_proj.bias" in node.arrays and "in_proj_bias" in node.arrays:
        yield _array(node, "out_proj.bias", "output_dense/1", "attention_output/bias")
    elif "out_proj.bias" in node.arrays:
        found = _array(node, "out_proj.bias", "0", "bias")
        yield found._replace(layer=f"{found.layer}{OUTPUT_BIAS}")


LAYOUTS: dict[str, Callable[[Node], Iterator[KerasArray]]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dense": _dense,
    "batch_norm": _plain(weight="gamma", bias="beta", running_mean="moving_mean", running_var="moving_variance"),
    "group_norm": _plain(weight="gamma", bias="beta"),
    "instance_norm": _plain(weight="gamma", bias="beta"),
    "layer_norm": _channels_last(weight="gamma", bias="beta"),
    "rms_norm": _channels_last(weight="scale"),
    "scale": _plain(weight="weight"),
    "shift": _plain(bias="bias"),
    "prelu": _prelu,
    "attention": _attention,
    "position_embedding": _channels_last(weight="weight"),
}
"""The arrays of each kind in the order of the Keras layer's weights."""


def to_spec(arrays: list[KerasArray], found: list[Array]) -> dict[str, Array]:
    """Return the arrays of the spec, flat but for their first axis, from those of Keras in the same order."""
    parts: dict[str, list[tuple[int, Array]]] = {}
    for array, values in zip(arrays, found, strict=True):
        parts.setdefault(array.name, []).append((array.rows[0], array.from_keras(values)))
    joined = {name: [part for _, part in sorted(rows, key=lambda row: row[0])] for name, rows in parts.items()}
    return {name: np.concatenate(rows) for name, rows in joined.items()}


def size_of(array: KerasArray) -> int:
    """Return how many numbers the array has."""
    return math.prod(array.shape)
