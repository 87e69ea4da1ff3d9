"""Convolutions, pools and borders in Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.interop.source.expression import Expression, code, function, number
from cnnspec.interop.source.keras_step import Link, Place, layer, of, padding, rank
from cnnspec.interop.source.text import Argument, Slot, Text
from cnnspec.layers import geometry
from cnnspec.layers.axes import short_form
from cnnspec.layers.geometry import Window
from cnnspec.weights.keras_layouts import is_conv_transpose, is_depthwise, transposed_size

Pads = list[tuple[int, int]]


def conv(node: Node, place: Place) -> list[Link]:
    """Conv2D or DepthwiseConv2D; pads that are not those of `same` are put around the input."""
    own: Any = node.layer
    # Keras takes no stride with a dilation: what a stride skips is then cut from the output.
    thinned = any(w.stride > 1 for w in node.windows) and any(w.dilation > 1 for w in node.windows)
    same = own.pads_with_zeros and not place.shared and not thinned and _is_same(node)
    links = [] if same else border(node, own.padding_mode, place)
    arguments = [
        *_strides([] if thinned else node.windows, place),
        *([code('"same"', "padding")] if same else []),
        _dilation(node.windows, place),
    ]
    links.append(_convolution(node, arguments, place))
    return [*links, Link(lambda inputs: _every(inputs[0], node.windows, place))] if thinned else links


def conv_transpose(node: Node, place: Place) -> list[Link]:
    """Conv2DTranspose, cut to size; a convolution of the input with zeros in between where Keras has no such layer."""
    sizes, windows = node.in_shapes[0][1:], node.windows
    if not is_conv_transpose(node):
        pads = []
        for n, w in zip(sizes, windows, strict=True):
            before = w.span - 1 - w.before
            pads.append((before, w.out + w.span - 1 - before - geometry.TransposedAxis(n, 1, w.stride, 0, 0).out))
        strides = number(tuple(w.stride for w in windows), "stride", place.owner, "strides")
        spread = of("spread", strides, number(tuple(pads), "pads", place.owner, "pads"))
        return [spread, _convolution(node, [_dilation(windows, place)], place)]
    same = not place.shared and all(_is_same_transposed(n, w) for n, w in zip(sizes, windows, strict=True))
    arguments = [*_strides(windows, place), *([code('"same"', "padding")] if same else [])]
    made = layer(
        f"Conv{rank(node)}DTranspose",
        number(node.shape[0], "channels", place.owner),
        _kernel(windows, place),
        *arguments,
        _bias(node, place),
        place=place,
        weights=True,
    )
    if same:
        return [made]
    cut = [
        (w.before, transposed_size(n, w.kernel, w.stride) - w.before - w.out)
        for n, w in zip(sizes, windows, strict=True)
    ]
    return [made, *padding("Cropping", cut, place, "_crop")]


def _convolution(node: Node, arguments: Sequence[Argument], place: Place) -> Link:
    own: Any = node.layer
    kernel, bias = _kernel(node.windows, place), _bias(node, place)
    if is_depthwise(node):
        multiplier = number(node.shape[0] // own.groups, "depth_multiplier", place.owner, "depth_multiplier", 1)
        name = f"DepthwiseConv{rank(node)}D"
        return layer(name, kernel, *arguments, multiplier, bias, place=place, weights=True)
    channels = number(node.shape[0], "channels", place.owner)
    groups = number(own.groups, "groups", place.owner, "groups", 1)
    return layer(f"Conv{rank(node)}D", channels, kernel, *arguments, groups, bias, place=place, weights=True)


def max_pool(node: Node, place: Place) -> list[Link]:
    """MaxPooling2D, within a border of −∞ where its padding is not that of `same`."""
    if any(w.dilation > 1 for w in node.windows):
        taps = Link(lambda inputs: function("taps", inputs, *_fields(node.windows, place, "stride", "dilation")))
        return [*_infinite(node, place), taps, of("ops.max", code("0", "axis")), *_surplus(node, place)]
    if _is_same(node) and not any(w.extra for w in node.windows):
        return [_pooling("Max", node, place, same=True)]
    return [*_infinite(node, place), _pooling("Max", node, place), *_surplus(node, place)]


def avg_pool(node: Node, place: Place) -> list[Link]:
    """AveragePooling2D, or the function `average_pool` where it would count what does not count."""
    own: Any = node.layer
    pads = _pads(node)
    plain = not any(w.extra or w.dilation > 1 for w in node.windows)
    if plain and (own.count_padding or not any(map(any, pads))):
        zeros = padding("ZeroPadding", pads, place, "_pad")
        return [*zeros, _pooling("Average", node, place), *_surplus(node, place)]
    even = all(before == after for before, after in pads)  # the torch backend of Keras gets others wrong
    if plain and even and _is_same(node):
        return [_pooling("Average", node, place, same=True)]
    arguments = [*_fields(node.windows, place, "stride", "dilation", "extra")]
    arguments += [number(tuple(pads), "pads", place.owner, "pads"), code(str(own.count_padding), "count_padding")]
    return [of("average_pool", *arguments), *_surplus(node, place)]


def lp_pool(node: Node, place: Place) -> list[Link]:
    """The function `lp_pool`."""
    own: Any = node.layer
    zeros = padding("ZeroPadding", _pads(node, extra=True), place, "_pad")
    arguments = (number(own.p, "p", place.owner), *_fields(node.windows, place, "stride", "dilation"))
    return [*zeros, of("lp_pool", *arguments), *_surplus(node, place)]


def global_pool(node: Node, place: Place) -> list[Link]:
    """GlobalAveragePooling2D or GlobalMaxPooling2D."""
    return [layer(f"Global{_which(node)}Pooling{rank(node)}D", place=place)]


def adaptive_pool(node: Node, place: Place) -> list[Link]:
    """A pool over all positions or over equal windows; the function `adaptive_pool` for others."""
    sizes, windows = node.in_shapes[0][1:], node.windows
    if all(w.out == 1 for w in windows):
        name = f"Global{_which(node)}Pooling{rank(node)}D"
        return [layer(name, code("True", "keepdims"), place=place)]
    if all(n == w.out * w.kernel for n, w in zip(sizes, windows, strict=True)):
        return [layer(f"{_which(node)}Pooling{rank(node)}D", _kernel(windows, place), place=place)]
    size = number(node.shape[1:], "size", place.owner)
    return [of("adaptive_pool", size, code("ops.mean" if _which(node) == "Average" else "ops.max"))]


def pad(node: Node, place: Place) -> list[Link]:
    """ZeroPadding2D, or ops.pad for another number."""
    own: Any = node.layer
    if own.mode == "constant" and own.value:
        return [_constant(_pads(node), number(own.value, "value", place.owner, "constant_values"), place)]
    return border(node, "zeros" if own.mode == "constant" else own.mode, place, suffix="") or _nothing(place)


def crop(node: Node, place: Place) -> list[Link]:
    """Cropping2D."""
    return padding("Cropping", [(-w.before, -w.after) for w in node.windows], place, "") or _nothing(place)


# Their borders


def border(node: Node, mode: str, place: Place, suffix: str = "_pad") -> list[Link]:
    """Return what puts the border of the node's windows around its input."""
    pads = _pads(node)
    if mode == "zeros" or not any(map(any, pads)):
        return padding("ZeroPadding", pads, place, suffix)
    return [of("border", number(tuple(pads), "pads", place.owner), code(f'"{mode}"'))]


