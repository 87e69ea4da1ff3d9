"""A graph as a flat list of bound calls, for inference on the CPU.

What a module looks up at every call is bound once: functions, parameters, windows. Beyond that
- float32 convolutions have their weights in the layout that oneDNN computes in, and do the activation or the addition
  that follows within their own pass over the output;
- an activation overwrites its input where nothing else reads that;
- a dense layer behind `flatten` reads images as they lie in memory, by weights in that order.

The tensors of a call are its own, so that several threads can run one plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.graph.graph import Graph, Node
from cnnspec.layers import Layer
from cnnspec_torch.layer import LayerModule
from cnnspec_torch.ops import ops_of, padded, pads_before, strides, symmetric

Call = Callable[..., Tensor]

_reorder_weight: Callable[..., Tensor] | None = getattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", None)

MOST_REORDERED = 1 << 20
"""The most elements of a dense weight of which a plan holds a reordered copy."""


class Epilogue(NamedTuple):
    """An activation in oneDNN's terms, computed within the convolution before it."""

    attr: str
    scalars: tuple[float, ...] = ()
    algorithm: str = ""


PLAIN = Epilogue("none")

IN_PLACE: dict[str, Callable[[Any], Call]] = {
    "relu": lambda layer: torch.relu_,
    "relu6": lambda layer: partial(F.relu6, inplace=True),
    "leaky_relu": lambda layer: partial(F.leaky_relu, negative_slope=layer.slope, inplace=True),
    "elu": lambda layer: partial(F.elu, alpha=layer.alpha, inplace=True),
    "selu": lambda layer: torch.selu_,
    "silu": lambda layer: partial(F.silu, inplace=True),
    "mish": lambda layer: partial(F.mish, inplace=True),
    "sigmoid": lambda layer: torch.sigmoid_,
    "hard_sigmoid": lambda layer: partial(F.hardsigmoid, inplace=True),
    "tanh": lambda layer: torch.tanh_,
    "hard_swish": lambda layer: partial(F.hardswish, inplace=True),
}
"""The functions that overwrite their argument with the activation, by kind."""

EPILOGUES: dict[str, Callable[[Any], Epilogue]] = {
    "leaky_relu": lambda layer: Epilogue("leaky_relu", (layer.slope,)),
    "silu": lambda layer: Epilogue("swish"),
    "hard_swish": lambda layer: Epilogue("hardswish"),
    "sigmoid": lambda layer: Epilogue("sigmoid"),
    "tanh": lambda layer: Epilogue("tanh"),
    "gelu": lambda layer: Epilogue("gelu", (), layer.approximate),
}
"""The activations that a convolution can compute, by kind: not those that oneDNN gives another value for NaN."""

OWN_MEMORY = {"conv", "dense", "avg_pool", "batch_norm", "add", *IN_PLACE}
"""The kinds whose output never shares memory with an input."""


class Step(NamedTuple):
    """A call, the values that it reads, and the name of the value that it makes."""

    name: str
    reads: tuple[str, ...]
    call: Call


