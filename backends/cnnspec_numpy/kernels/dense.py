"""Dense layers and flattening."""

from __future__ import annotations

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.dense import Dense, Flatten
from cnnspec_numpy.kernels.base import Context, Result


def dense(context: Context[Dense], x: Array) -> Result:
    """y = x · weightᵀ + bias."""
    weight = context.params["weight"]
    y = x @ weight.T
    if "bias" in context.params:
        y += context.params["bias"]

    def backward(dy: Array) -> tuple[tuple[Array | None, ...], Arrays]:
        gradients = {"weight": dy.T @ x}
        if "bias" in context.params:
            gradients["bias"] = dy.sum(0)
        return (dy @ weight if context.needs_input_gradient else None,), gradients

    return y, backward


def flatten(context: Context[Flatten], x: Array) -> Result:
    """x as one vector."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy.reshape(x.shape),), {}

    return x.reshape(len(x), -1), backward