def _nothing(place: Place) -> list[Link]:
    return [layer("Identity", place=place)]


def _infinite(node: Node, place: Place) -> list[Link]:
    pads = _pads(node, extra=True)
    if place.non_negative:
        return padding("ZeroPadding", pads, place, "_pad")
    return [_constant(pads, code("-math.inf", "constant_values"), place)] if any(map(any, pads)) else []


def _constant(pads: Pads, value: Argument, place: Place) -> Link:
    return of("ops.pad", number(((0, 0), *pads, (0, 0)), "pads", place.owner), value)


def _surplus(node: Node, place: Place) -> list[Link]:
    """Return what cuts positions that start in the padding, which ceil rounding drops."""
    axes = [
        (0, geometry.window(n + before + after, w.kernel, w.stride, "valid", w.dilation).out - w.out)
        for n, w, (before, after) in zip(node.in_shapes[0][1:], node.windows, _pads(node, extra=True), strict=True)
    ]
    return padding("Cropping", axes, place, "_crop")


def _pads(node: Node, extra: bool = False) -> Pads:
    return [(w.before, w.after + w.extra * extra) for w in node.windows]


def _is_same(node: Node) -> bool:
    """Whether there is padding, and it is that of Keras' `same`."""
    axes = [
        geometry.window(n, w.kernel, w.stride, "same_upper", w.dilation)
        for n, w in zip(node.in_shapes[0][1:], node.windows, strict=True)
    ]
    pads = _pads(node)
    return any(map(any, pads)) and pads == [(axis.before, axis.after) for axis in axes]


def _is_same_transposed(n: int, w: Window) -> bool:
    """Whether a transposed window has the padding of Keras' `same`, on which all backends agree where it is even."""
    axis = geometry.transposed_window(n, w.kernel, w.stride, "same_upper")
    even = axis.before == axis.after and not axis.extra
    return even and (w.before, w.after, w.extra) == (axis.before, axis.after, 0)


# Their arguments


def _which(node: Node) -> str:
    return "Average" if "avg" in node.kind else "Max"


def _pooling(which: str, node: Node, place: Place, same: bool = False) -> Link:
    """Return a pool, whose stride is its kernel where it is left out."""
    windows = node.windows
    stride = short_form(w.stride for w in windows)
    arguments = [_kernel(windows, place)]
    if any(w.stride != w.kernel for w in windows):
        arguments.append(number(stride, "pool_stride", place.owner, "strides"))
    if same:
        arguments.append(code('"same"', "padding"))
    return layer(f"{which}Pooling{rank(node)}D", *arguments, place=place)


def _kernel(windows: Sequence[Window], place: Place) -> Argument:
    return number(short_form(w.kernel for w in windows), "kernel", place.owner)


def _strides(windows: Sequence[Window], place: Place) -> list[Argument]:
    return [number(short_form(w.stride for w in windows), "stride", place.owner, "strides", 1)] if windows else []


def _dilation(windows: Sequence[Window], place: Place) -> Argument:
    return number(short_form(w.dilation for w in windows), "dilation", place.owner, "dilation_rate", 1)


def _bias(node: Node, place: Place) -> Argument:
    return number("bias" in node.arrays, "bias", place.owner, "use_bias", True)


def _fields(windows: Sequence[Window], place: Place, *names: str) -> list[Argument]:
    """Return the kernel and other numbers of the windows, each as a tuple."""
    return [
        number(tuple(getattr(w, name) for w in windows), name, place.owner, "" if name == "kernel" else name)
        for name in ("kernel", *names)
    ]


def _every(x: Expression, windows: Sequence[Window], place: Place) -> Expression:
    """Return the positions that a stride does not skip."""
    text: Text = (*x.as_atom, "[:")
    for w in windows:
        text = (*text, ", ::", Slot(w.stride, "stride", place.owner))
    return Expression((*text, "]"), depth=x.depth)
