"""The value of a layer as a picture: its channels side by side, in colours from its least to its greatest number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec.view import sheets
from cnnspec.wording import format_shape

CHANNELS, ACROSS = 16, 8
"""The most channels that are shown, and how many of them side by side."""
SIDE = 64
"""The longest side of a channel in pixels; larger ones are shrunk."""
WIDTH = 64
"""Numbers in a row of a vector."""
WIDE, TALL, MOST_SCALE = 420, 96, 12
"""Pixels of the page that a layer and a channel of it are enlarged to at most, and the largest factor."""


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
    planes, shown = _planes(finite)
    levels = np.where(np.isnan(planes), sheets.GAP, sheets.levels(planes, least, most))
    tiled = sheets.side_by_side(levels, ACROSS)
    height, width = tiled.shape
    about = f"{shown}, from {_text(least)} to {_text(most)}" if most > least else f"{shown}, all {_text(least)}"
    scale = max(1, min(MOST_SCALE, WIDE // width, TALL // max(planes.shape[1:])))
    return FeatureMap(node.name, node.kind, format_shape(value.shape), about, sheets.png(tiled), width, height, scale)


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
        return sheets.shrunk(value[None], SIDE), f"{len(value):,} channels, a row each"
    kept = value[:CHANNELS]
    shown = "all channels" if len(kept) == len(value) else f"the first {CHANNELS} of {len(value):,} channels"
    if value.ndim == 4:
        kept, shown = kept[:, kept.shape[1] // 2], f"{shown}, the middle plane"
    return sheets.shrunk(kept, SIDE), shown
