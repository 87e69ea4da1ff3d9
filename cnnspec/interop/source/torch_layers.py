"""Each layer in PyTorch: the module that has its arrays, and its value in `forward`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.interop.source import torch_windows as windows
from cnnspec.interop.source.expression import Expression, LayerCode, Write, code, function, joined, method, number
from cnnspec.interop.source.text import Argument, Call, Slot
from cnnspec.interop.source.torch_functions import FUNCTIONS
from cnnspec.interop.source.torch_windows import called, owner, rank


def _module(constructor: Callable[[Node], Call], follows: bool = False) -> Write:
    """Return how a layer is written that is a module of torch.nn with its arrays."""
    return lambda node, module: LayerCode(
        lambda inputs: called(module, inputs), (constructor(node),), is_call=True, follows=follows
    )


def _dense(node: Node) -> Call:
    name, bias = owner(node), number("bias" in node.arrays, "bias", owner(node), "bias", True)
    return Call("nn.Linear", (number(node.in_shapes[0][0], "in_channels", name), _channels(node), bias))


def _channels(node: Node) -> Argument:
    return number(node.shape[0], "channels", owner(node))


def _eps(node: Node) -> Argument:
    layer: Any = node.layer
    return number(layer.eps, "eps", owner(node), "eps", 1e-5)


def _batch_norm(node: Node) -> Call:
    layer: Any = node.layer
    momentum = number(layer.momentum, "momentum", owner(node), "momentum", 0.1)
    return Call(f"nn.BatchNorm{max(rank(node), 1)}d", (_channels(node), _eps(node), momentum))


def _group_norm(node: Node) -> Call:
    layer: Any = node.layer
    return Call("nn.GroupNorm", (number(layer.groups, "groups", owner(node)), _channels(node), _eps(node)))


def _instance_norm(node: Node, module: str) -> LayerCode:
    layer: Any = node.layer
    one_position = all(n == 1 for n in node.shape[1:])  # torch refuses to take statistics of one number in training
    if layer.affine:
        affine = code("True", "affine")
        kind = f"nn.InstanceNorm{rank(node)}d"
        call = Call(kind, (_channels(node), _eps(node), affine))
        if one_position:
            call = Call("nn.GroupNorm", (_channels(node), _channels(node), _eps(node)))
        return _module(lambda _: call, follows=True)(node, module)
    if one_position:
        return LayerCode(lambda inputs: function("F.group_norm", inputs, _channels(node), _eps(node)), follows=True)
    return LayerCode(lambda inputs: function("F.instance_norm", inputs, _eps(node)), follows=True)


def _norm_functional(name: str, *arrays: str) -> Write:
    """Return how a norm is written with the arrays of a module whose other numbers differ."""

    def write(node: Node, module: str) -> LayerCode:
        layer: Any = node.layer
        first: list[Argument] = []
        if name == "F.group_norm":
            groups = layer.groups if node.kind == "group_norm" else node.shape[0]
            first = [number(groups, "groups", owner(node))]
        state = [code(f"{module}.{array}") for array in arrays]
        if node.kind == "batch_norm":
            state += [code("self.training"), number(layer.momentum, "momentum", owner(node))]
        eps = number(layer.eps, "eps", owner(node), "eps", 1e-5)
        return LayerCode(lambda inputs: function(name, inputs, *first, *state, eps), follows=True)

    return write


def _over_axes(name: str) -> Write:
    """Return how a norm over chosen axes is written: torch's is over the last ones."""

    def write(node: Node, module: str) -> LayerCode:
        layer: Any = node.layer
        axes = tuple(1 + axis for axis in layer.positions(node.shape))
        sizes = along_sizes(node, axes)
        constructor = (Call(name, (sizes, number(layer.eps, "eps", owner(node), "eps", _EPS.get(name)))),)
        last = tuple(range(-len(axes), 0))
        if axes == tuple(1 + len(node.shape) + i for i in last):
            return LayerCode(lambda inputs: called(module, inputs), constructor, is_call=True, follows=True)
        there, back = (
            (str(axes[0]), str(last[0])) if len(axes) == 1 else (str(axes), str(last)),
            (str(last[0]), str(axes[0])) if len(axes) == 1 else (str(last), str(axes)),
        )

        def make(inputs: Sequence[Expression]) -> Expression:
            moved = method(inputs[0], "movedim", *map(code, there))
            return method(called(module, [moved]), "movedim", *map(code, back))

        return LayerCode(make, constructor, follows=True)

    return write


