"""The value of a layer as a picture: its channels side by side, in colours from its least to its greatest number."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.images import pillow_for
from cnnspec.graph.graph import Node
from cnnspec.wording import format_shape

CHANNELS, ACROSS = 16, 8
"""The most channels that are shown, and how many of them side by side."""
SIDE = 64
"""The longest side of a channel in pixels; larger ones are thinned out."""
WIDTH = 64
"""Numbers in a row of a vector."""
WIDE, TALL, MOST_SCALE = 420, 96, 12
"""Pixels of the page that a layer and a channel of it are enlarged to at most, and the largest factor."""
GAP = 255
"""The index of the transparent colour between channels."""
_ANCHORS = ((0, 34, 78), (54, 91, 110), (124, 123, 120), (187, 175, 113), (254, 232, 56))
"""Of cividis (Nuñez et al. 2018), which reads the same for the colour-blind."""


@dataclass(frozen=True)
class FeatureMap:
    """The picture of a layer."""

    name: str
    kind: str
    shape: str
    about: str
    """What is shown, in words."""
    png: bytes
    width: int
    height: int
    scale: int
    """The size of a pixel on the page, so that small channels can be seen."""


def feature_map(node: Node, value: Array) -> FeatureMap:
    """Return the picture of a node's value: [c, h, w], [c, l], [c, d, h, w] or [f]."""
    finite = np.where(np.isfinite(value), value, 0)
    least, most = float(finite.min()), float(finite.max())
    levels = (finite - least) * (GAP - 1) / ((most - least) or 1)
    planes, shown = _planes(levels)
    tiled = _tiled(planes)
    height, width = tiled.shape
    about = f"{shown}, from {_text(least)} to {_text(most)}" if most > least else f"{shown}, all {_text(least)}"
    scale = max(1, min(MOST_SCALE, WIDE // width, TALL // max(planes.shape[1:])))
    return FeatureMap(node.name, node.kind, format_shape(value.shape), about, _png(tiled), width, height, scale)


def _text(number: float) -> str:
    return f"{number:.3g}".replace("-", "\N{MINUS SIGN}")


def _planes(value: Array) -> tuple[Array, str]:
    """Return a value as planes [n, h, w] of at most SIDE × SIDE numbers, and which part of it that is in words."""
    if value.ndim == 1:
        kept = value[: WIDTH * CHANNELS]
        rows = -(-len(kept) // WIDTH)
        padded = np.full(rows * min(WIDTH, len(kept)), np.nan)
        padded[: len(kept)] = kept
        shown = "all numbers" if len(kept) == len(value) else f"the first {len(kept):,} of {len(value):,} numbers"
        return padded.reshape(1, rows, -1), shown
    if value.ndim == 2:
        return _thinned(value[None]), f"{len(value):,} channels, a row each"
    kept = value[:CHANNELS]
    shown = "all channels" if len(kept) == len(value) else f"the first {CHANNELS} of {len(value):,} channels"
    if value.ndim == 4:
        kept, shown = kept[:, kept.shape[1] // 2], f"{shown}, the middle plane"
    return _thinned(kept), shown


def _thinned(planes: Array) -> Array:
    """Return planes with every k-th row and column: [n, h, w] -> at most [n, SIDE, SIDE]."""
    every = [-(-size // SIDE) for size in planes.shape[1:]]
    return planes[:, :: every[0], :: every[1]]


def _tiled(planes: Array) -> Array:
    """Return planes [n, h, w] side by side in rows of ACROSS, with a pixel between them: uint8 [h', w']."""
    n, h, w = planes.shape
    across = min(ACROSS, n)
    down = -(-n // across)
    canvas = np.full((down * (h + 1) - 1, across * (w + 1) - 1), GAP, np.uint8)
    for i, plane in enumerate(planes):
        top, left = i // across * (h + 1), i % across * (w + 1)
        canvas[top : top + h, left : left + w] = np.where(np.isnan(plane), GAP, plane)
    return canvas


def _png(indices: Array) -> bytes:
    picture = pillow_for("a feature map").fromarray(indices)
    picture.putpalette(_palette())
    held = io.BytesIO()
    picture.save(held, "PNG", transparency=GAP, compress_level=1)
    return held.getvalue()


@cache
def _palette() -> bytes:
    """Return the 256 colours: the anchors with steps between them."""
    steps = np.linspace(0, len(_ANCHORS) - 1, GAP)
    found = []
    for step in steps:
        i = min(int(step), len(_ANCHORS) - 2)
        (low, high), part = [*pairwise(_ANCHORS)][i], step - i
        found += [round(a + (b - a) * part) for a, b in zip(low, high, strict=True)]
    return bytes([*found, 0, 0, 0])
