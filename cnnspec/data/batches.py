"""Batches of a split: the order of an epoch, and augmentation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array, Arrays
from cnnspec.data.inputs import scaled
from cnnspec.data.loader import Loader
from cnnspec.data.split import Split
from cnnspec.errors import DataError
from cnnspec.graph.settings import Input
from cnnspec.graph.training import Augment
from cnnspec.layers import Shape
from cnnspec.wording import format_shape, noun


def epoch_order(n: int, seed: int, epoch: int) -> Array:
    """Return the order of the samples in an epoch, the same for every backend: a permutation of the indices [n]."""
    return rng.stream(seed, "order", epoch).permutation(n)


def batches(
    split: Split, order: Array, size: int, loader: Loader | None = None
) -> Iterator[tuple[Array | Arrays, Array | Arrays, Array]]:
    """Yield batches (x, target, indices) of `size` samples in the given order; the last may be smaller."""
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    for loaded, indices in zip((loader or Loader()).batches(split, parts), parts, strict=True):
        yield (*loaded, indices)


def augmented(x: Array, augment: Augment, seed: int, epoch: int, indices: Array, graph_input: Input) -> Array:
    """Return images shifted and mirrored at random: x [n, c, h, w] -> y [n, c, h, w].

    The augmentation of a sample depends on the seed, the epoch and its index, not on its batch or shard. A shift is
    filled with the value of a pixel of zero.
    """
    check_augment(augment, x.shape[1:])
    s = augment.shift
    if not s and augment.flip == "none":
        return x
    down, right, mirror = _bits(seed, epoch, indices, 3)
    if s:
        n, c, h, w = x.shape
        framed = np.empty((n, c, h + 2 * s, w + 2 * s), x.dtype)
        framed[:] = scaled(np.zeros((1, c, 1, 1)), graph_input)
        framed[:, :, s : s + h, s : s + w] = x
        windows = np.lib.stride_tricks.sliding_window_view(framed, (h, w), (2, 3))  # [n, c, 2s + 1, 2s + 1, h, w]
        x = windows[np.arange(n), :, _below(2 * s + 1, down), _below(2 * s + 1, right)]
    if augment.flip == "horizontal":
        x = np.where((_below(2, mirror) == 1)[:, None, None, None], x[..., ::-1], x)
    return x


def check_augment(augment: Augment, shape: Shape) -> None:
    """Raise DataError where samples of that shape cannot be augmented, or a shift can leave nothing of them."""
    if not augment.shift and augment.flip == "none":
        return
    if len(shape) != 3:
        raise DataError(
            f"`augment` shifts and mirrors images, and the network takes {noun(shape)}s of {format_shape(shape)}"
        )
    if augment.shift >= min(shape[1:]):
        raise DataError(f"`augment: {{shift: {augment.shift}}}` can move images of {shape[1]}×{shape[2]} out of sight")


def _bits(seed: int, epoch: int, indices: Array, count: int) -> Array:
    """Return numbers of 32 random bits for each sample: indices [n] -> [count, n], uint64.

    A hash of the index, so that each sample is independent of the others: SplitMix64 (Steele, Lea & Flood 2014).
    """
    key = rng.stream(seed, "augment", epoch).integers(1 << 64, dtype=np.uint64)
    counter = indices.astype(np.uint64) * np.uint64(count) + np.arange(1, count + 1, dtype=np.uint64)[:, None]
    z = key + counter * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) >> np.uint64(32)


def _below(bound: int, bits: Array) -> Array:
    """Return integers from 0 to bound − 1, from 32 random bits each."""
    return (bits * np.uint64(bound) >> np.uint64(32)).astype(np.intp)
