"""Layers over vectors, and the step from images to them."""

from __future__ import annotations

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.dense import Dense, Dropout, Flatten
from cnnspec.rng import dropout_mask
from cnnspec_numpy.kernels.base import Call, Result


def dense(call: Call[Dense], x: Array) -> Result:
    """y = x · weightᵀ + bias."""
    weight = call.params["weight"]
    y = x @ weight.T
    if "bias" in call.params:
        y += call.params["bias"]

    def backward(dy: Array) -> tuple[tuple[Array | None, ...], Arrays]:
        gradients = {"weight": dy.T @ x}
        if "bias" in call.params:
            gradients["bias"] = dy.sum(0)
        return (dy @ weight if call.wants_dx else None,), gradients

    return y, backward


def flatten(call: Call[Flatten], x: Array) -> Result:
    """The same numbers as one vector."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy.reshape(x.shape),), {}

    return x.reshape(len(x), -1), backward


def dropout(call: Call[Dropout], x: Array) -> Result:
    """While training, zero where the mask says so and else divided by 1 − rate."""
    rate = call.layer.rate
    if not call.training or rate == 0:
        return x, lambda dy: ((dy,), {})
    kept = dropout_mask(call.seed, call.step, call.node.name, x.shape, rate)
    factor = kept.astype(x.dtype) / (1 - rate)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy * factor,), {}

    return x * factor, backward
