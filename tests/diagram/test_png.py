"""A diagram as PNG: its size, its colours, and what is said where it cannot be drawn."""

from __future__ import annotations

import importlib.util
import io
from typing import Any

import pytest
from networks import load
from test_svg import hostile_graph

from cnnspec.diagram.draw import draw
from cnnspec.diagram.palette import PALETTES, Theme
from cnnspec.errors import BackendError, DiagramError

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def opened(content: bytes) -> Any:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize("theme", PALETTES)
@pytest.mark.parametrize("view", ["graph", "stack"])
def test_it_is_the_picture_in_its_size_and_colours(theme: Theme, view: Any) -> None:
    diagram = draw(load("lenet"), view=view)
    image = opened(diagram.png(2.0, theme))
    assert image.format == "PNG"
    assert image.size == (round(2 * diagram.picture.width), round(2 * diagram.picture.height))
    colours = {colour for _, colour in image.getcolors(1 << 20)}
    for name in ("paper", "conv", "conv-tint", "dense", "pool"):
        assert tuple(int(PALETTES[theme][name][i : i + 2], 16) for i in (1, 3, 5)) in colours, name
    assert image.getpixel((0, 0)) == image.getpixel((image.width - 1, image.height - 1))


def test_boxes_are_where_the_positions_say() -> None:
    diagram = draw(load("lenet"))
    image = opened(diagram.png(1.0))
    tint = PALETTES["light"]["dense-tint"]
    for item, rect in diagram.placement.rects.items():
        if getattr(item, "label", "") == "dense1":
            place = round(20 + rect.x + rect.width - 4), round(20 + 46 + rect.y + 4)
            assert image.getpixel(place) == tuple(int(tint[i : i + 2], 16) for i in (1, 3, 5))
            return
    raise AssertionError("there is no dense1")


def test_any_characters_can_be_drawn() -> None:
    assert opened(draw(hostile_graph(), depth=9).png(1.0)).width > 100


def test_what_would_be_too_large_is_an_error() -> None:
    with pytest.raises(DiagramError, match=r"the picture would have [\d,]+×[\d,]+ pixels: fold more blocks"):
        draw(load("resnet50"), depth=9).png(8.0)


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "PIL" else real(name, *rest))
    with pytest.raises(BackendError, match=r'Pillow is not installed: pip install "cnnspec\[images\]"'):
        draw(load("lenet")).png()
