"""Feature maps in a notebook: small pictures of the first sample, a row for each layer."""

from __future__ import annotations

import base64
from html import escape

import numpy as np

from cnnspec.arrays import Array
from cnnspec.notebook import html
from cnnspec.notebook.forms import Forms, forms
from cnnspec.runtime.feature_maps import FeatureMaps
from cnnspec.view import pixels, sheets
from cnnspec.wording import a_count, format_shape

MOST_LAYERS, MOST_MAPS = 12, 16
"""Layers, and maps of each, that are shown."""
_A_ROW = 8
_LEAST, _MOST = 48, 96
"""Pixels of the longer side of a map."""
_GAP = 4


def feature_maps(found: FeatureMaps) -> Forms:
    """Return the forms of feature maps; without the extra `images`, the shapes alone."""
    arrays = {name: array for name, array in found.items() if len(array)}
    about = _about(found)
    lines = [f"{name}  {list(array.shape)}" for name, array in found.items()]
    text = "\n".join([f"feature maps of {found.network}: {about}", *lines])
    head = html.heading(f"Feature maps of {found.network}", about)
    shown = dict([*arrays.items()][:MOST_LAYERS])
    try:
        parts = [_figure(name, array[0]) for name, array in shown.items()]
    except ImportError:
        note = html.paragraph("pictures need the extra `images`: pip install 'cnnspec[images]'")
        shapes = {name: str(list(array.shape)) for name, array in found.items()}
        return forms(text, html.view(head, note, html.facts(shapes, "shapes")))
    if len(arrays) > len(shown):
        parts.append(html.paragraph(f"the first {len(shown)} of {len(arrays)} layers"))
    return forms(text, html.view(head, *parts))


def _about(found: FeatureMaps) -> str:
    samples = len(next(iter(found.values()))) if found else 0
    shown = ", the first is shown" if samples > 1 else ""
    return f"{a_count(len(found), 'layer')}, {a_count(samples, 'sample')}{shown}"


def _figure(name: str, values: Array) -> str:
    """Return the maps [c, ...] of a layer as a picture with a caption."""
    planes = [_two_axes(one) for one in values[:MOST_MAPS]]
    shown = [pixels.fitted(one, _LEAST, _MOST) for one in planes]
    low, high = pixels.extent(np.stack(shown))
    limited = f"{MOST_MAPS} of {len(values):,} maps" if len(values) > MOST_MAPS else a_count(len(values), "map")
    about = f"{format_shape(values.shape)}, {limited}, from {low:.3g} to {high:.3g}".replace("-", "−")
    if values.ndim == 4:
        about += f", slice {values.shape[1] // 2 + 1} of {values.shape[1]}"
    sheet = sheets.side_by_side(sheets.levels(np.stack(shown), low, high), _A_ROW, _GAP)
    source = base64.b64encode(sheets.png(sheet)).decode("ascii")
    label = escape(f"{name}: {about}")
    return (
        f"<figure><figcaption><b>{escape(name)}</b> {escape(about)}</figcaption>"
        f'<img class="cs-pixels" width="{sheet.shape[1]}" height="{sheet.shape[0]}" alt="{label}" '
        f'src="data:image/png;base64,{source}"></figure>'
    )


def _two_axes(values: Array) -> Array:
    """Return a map as [h, w]: the middle slice of a volume, a signal as a row."""
    return values[None, :] if values.ndim == 1 else pixels.plane(values)
