"""Convolutions, pools and borders in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.interop.source.expression import Expression, LayerCode, code, function, method, number
from cnnspec.interop.source.text import Argument, Call, Slot, Text
from cnnspec.layers.axes import short_form
from cnnspec.layers.geometry import Window

MODES = {"reflect": "reflect", "edge": "replicate", "circular": "circular"}


def owner(node: Node) -> str:
    """Return the last part of the node's name, after which its numbers are called."""
    return node.name.rpartition(".")[2]


def conv(node: Node, module: str) -> LayerCode:
    """nn.Conv2d; pads that differ on the two sides are put around the input."""
    layer: Any = node.layer
    even = symmetric(node.windows)
    mode = MODES.get(layer.padding_mode)
    arguments = [*_channels(node), *_window(node.windows, owner(node), padding=even), *_groups_and_bias(node)]
    if mode and even:
        arguments.append(code(f'"{mode}"', "padding_mode"))
    constructor = (Call(f"nn.Conv{rank(node)}d", tuple(arguments)),)

    def make(inputs: Sequence[Expression]) -> Expression:
        x = inputs[0] if even else padded(inputs[0], node, mode)
        if not layer.flip:
            return called(module, [x])
        axes = ", ".join(str(axis) for axis in range(2, 2 + rank(node)))
        own = _window(node.windows, owner(node), padding=even)[1:]
        if mode and even:
            x, own = padded(inputs[0], node, mode), _window(node.windows, owner(node), padding=False)[1:]
        weight, bias = f"{module}.weight.flip({axes})", f"{module}.bias"
        return function(f"F.conv{rank(node)}d", [x], code(weight), code(bias), *own, *_groups(node))

    return LayerCode(make, constructor, is_call=even and not layer.flip)


def conv_functional(node: Node, module: str) -> LayerCode:
    """F.conv2d with the weights of a module whose other numbers differ."""
    layer: Any = node.layer
    even = symmetric(node.windows) and layer.pads_with_zeros
    flip = f".flip({', '.join(str(axis) for axis in range(2, 2 + rank(node)))})" if layer.flip else ""

    def make(inputs: Sequence[Expression]) -> Expression:
        x = inputs[0] if even else padded(inputs[0], node, MODES.get(layer.padding_mode))
        own = _window(node.windows, owner(node), padding=even)[1:]
        weights = (code(f"{module}.weight{flip}"), code(f"{module}.bias"))
        return function(f"F.conv{rank(node)}d", [x], *weights, *own, *_groups(node))

    return LayerCode(make)


def conv_transpose(node: Node, module: str) -> LayerCode:
    """nn.ConvTranspose2d; padding that differs on the two sides is cut from its output."""
    even = symmetric(node.windows)
    extra = number(short_form(w.extra for w in node.windows), "output_padding", owner(node), "output_padding", 0)
    kernel, stride, *padding, dilation = _window(node.windows, owner(node), padding=even)
    arguments = (*_channels(node), kernel, stride, *padding, extra, *_groups_and_bias(node), dilation)
    constructor = (Call(f"nn.ConvTranspose{rank(node)}d", arguments),)

    def make(inputs: Sequence[Expression]) -> Expression:
        y = called(module, inputs)
        return y if even else cut(y, [(w.before, w.before + w.out) for w in node.windows], owner(node))

    return LayerCode(make, constructor, is_call=even)


def conv_transpose_functional(node: Node, module: str) -> LayerCode:
    """F.conv_transpose2d with the weights of a module whose other numbers differ."""
    even = symmetric(node.windows)
    extra = number(short_form(w.extra for w in node.windows), "output_padding", owner(node), "output_padding", 0)
    _, *own = _window(node.windows, owner(node), padding=even)
    weights = (code(f"{module}.weight"), code(f"{module}.bias"))

    def make(inputs: Sequence[Expression]) -> Expression:
        y = function(f"F.conv_transpose{rank(node)}d", inputs, *weights, *own, extra, *_groups(node))
        return y if even else cut(y, [(w.before, w.before + w.out) for w in node.windows], owner(node))

    return LayerCode(make)


