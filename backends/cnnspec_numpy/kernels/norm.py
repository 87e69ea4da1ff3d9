"""Normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.norm import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    OverAxes,
    RmsNorm,
    Scale,
    Shift,
)
from cnnspec_numpy.kernels.base import Context, Result, along_channels, sum_but_channels


def _normalised(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array, Array]:
    """Return (x − mean) / √(variance + eps), the mean and the variance over the axes, which are kept with size 1."""
    mean = x.mean(axes, keepdims=True)
    y = x - mean
    variance = np.square(y).mean(axes, keepdims=True)
    y /= np.sqrt(variance + eps)
    return y, mean, variance


def _normalised_backward(dy: Array, y: Array, variance: Array, axes: tuple[int, ...], eps: float) -> Array:
    """Return dx of `_normalised` (Ioffe & Szegedy 2015, section 3)."""
    dx: Array = dy - dy.mean(axes, keepdims=True)
    dx -= y * (dy * y).mean(axes, keepdims=True)
    dx /= np.sqrt(variance + eps)
    return dx


def batch_norm(context: Context[BatchNorm], x: Array) -> Result:
    """y = weight · normalised x + bias; the statistics are the batch's in training, else the running ones."""
    eps, weight = context.layer.eps, along_channels(context.params["weight"], x)
    if context.training:
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        normal, mean, variance = _normalised(x, axes, eps)
        _update_running_statistics(context, x, mean, variance)
    else:
        mean, variance = (along_channels(context.params[key], x) for key in ("running_mean", "running_var"))
        normal = (x - mean) / np.sqrt(variance + eps)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        gradients = {"weight": sum_but_channels(dy * normal), "bias": sum_but_channels(dy)}
        if context.training:
            return (_normalised_backward(dy * weight, normal, variance, axes, eps),), gradients
        return (dy * (weight / np.sqrt(variance + eps)),), gradients

    return normal * weight + along_channels(context.params["bias"], x), backward


def _update_running_statistics(context: Context[BatchNorm], x: Array, mean: Array, variance: Array) -> None:
    count = x.size // x.shape[1]
    momentum = context.layer.momentum
    for key, batch in (("running_mean", mean), ("running_var", variance * (count / (count - 1)))):
        name = context.node.arrays[key]
        running = context.state.get(name, context.params[key])  # of another layer with the same arrays, if there is one
        context.state[name] = (1 - momentum) * running + momentum * batch.reshape(-1)


def layer_norm(context: Context[LayerNorm], x: Array) -> Result:
    """y = weight · x normalised over the axes + bias."""
    axes, eps = _axes(context.layer, x), context.layer.eps
    weight, bias = (_over(context.params[key], x, axes) for key in ("weight", "bias"))
    normal, _, variance = _normalised(x, axes, eps)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dx = _normalised_backward(dy * weight, normal, variance, axes, eps)
        return (dx,), {"weight": _sum_but(dy * normal, axes), "bias": _sum_but(dy, axes)}

    return normal * weight + bias, backward


def rms_norm(context: Context[RmsNorm], x: Array) -> Result:
    """y = weight · x / √(mean of x² over the axes + eps)."""
    axes = _axes(context.layer, x)
    weight = _over(context.params["weight"], x, axes)
    factor = 1 / np.sqrt(np.square(x).mean(axes, keepdims=True) + context.layer.eps)
    normal = x * factor

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dnormal = dy * weight
        dx = factor * (dnormal - normal * (dnormal * normal).mean(axes, keepdims=True))
        return (dx,), {"weight": _sum_but(dy * normal, axes)}

    return normal * weight, backward


def _axes(layer: OverAxes, x: Array) -> tuple[int, ...]:
    """Return the axes of x [n, c, ...] that the statistics are over."""
    return tuple(1 + axis for axis in layer.positions(x.shape[1:]))


def _over(parameter: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """Return a parameter of the shape of some axes in the form that broadcasts to x."""
    return parameter.reshape([n if axis in axes else 1 for axis, n in enumerate(x.shape)])


def _sum_but(x: Array, axes: tuple[int, ...]) -> Array:
    """Return the sum over all axes but these."""
    total: Array = x.sum(tuple(axis for axis in range(x.ndim) if axis not in axes))
    return total


def group_norm(context: Context[GroupNorm], x: Array) -> Result:
    """y = weight · x normalised over each group of channels + bias."""
    return _over_groups(context, x, context.layer.groups, context.layer.eps)


def instance_norm(context: Context[InstanceNorm], x: Array) -> Result:
    """y = weight · x normalised over the positions of each channel + bias."""
    return _over_groups(context, x, x.shape[1], context.layer.eps)


def _over_groups(context: Context[Any], x: Array, groups: int, eps: float) -> Result:
    grouped, _, variance = _normalised(x.reshape(len(x), groups, -1), (2,), eps)
    normal = grouped.reshape(x.shape)
    affine = "weight" in context.params
    weight, bias = (along_channels(context.params[key], x) for key in ("weight", "bias")) if affine else (1, 0)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dx = _normalised_backward((dy * weight).reshape(grouped.shape), grouped, variance, (2,), eps)
        gradients = {"weight": sum_but_channels(dy * normal), "bias": sum_but_channels(dy)} if affine else {}
        return (dx.reshape(x.shape),), gradients

    return normal * weight + bias if affine else normal, backward


def local_response_norm(context: Context[LocalResponseNorm], x: Array) -> Result:
    """y = x · d^−β with d = k + α/size · Σ x² over the neighbouring channels."""
    size, alpha, beta, k = context.layer.size, context.layer.alpha, context.layer.beta, context.layer.k

    def over_neighbours(a: Array, before: int) -> Array:
        padded = np.pad(a, [(0, 0), (before, size - 1 - before), *[(0, 0)] * (a.ndim - 2)])
        return sum((padded[:, i : i + a.shape[1]] for i in range(size)), np.zeros_like(a))

    d = k + alpha / size * over_neighbours(x * x, size // 2)
    factor = d**-beta

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        # Of an even size, a channel's neighbours are not those that it is a neighbour of.
        through_d = over_neighbours(dy * x * factor / d, (size - 1) // 2)
        return (dy * factor - (2 * alpha * beta / size) * x * through_d,), {}

    return x * factor, backward


def scale(context: Context[Scale], x: Array) -> Result:
    """y = weight · x, or value · x."""
    if not context.layer.learn:
        value = context.layer.value
        return x * value, lambda dy: ((dy * value,), {})
    weight = along_channels(context.params["weight"], x)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy * weight,), {"weight": sum_but_channels(dy * x)}

    return x * weight, backward


def shift(context: Context[Shift], x: Array) -> Result:
    """y = x + bias, or x + value."""
    if not context.layer.learn:
        return x + x.dtype.type(context.layer.value), lambda dy: ((dy,), {})
    return x + along_channels(context.params["bias"], x), lambda dy: ((dy,), {"bias": sum_but_channels(dy)})
