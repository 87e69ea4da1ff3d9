"""Draw the pictures of this folder and of the README anew: `python docs/draw.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cnnspec
from cnnspec.diagram.draw import draw

FOLDER = Path(__file__).parent / "pictures"
PICTURES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "lenet-stack": ("lenet", {"view": "stack"}),
    "vgg16-stack": ("vgg16", {"view": "stack"}),
    "resnet50": ("resnet50", {}),
    "inception": ("googlenet", {"block": "inception3a"}),
    "unet": ("unet", {}),
    "siamese": ("siamese", {}),
}
"""What is drawn, by the name of the file: the spec, and what `draw` is told."""


def picture(name: str) -> str:
    """Return a picture as SVG."""
    spec, options = PICTURES[name]
    return draw(cnnspec.load(spec).graph, **options).svg()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PICTURES:
        (FOLDER / f"{name}.svg").write_text(picture(name), "utf-8")
