"""A graph as a flat list of bound calls, for inference on the CPU.

What a module looks up at every call is bound once: functions, parameters, windows. The weights of float32 convolutions
are held in the layout that oneDNN computes in, and an activation overwrites its input where nothing else reads that.
The activations of a call are its own, so that several threads can run one plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.liveness import released_after
from cnnspec.layers import Layer
from cnnspec.layers.activation import HardSigmoid
from cnnspec_torch.layer import LayerModule
from cnnspec_torch.ops import ops_of
from cnnspec_torch.ops.padding import padded, pads_before, strides, symmetric

Call = Callable[..., Tensor]

_reorder_weight: Callable[..., Tensor] | None = getattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", None)


def _hard_sigmoid(layer: HardSigmoid, x: Tensor) -> Tensor:
    if layer == HardSigmoid():
        return F.hardsigmoid(x, inplace=True)
    return x.add_(layer.shift).clamp_(0, layer.width).div_(layer.width)


IN_PLACE: dict[str, Callable[[Any], Call]] = {
    "relu": lambda layer: torch.relu_,
    "relu6": lambda layer: partial(F.relu6, inplace=True),
    "leaky_relu": lambda layer: partial(F.leaky_relu, negative_slope=layer.slope, inplace=True),
    "elu": lambda layer: partial(F.elu, alpha=layer.alpha, inplace=True),
    "selu": lambda layer: torch.selu_,
    "silu": lambda layer: partial(F.silu, inplace=True),
    "mish": lambda layer: partial(F.mish, inplace=True),
    "sigmoid": lambda layer: torch.sigmoid_,
    "hard_sigmoid": lambda layer: partial(_hard_sigmoid, layer),
    "tanh": lambda layer: torch.tanh_,
    "hard_swish": lambda layer: partial(F.hardswish, inplace=True),
}
"""The functions that overwrite their argument with the activation, by kind."""

OWN_MEMORY = {"conv", "dense", "avg_pool", "batch_norm", "add", *IN_PLACE}
"""The kinds whose output never shares memory with an input."""


class Plan:
    """A graph for inference, with its arrays as they are at this time: {input: x} -> {output: y}."""

    def __init__(self, graph: Graph, arrays: Mapping[str, Tensor], channels_last: bool) -> None:
        self.graph = graph
        self.arrays = dict(arrays)
        self.ops = ops_of(graph)
        self.packs = channels_last and one_dnn_is_there()
        readers = Counter(name for node in graph.nodes for name in node.inputs)
        place = {node.name: i for i, node in enumerate(graph.nodes)}
        self.steps = [
            (
                self._call(node, overwrites=_overwrites(graph, node, readers)) if node.inputs else None,
                node.name,
                tuple(place[name] for name in node.inputs),
                tuple(place[name] for name in released),
            )
            for node, released in zip(graph.nodes, released_after(graph), strict=True)
        ]
        self.outputs = {name: place[name] for name in graph.outputs}

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{input: x [n, ...]} -> {output: y [n, ...]}."""
        values: list[Any] = []
        for call, name, reads, released in self.steps:
            values.append(inputs[name] if call is None else call(*[values[i] for i in reads]))
            for i in released:
                values[i] = None
        return {name: values[i] for name, i in self.outputs.items()}

    def _call(self, node: Node, overwrites: bool) -> Call:
        arrays = {key: self.arrays[name].detach() for key, name in node.arrays.items()}
        packs = self.packs and node.kind == "conv" and len(node.windows) == 2 and node.layer.pads_with_zeros
        if packs and arrays["weight"].dtype == torch.float32:
            return PackedConv(node, **arrays)
        if overwrites:
            return IN_PLACE[node.kind](node.layer)
        module: LayerModule[Layer] = LayerModule(node, self.ops[node.kind], self.arrays, None, torch.float32)
        return module.eval().bound()


def _overwrites(graph: Graph, node: Node, readers: Mapping[str, int]) -> bool:
    """Return whether the layer can overwrite its input: nothing else reads that, and no other value lies there."""
    if node.kind not in IN_PLACE:
        return False
    before = graph.by_name[node.inputs[0]]
    return readers[before.name] == 1 and before.name not in graph.outputs and _owns_memory(before)


def _owns_memory(node: Node) -> bool:
    # A pool of kernel 1 is a view.
    return node.kind in OWN_MEMORY or (node.kind == "max_pool" and any(w.kernel > 1 for w in node.windows))


def one_dnn_is_there() -> bool:
    """Return whether this PyTorch has oneDNN's convolutions, and they are not switched off."""
    return torch._C._has_mkldnn and torch._C._get_mkldnn_enabled() and _reorder_weight is not None


class PackedConv:
    """A convolution by oneDNN, with its weight in oneDNN's own layout: x [n, c, h, w] -> y [n, o, oh, ow]."""

    def __init__(self, node: Node, weight: Tensor, bias: Tensor | None = None) -> None:
        layer: Any = node.layer
        windows = self.windows = node.windows
        self.pads = not symmetric(windows)
        padding = [0] * len(windows) if self.pads else pads_before(windows)
        dilation = [w.dilation for w in windows]
        image = padded(torch.empty(1, *node.in_shapes[0], device="meta"), windows) if self.pads else None
        shape = [1, *node.in_shapes[0]] if image is None else list(image.shape)
        weight = weight.flip(2, 3) if layer.flip else weight
        assert _reorder_weight is not None
        weight = weight.contiguous().to_mkldnn()
        packed = _reorder_weight(weight, padding, strides(windows), dilation, layer.groups, shape)
        self.arguments = (packed, bias, padding, strides(windows), dilation, layer.groups)
        self.convolve = torch.ops.mkldnn._convolution_pointwise.default

    def __call__(self, x: Tensor) -> Tensor:
        """x [n, c, h, w] -> y [n, o, oh, ow]."""
        x = padded(x, self.windows) if self.pads else x
        y: Tensor = self.convolve(x, *self.arguments, "none", (), "")
        return y