def max_pool(node: Node, module: str) -> LayerCode:
    """F.max_pool2d, within a border of −∞ where torch refuses the padding."""
    layer: Any = node.layer
    own = torch_pads(node.windows)
    ceil = [code("True", "ceil_mode")] if own and layer.rounding == "ceil" else []
    arguments = [*_pool_window(node.windows, owner(node), own, dilation=True), *ceil]

    def make(inputs: Sequence[Expression]) -> Expression:
        x = inputs[0] if own else padded(inputs[0], node, value="-torch.inf")
        return function(f"F.max_pool{rank(node)}d", [x], *arguments)

    return LayerCode(make, stateless=(Call(f"nn.MaxPool{rank(node)}d", tuple(arguments)),) if own else None)


def avg_pool(node: Node, module: str) -> LayerCode:
    """F.avg_pool2d, or the function `avg_pool` where torch does not have its padding or dilation."""
    layer: Any = node.layer
    windows = node.windows
    if not torch_pads(windows) or any(w.dilation > 1 for w in windows):
        fields = {name: tuple(getattr(w, name) for w in windows) for name in ("kernel", "stride", "dilation", "extra")}
        pads = tuple(n for w in windows for n in (w.before, w.after))
        arguments = [number(value, name, owner(node), name) for name, value in fields.items()]
        arguments += [number(pads, "pads", owner(node), "pads"), code(str(layer.count_padding), "count_padding")]
        return LayerCode(lambda inputs: function("avg_pool", inputs, *arguments))
    extra = [code("True", "ceil_mode")] if layer.rounding == "ceil" else []
    if not layer.count_padding:
        extra.append(code("False", "count_include_pad"))
    arguments = [*_pool_window(windows, owner(node), True, dilation=False), *extra]
    return LayerCode(
        lambda inputs: function(f"F.avg_pool{rank(node)}d", inputs, *arguments),
        stateless=(Call(f"nn.AvgPool{rank(node)}d", tuple(arguments)),),
    )


def lp_pool(node: Node, module: str) -> LayerCode:
    """The function `lp_pool`: F.lp_pool2d takes no absolute values."""
    layer: Any = node.layer
    fields = {name: tuple(getattr(w, name) for w in node.windows) for name in ("kernel", "stride", "dilation")}
    arguments = [number(value, name, owner(node), name) for name, value in fields.items()]
    bordered = any(w.before or w.after + w.extra for w in node.windows)

    def make(inputs: Sequence[Expression]) -> Expression:
        x = padded(inputs[0], node) if bordered else inputs[0]
        return function("lp_pool", [x], number(layer.p, "p", owner(node)), *arguments)

    return LayerCode(make)


def global_avg_pool(node: Node, module: str) -> LayerCode:
    """The mean over all positions."""
    axes = "2" if rank_in(node) == 1 else f"({', '.join(str(2 + i) for i in range(rank_in(node)))})"
    return LayerCode(lambda inputs: method(inputs[0], "mean", code(axes)))


def global_max_pool(node: Node, module: str) -> LayerCode:
    """The maximum over all positions."""

    def make(inputs: Sequence[Expression]) -> Expression:
        return method(function(f"F.adaptive_max_pool{rank_in(node)}d", inputs, code("1")), "flatten", code("1"))

    return LayerCode(make)


def adaptive_pool(node: Node, module: str) -> LayerCode:
    """F.adaptive_avg_pool2d or F.adaptive_max_pool2d."""
    which = "Avg" if node.kind == "adaptive_avg_pool" else "Max"
    size = number(short_form(node.shape[1:]), "size", owner(node))
    return LayerCode(
        lambda inputs: function(f"F.{node.kind}{rank(node)}d", inputs, size),
        stateless=(Call(f"nn.Adaptive{which}Pool{rank(node)}d", (size,)),),
    )