_EPS = {"nn.LayerNorm": 1e-5}  # of nn.RMSNorm it depends on the data type


def along_sizes(node: Node, axes: Sequence[int]) -> Argument:
    """Return the sizes of axes as an argument: one number, or a tuple."""
    sizes = tuple(node.shape[axis - 1] for axis in axes)
    return number(sizes[0] if len(sizes) == 1 else sizes, "channels" if axes == (1,) else "sizes", owner(node))


def _local_response_norm(node: Node, module: str) -> LayerCode:
    layer: Any = node.layer
    name = owner(node)
    fields = [
        number(layer.size, "size", name),
        number(layer.alpha, "alpha", name, "alpha", 1e-4),
        number(layer.beta, "beta", name, "beta", 0.75),
        number(layer.k, "k", name, "k", 1.0),
    ]
    return LayerCode(lambda inputs: function("F.local_response_norm", inputs, *fields), follows=True)


def _prelu(node: Node) -> Call:
    layer: Any = node.layer
    slope = number(layer.slope, "slope", owner(node), "init", 0.25)
    return Call("nn.PReLU", (slope,) if layer.shared else (_channels(node), slope))


def _by_channel(operator: str, cls: str, default: float) -> Write:
    """Return how a layer is written that scales or shifts each channel, or everything by one number."""

    def write(node: Node, module: str) -> LayerCode:
        layer: Any = node.layer
        if not layer.learn:
            constant = Expression((Slot(layer.value, "value", owner(node)),))
            return LayerCode(lambda inputs: joined(operator, [*inputs, constant]))
        value = number(layer.value, "value", owner(node), "value", default)
        return _module(lambda _: Call(cls, (_channels(node), value)))(node, module)

    return write


def _attention(node: Node) -> Call:
    layer: Any = node.layer
    fields = [
        number(layer.heads, "heads", owner(node)),
        number(layer.bias, "bias", owner(node), "bias", True),
        number(layer.adds_output_bias, "output_bias", owner(node), "output_bias", True),
    ]
    return Call("Attention", (_channels(node), *fields))


def _position_embedding(node: Node) -> Call:
    layer: Any = node.layer
    sizes = tuple(number(n, "channels" if i == 0 else "size", owner(node)) for i, n in enumerate(node.shape))
    return Call("PositionEmbedding", (*sizes, number(layer.std, "std", owner(node), "std", 0.02)))


WRITERS: dict[str, Write] = FUNCTIONS | {
    "conv": windows.conv,
    "conv_transpose": windows.conv_transpose,
    "dense": _module(_dense),
    "max_pool": windows.max_pool,
    "avg_pool": windows.avg_pool,
    "lp_pool": windows.lp_pool,
    "global_avg_pool": windows.global_avg_pool,
    "global_max_pool": windows.global_max_pool,
    "adaptive_avg_pool": windows.adaptive_pool,
    "adaptive_max_pool": windows.adaptive_pool,
    "pad": windows.pad,
    "crop": windows.crop,
    "batch_norm": _module(_batch_norm, follows=True),
    "layer_norm": _over_axes("nn.LayerNorm"),
    "rms_norm": _over_axes("nn.RMSNorm"),
    "instance_norm": _instance_norm,
    "group_norm": _module(_group_norm, follows=True),
    "local_response_norm": _local_response_norm,
    "scale": _by_channel("*", "Scale", 1.0),
    "shift": _by_channel("+", "Shift", 0.0),
    "prelu": _module(_prelu, follows=True),
    "attention": _module(_attention),
    "position_embedding": _module(_position_embedding),
}
"""How each kind is written."""

SHARED: dict[str, Write] = {
    "conv": windows.conv_functional,
    "conv_transpose": windows.conv_transpose_functional,
    "batch_norm": _norm_functional("F.batch_norm", "running_mean", "running_var", "weight", "bias"),
    "group_norm": _norm_functional("F.group_norm", "weight", "bias"),
    "instance_norm": _norm_functional("F.group_norm", "weight", "bias"),
}
"""How a layer is written that has the arrays of another one, and other numbers."""


def missing(kinds: Iterable[str]) -> list[str]:
    """Return the kinds that cannot be written."""
    return sorted({kind for kind in kinds if kind not in WRITERS})
