"""Padding of arrays, and the windows of a node as torch takes them."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.geometry import Window


def pad_axes(x: Tensor, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Pad x [n, c, ...] with elements before and after along each spatial axis."""
    widths = last_axis_first(pads)
    return F.pad(x, widths, value=value) if any(widths) else x


_MODES = {"reflect": "reflect", "edge": "replicate", "circular": "circular"}


def bordered(x: Tensor, pads: Sequence[tuple[int, int]], mode: str) -> Tensor:
    """Pad x [n, c, ...] with numbers of its own, as `mode` chooses them."""
    widths = last_axis_first(pads)
    return F.pad(x, widths, _MODES[mode]) if any(widths) else x


def last_axis_first(pads: Sequence[tuple[int, int]]) -> list[int]:
    """Return the pads in the order of torch.nn.functional.pad."""
    return [n for pair in reversed(pads) for n in pair]


def padded(x: Tensor, windows: Sequence[Window], value: float = 0.0) -> Tensor:
    """Pad x with the padding of its windows, and what ceil rounding reaches beyond that."""
    return pad_axes(x, [(w.before, w.after + w.extra) for w in windows], value)


def symmetric(windows: Sequence[Window]) -> bool:
    """Return whether every axis has as much padding before as after."""
    return all(w.before == w.after for w in windows)


def kernels(windows: Sequence[Window]) -> list[int]:
    """Return the kernel along each axis."""
    return [w.kernel for w in windows]


def strides(windows: Sequence[Window]) -> list[int]:
    """Return the stride along each axis."""
    return [w.stride for w in windows]


def pads_before(windows: Sequence[Window]) -> list[int]:
    """Return the padding before each axis."""
    return [w.before for w in windows]
