"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers import Shape
from cnnspec.layers.conv import Conv, ConvTranspose
from cnnspec.layers.geometry import Pads
from cnnspec_numpy.kernels.base import Call, Result, along_channels, sum_but_channels
from cnnspec_numpy.kernels.correlation import correlate, spread, weight_gradient
from cnnspec_numpy.kernels.window import NO_PADS, Window, framed, unframed


def conv(call: Call[Conv], x: Array) -> Result:
    """y = Σ weight · what the window sees, + bias."""
    node, layer = call.node, call.layer
    pads = node.pads or NO_PADS
    window = Window(layer.kernel, layer.stride, layer.dilation, _size(node.shape))
    weight = _turned(call.params["weight"], layer.flip)
    y = correlate(framed(x, pads), weight, window, layer.groups)
    _add_bias(y, call.params)

    def backward(dy: Array) -> tuple[tuple[Array | None, ...], Arrays]:
        gradients = {"weight": _turned(weight_gradient(framed(x, pads), dy, weight, window, layer.groups), layer.flip)}
        if "bias" in call.params:
            gradients["bias"] = sum_but_channels(dy)
        if not call.wants_dx:
            return (None,), gradients
        size = _size(x.shape[1:])
        dframe = spread(dy, weight, _framed_size(size, pads), window, layer.groups)
        return (unframed(dframe, pads, size),), gradients

    return y, backward


def conv_transpose(call: Call[ConvTranspose], x: Array) -> Result:
    """Every element of x spreads over a window of y; its window stands on y, at the places that x has."""
    node, layer = call.node, call.layer
    pads = node.pads or NO_PADS
    size = _size(node.shape)
    window = Window(layer.kernel, layer.stride, layer.dilation, _size(x.shape[1:]))
    weight = call.params["weight"]
    # The frame ends with the padding or the overhang: rows of the overhang that no window reaches stay zero.
    y = unframed(spread(x, weight, _framed_size(size, pads), window, layer.groups), pads, size)
    _add_bias(y, call.params)

    def backward(dy: Array) -> tuple[tuple[Array | None, ...], Arrays]:
        dframe = framed(dy, pads)
        gradients = {"weight": weight_gradient(dframe, x, weight, window, layer.groups)}
        if "bias" in call.params:
            gradients["bias"] = sum_but_channels(dy)
        return (correlate(dframe, weight, window, layer.groups) if call.wants_dx else None,), gradients

    return y, backward


def _add_bias(y: Array, params: Mapping[str, Array]) -> None:
    if "bias" in params:
        y += along_channels(params["bias"], y)


def _turned(weight: Array, flip: bool) -> Array:
    return np.ascontiguousarray(weight[:, :, ::-1, ::-1]) if flip else weight


def _size(shape: Shape) -> tuple[int, int]:
    _, h, w = shape
    return h, w


def _framed_size(size: tuple[int, int], pads: Pads) -> tuple[int, int]:
    return pads.top + size[0] + pads.bottom, pads.left + size[1] + pads.right