class Plan:
    """A graph for inference, with its arrays as they are at this time: {input: x} -> {output: y}."""

    def __init__(self, graph: Graph, arrays: Mapping[str, Tensor], channels_last: bool) -> None:
        steps = _Planner(graph, arrays, channels_last).steps()
        slots = {name: i for i, name in enumerate([*graph.inputs, *(step.name for step in steps)])}
        last = {name: i for i, step in enumerate(steps) for name in (step.name, *step.reads)}
        self.steps = [
            (
                step.call,
                tuple(slots[name] for name in step.reads),
                tuple(slots[name] for name in last if last[name] == i and name not in graph.outputs),
            )
            for i, step in enumerate(steps)
        ]
        self.inputs = graph.inputs
        self.outputs = {name: slots[name] for name in graph.outputs}

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{input: x [n, ...]} -> {output: y [n, ...]}."""
        values: list[Any] = [inputs[name] for name in self.inputs]
        for call, reads, released in self.steps:
            values.append(call(*[values[i] for i in reads]))
            for i in released:
                values[i] = None
        return {name: values[i] for name, i in self.outputs.items()}


class _Planner:
    """What the steps of a plan are made from."""

    def __init__(self, graph: Graph, arrays: Mapping[str, Tensor], channels_last: bool) -> None:
        self.graph = graph
        self.arrays = dict(arrays)
        self.channels_last = channels_last
        self.ops = ops_of(graph)
        self.order = {node.name: i for i, node in enumerate(graph.nodes)}
        self.readers: dict[str, list[Node]] = {node.name: [] for node in graph.nodes}
        for node in graph.nodes:
            for name in node.inputs:
                self.readers[name].append(node)

    def steps(self) -> list[Step]:
        """Return the steps, in the order of the graph."""
        steps: list[Step] = []
        for before, node in zip([None, *self.graph.nodes], self.graph.nodes, strict=False):
            if node.inputs:
                merged = self._merged(before, steps[-1], node) if before and before.inputs else None
                steps[len(steps) - bool(merged) :] = [merged or self._step(node)]
        return steps

    def _step(self, node: Node) -> Step:
        if node.kind == "conv" and self._packs(node):
            return Step(node.name, node.inputs, PackedConv(node, *self._weight_and_bias(node)))
        if node.kind in IN_PLACE and self._may_overwrite(node.inputs[0], node):
            return Step(node.name, node.inputs, IN_PLACE[node.kind](node.layer))
        module: LayerModule[Layer] = LayerModule(node, self.ops[node.kind], self.arrays, None, torch.float32).eval()
        return Step(node.name, node.inputs, module.bound())

    def _weight_and_bias(self, node: Node) -> tuple[Tensor, Tensor | None]:
        weight, bias = (self.arrays.get(node.arrays.get(key, "")) for key in ("weight", "bias"))
        assert weight is not None
        return weight.detach(), None if bias is None else bias.detach()

    def _packs(self, node: Node) -> bool:
        weight = self.arrays[node.arrays["weight"]]
        return self.channels_last and len(node.windows) == 2 and weight.dtype == torch.float32 and one_dnn_is_there()

    def _merged(self, before: Node, step: Step, node: Node) -> Step | None:
        """Return the step of `node` together with that of the node right before it, or None where they stay two."""
        if self.readers[before.name] != [node] or before.name in self.graph.outputs:
            return None
        if isinstance(conv := step.call, PackedConv) and conv.epilogue is PLAIN:
            if node.kind in EPILOGUES and (epilogue := EPILOGUES[node.kind](node.layer)).scalars != (0.0,):
                conv.epilogue = epilogue
                return Step(node.name, step.reads, conv)
            if node.kind == "add" and len(node.inputs) == 2:
                other = node.inputs[node.inputs[0] == before.name]
                if other not in step.reads and self._may_overwrite(other, node):
                    return Step(node.name, (*step.reads, other), conv.add_to)
        if before.kind == "flatten" and node.kind == "dense":
            weight, bias = self._weight_and_bias(node)
            image = before.in_shapes[0]
            if weight.numel() <= MOST_REORDERED and len(image) == 3 and self.channels_last:
                return Step(
                    node.name, step.reads, partial(_dense_over_image, weight=_reordered(weight, image), bias=bias)
                )
        return None

    def _may_overwrite(self, name: str, node: Node) -> bool:
        """Return whether `node` may overwrite an input: it is the last to read it, and no view shows its memory."""
        made_by = self.graph.by_name[name]
        if not _owns_memory(made_by) or name in self.graph.outputs or node.inputs.count(name) > 1:
            return False
        others = [reader for reader in self.readers[name] if reader is not node]
        return all(_owns_memory(reader) and self.order[reader.name] < self.order[node.name] for reader in others)


def _owns_memory(node: Node) -> bool:
    if node.kind == "max_pool":
        return any(w.kernel > 1 for w in node.windows)
    return node.kind in OWN_MEMORY and bool(node.inputs)


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
        self.epilogue = PLAIN
        self.convolve = torch.ops.mkldnn._convolution_pointwise.default
        self.convolve_into = torch.ops.mkldnn._convolution_pointwise_.binary

    def __call__(self, x: Tensor) -> Tensor:
        """x [n, c, h, w] -> y [n, o, oh, ow]."""
        x = padded(x, self.windows) if self.pads else x
        y: Tensor = self.convolve(x, *self.arguments, *self.epilogue)
        return y

    def add_to(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the sum with y [n, o, oh, ow], which it overwrites where that lies in memory as oneDNN's output."""
        if not y.is_contiguous(memory_format=torch.channels_last):
            return y + self(x)
        x = padded(x, self.windows) if self.pads else x
        total: Tensor = self.convolve_into(y, x, *self.arguments, "add", 1.0, None, (), None)
        return total


def _reordered(weight: Tensor, image: tuple[int, ...]) -> Tensor:
    """Return a weight over flattened images [c, h, w] for images in the order (h, w, c)."""
    return weight.reshape(-1, *image).permute(0, 2, 3, 1).flatten(1).contiguous()


def _dense_over_image(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [n, c, h, w], weight [o, h*w*c] -> y [n, o]; in the format channels_last, x is not copied."""
    return F.linear(x.permute(0, 2, 3, 1).flatten(1), weight, bias)
