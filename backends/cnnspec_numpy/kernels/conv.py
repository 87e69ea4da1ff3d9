"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.conv import Conv, ConvTranspose
from cnnspec_numpy.kernels.base import Context, Result, along_channels, sum_but_channels
from cnnspec_numpy.kernels.border import bordered, bordered_backward
from cnnspec_numpy.kernels.correlation import correlate, correlate_backward_input, weight_gradient
from cnnspec_numpy.kernels.window import Windows, pad_axes, pads_of, unpad


def conv(context: Context[Conv], x: Array) -> Result:
    """y = Σ weight · elements under the window, + bias."""
    layer, windows = context.layer, context.node.windows
    pads, mode, sizes = pads_of(windows), layer.padding_mode, x.shape[2:]
    weight = _flipped(context.params["weight"], layer.flip)
    y = correlate(bordered(x, pads, mode), weight, windows, layer.groups)
    _add_bias(y, context.params)

    def backward(dy: Array) -> tuple[tuple[Array | None, ...], Arrays]:
        dweight = weight_gradient(bordered(x, pads, mode), dy, weight, windows, layer.groups)
        gradients = {"weight": _flipped(dweight, layer.flip)}
        if "bias" in context.params:
            gradients["bias"] = sum_but_channels(dy)
        if not context.needs_input_gradient:
            return (None,), gradients
        dx = correlate_backward_input(dy, weight, _padded_sizes(sizes, windows), windows, layer.groups)
        return (bordered_backward(dx, pads, sizes, mode),), gradients

    return y, backward


def conv_transpose(context: Context[ConvTranspose], x: Array) -> Result:
    """y = the sum of weight · x over windows of y; the window slides over y, at as many positions as x has."""
    layer, sizes = context.layer, context.node.shape[1:]
    windows = [window._replace(out=n, extra=0) for window, n in zip(context.node.windows, x.shape[2:], strict=True)]
    pads = pads_of(windows)
    weight = context.params["weight"]
    # Elements of the output padding that no window reaches stay zero.
    y = unpad(correlate_backward_input(x, weight, _padded_sizes(sizes, windows), windows, layer.groups), pads, sizes)
    _add_bias(y, context.params)

    def backward(dy: Array) -> tuple[tuple[Array | None, ...], Arrays]:
        dy_padded = pad_axes(dy, pads)
        gradients = {"weight": weight_gradient(dy_padded, x, weight, windows, layer.groups)}
        if "bias" in context.params:
            gradients["bias"] = sum_but_channels(dy)
        dx = correlate(dy_padded, weight, windows, layer.groups) if context.needs_input_gradient else None
        return (dx,), gradients

    return y, backward


def _add_bias(y: Array, params: Mapping[str, Array]) -> None:
    if "bias" in params:
        y += along_channels(params["bias"], y)


def _flipped(weight: Array, flip: bool) -> Array:
    return np.ascontiguousarray(np.flip(weight, tuple(range(2, weight.ndim)))) if flip else weight


def _padded_sizes(sizes: tuple[int, ...], windows: Windows) -> tuple[int, ...]:
    return tuple(window.before + n + window.after for window, n in zip(windows, sizes, strict=True))
