"""Feature maps in a notebook: small pictures of the first sample, a row for each layer."""

from __future__ import annotations

import base64
import io
import math
from html import escape

import numpy as np

from cnnspec.arrays import Array
from cnnspec.notebook import html
from cnnspec.notebook.forms import Forms, forms
from cnnspec.runtime.feature_maps import FeatureMaps
from cnnspec.view import pixels
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
    image = _sheet([pixels.coloured(one, low, high).rgb for one in shown])
    source = base64.b64encode(_png(image)).decode("ascii")
    label = escape(f"{name}: {about}")
    return (
        f"<figure><figcaption><b>{escape(name)}</b> {escape(about)}</figcaption>"
        f'<img class="cs-pixels" width="{image.shape[1]}" height="{image.shape[0]}" alt="{label}" '
        f'src="data:image/png;base64,{source}"></figure>'
    )


def _two_axes(values: Array) -> Array:
    """Return a map as [h, w]: the middle slice of a volume, a signal as a row."""
    return values[None, :] if values.ndim == 1 else pixels.plane(values)


def _sheet(images: list[Array]) -> Array:
    """Return images [h, w, 3] of one size in rows, with transparent gaps: [h, w, 4], bytes."""
    height, width = images[0].shape[:2]
    columns = min(_A_ROW, len(images))
    rows = math.ceil(len(images) / columns)
    sheet = np.zeros((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 4), np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + _GAP), (i % columns) * (width + _GAP)
        sheet[y : y + height, x : x + width, :3] = image
        sheet[y : y + height, x : x + width, 3] = 255
    return sheet


def _png(image: Array) -> bytes:
    """Return an image [h, w, 4] as a PNG; raise ImportError without Pillow."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
