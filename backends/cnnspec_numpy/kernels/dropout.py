"""Layers that drop numbers at random in training."""

from __future__ import annotations

from typing import Any

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.dropout import Dropout, Dropped, SpatialDropout, StochasticDepth
from cnnspec.rng import dropout_mask
from cnnspec_numpy.kernels.base import Context, Result


def dropout(context: Context[Dropout], x: Array) -> Result:
    """In training, zero where the mask is false, and x / (1 − rate) elsewhere; x itself at inference."""
    return _dropped(context, x)


def spatial_dropout(context: Context[SpatialDropout], x: Array) -> Result:
    """dropout with one element of the mask for each channel."""
    return _dropped(context, x)


def stochastic_depth(context: Context[StochasticDepth], x: Array) -> Result:
    """dropout with one element of the mask for each sample."""
    return _dropped(context, x)


def _dropped(context: Context[Any], x: Array) -> Result:
    layer: Dropped = context.layer
    rate = layer.rate
    if not context.training or rate == 0:
        return x, lambda dy: ((dy,), {})
    shape = (context.samples or len(x), *layer.mask_shape(x.shape[1:]))
    kept = dropout_mask(context.seed, context.step, context.node.name, shape, rate)
    kept = kept[context.first : context.first + len(x)]
    factor = kept.astype(x.dtype) / (1 - rate)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy * factor,), {}

    return x * factor, backward
