"""Feature maps on a page: a PNG for each layer, and what is said of it."""

from __future__ import annotations

from typing import Any

from cnnspec.report import pictures
from cnnspec.report.activations import ROW, FeatureMap
from cnnspec.report.data import ReportData
from cnnspec.view.table import percent
from cnnspec.wording import format_shape

COLOURS = "magma"
"""The colour map of feature maps in Matplotlib."""


def picture_uris(data: ReportData) -> dict[str, str]:
    """Return the sample that was given as a picture, for each input that is one."""
    return {name: pictures.pixels_uri(pixels) for name, pixels in data.maps.pictures.items()} if data.maps else {}


def page_maps(data: ReportData) -> list[dict[str, Any]]:
    """Return the picture of each layer, its size in pixels, and the text below it."""
    if data.maps is None:
        return []
    return [
        {
            "name": one.layer,
            "picture": pictures.levels_uri(one.levels, COLOURS),
            "width": one.levels.shape[1],
            "height": one.levels.shape[0],
            "text": caption(one),
        }
        for one in data.maps.maps
    ]


def caption(one: FeatureMap) -> str:
    """Return what is shown of a layer: how much of it, from which number to which, and how many are 0."""
    count = one.shape[0]
    if len(one.shape) == 1:
        what = f"{'all' if one.shown == count else f'the first {one.shown} of'} {count} numbers, {ROW} in a row"
    else:
        what = f"{'all' if one.shown == count else f'the first {one.shown} of'} {count} channels"
    parts = [format_shape(one.shape), what, one.note, f"numbers from {one.low:.3g} to {one.high:.3g}"]
    if one.zeros:
        parts.append(f"{percent(one.zeros)} are 0")
    return "; ".join(filter(None, parts)).replace("-", "−")
