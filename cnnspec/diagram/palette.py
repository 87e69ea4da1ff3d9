"""The colours of every picture and page, light and dark; those of layers are by family (after Okabe & Ito 2008)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from cnnspec.layers.base import Family

Theme = Literal["light", "dark"]

FAMILIES: tuple[Family, ...] = get_args(Family)

CALLED: Mapping[Family, str] = {
    "conv": "convolution",
    "pool": "pooling, reduction",
    "norm": "normalization",
    "activation": "activation",
    "dense": "dense",
    "merge": "merge of branches",
    "shape": "change of shape",
    "other": "other",
}
"""What the families are called in a legend."""

_LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "muted": "#56606b",
    "line": "#aab3bd",
    "accent": "#0b5fad",
    "frame": "#f3f5f8",
    "edge": "#808b98",
    "conv": "#005c9e",
    "pool": "#b04400",
    "norm": "#3d9bd0",
    "activation": "#c68600",
    "dense": "#009468",
    "merge": "#cc69ad",
    "shape": "#66707b",
    "other": "#1f242a",
}
_DARK = {
    "paper": "#14171b",
    "ink": "#eef1f4",
    "muted": "#aeb8c2",
    "line": "#56606b",
    "accent": "#7cbcf5",
    "frame": "#1d2127",
    "edge": "#7a8591",
    "conv": "#3a8fd6",
    "pool": "#d9622b",
    "norm": "#8fd0f5",
    "activation": "#edb92e",
    "dense": "#2fc896",
    "merge": "#c264a6",
    "shape": "#a6b0ba",
    "other": "#e3e7ea",
}
_TINT = {"light": 0.17, "dark": 0.23}
"""How much of a family's colour is in the ground of its layers."""


def _mixed(colour: str, ground: str, part: float) -> str:
    pairs = zip(_channels(colour), _channels(ground), strict=True)
    return "#" + "".join(f"{round(part * a + (1 - part) * b):02x}" for a, b in pairs)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def _with_tints(theme: Theme, colours: dict[str, str]) -> dict[str, str]:
    tints = {f"{name}-tint": _mixed(colours[name], colours["paper"], _TINT[theme]) for name in FAMILIES}
    return colours | tints


PALETTES: Mapping[Theme, Mapping[str, str]] = {
    "light": _with_tints("light", _LIGHT),
    "dark": _with_tints("dark", _DARK),
}
"""The colours by name; text is `ink` or `muted`, on `paper`, on a `frame`, or on the tint of a family."""


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