def pad(node: Node, module: str) -> LayerCode:
    """F.pad."""
    layer: Any = node.layer
    if layer.mode == "constant":
        return LayerCode(lambda inputs: padded(inputs[0], node, value=str(layer.value) if layer.value else ""))
    return LayerCode(lambda inputs: padded(inputs[0], node, MODES[layer.mode]))


def crop(node: Node, module: str) -> LayerCode:
    """The middle, as slices."""
    kept = [(-w.before, w.out - w.before) for w in node.windows]
    return LayerCode(lambda inputs: cut(inputs[0], kept, owner(node)), view=True)


# Their arguments


def called(module: str, inputs: Sequence[Expression]) -> Expression:
    """Return the call of a module."""
    return function(module, inputs, typed=False)


def padded(x: Expression, node: Node, mode: str | None = None, value: str = "") -> Expression:
    """Return x with the border of the node's windows, and what ceil rounding reaches beyond it."""
    pads = tuple(n for w in reversed(node.windows) for n in (w.before, w.after + w.extra))
    if not any(pads):
        return x
    how = [code(f'"{mode}"', "mode")] if mode else [code(value, "value")] if value else []
    return function("F.pad", [x], number(pads, "pads", owner(node)), *how)


def cut(x: Expression, kept: Sequence[tuple[int, int]], name: str) -> Expression:
    """Return the elements [first, end) along each spatial axis."""
    text: Text = (*x.as_atom, "[:, :")
    for first, end in kept:
        text = (*text, ", ", Slot(first, "first", name), ":", Slot(end, "end", name))
    return Expression((*text, "]"), typed=x.typed, depth=x.depth)


def rank(node: Node) -> int:
    """Return the number of spatial axes of the output."""
    return len(node.shape) - 1


def rank_in(node: Node) -> int:
    """Return the number of spatial axes of the input."""
    return len(node.in_shapes[0]) - 1


def symmetric(windows: Sequence[Window]) -> bool:
    """Whether every axis has as much padding before as after."""
    return all(w.before == w.after for w in windows)


def torch_pads(windows: Sequence[Window]) -> bool:
    """Whether torch's pools take the padding: they refuse pads of more than half a window."""
    return symmetric(windows) and all(2 * w.before <= w.kernel for w in windows)


def _channels(node: Node) -> list[Argument]:
    name = owner(node)
    return [number(node.in_shapes[0][0], "in_channels", name), number(node.shape[0], "channels", name)]


def _window(windows: Sequence[Window], name: str, *, padding: bool) -> list[Argument]:
    found = [
        number(short_form(w.kernel for w in windows), "kernel", name),
        number(short_form(w.stride for w in windows), "stride", name, "stride", 1),
    ]
    if padding:
        found.append(number(short_form(w.before for w in windows), "padding", name, "padding", 0))
    found.append(number(short_form(w.dilation for w in windows), "dilation", name, "dilation", 1))
    return found


def _pool_window(windows: Sequence[Window], name: str, padding: bool, *, dilation: bool) -> list[Argument]:
    """Return the arguments of a pool, whose stride is its kernel where it is left out."""
    kernel, _, *others = _window(windows, name, padding=padding)
    if any(w.stride != w.kernel for w in windows):
        kernel_and_stride = [kernel, number(short_form(w.stride for w in windows), "pool_stride", name, "stride")]
    else:
        kernel_and_stride = [kernel]
    return [*kernel_and_stride, *(others if dilation else others[:-1])]


def _groups(node: Node) -> list[Argument]:
    layer: Any = node.layer
    return [number(layer.groups, "groups", owner(node), "groups", 1)]


def _groups_and_bias(node: Node) -> list[Argument]:
    return [*_groups(node), number("bias" in node.arrays, "bias", owner(node), "bias", True)]
