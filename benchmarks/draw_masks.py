"""Draws a segmentation dataset: shapes on a noisy background, 48×48, grey, with the class of each pixel as a mask.

    python benchmarks/draw_masks.py FOLDER --train 1200 --test 200

Classes: 0 background, 1 circle, 2 square, 3 triangle. The same pictures come out each time.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = 48


def sample(rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """Return an image with one to three shapes that do not overlap, and its mask."""
    image, mask = Image.new("L", (SIZE, SIZE), int(rng.integers(40, 110))), Image.new("L", (SIZE, SIZE), 0)
    taken: list[tuple[float, float, float]] = []
    for _ in range(rng.integers(1, 4)):
        kind, radius, turn = int(rng.integers(1, 4)), float(rng.uniform(6, 11)), rng.uniform(0, 2 * math.pi)
        x, y = map(float, rng.uniform(radius, SIZE - radius, 2))
        if any(math.hypot(x - u, y - v) < radius + r + 1 for u, v, r in taken):
            continue
        taken.append((x, y, radius))
        corners = {1: 40, 2: 4, 3: 3}[kind]
        angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
        points = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]
        ImageDraw.Draw(image).polygon(points, fill=int(rng.integers(150, 230)))
        ImageDraw.Draw(mask).polygon(points, fill=kind)
    noisy = np.asarray(image, float) + rng.normal(0, 12, (SIZE, SIZE))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), mask


def main() -> None:
    """Draw the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=1200)
    parser.add_argument("--test", type=int, default=200)
    arguments = parser.parse_args()
    for i, part in enumerate(("train", "test")):
        rng = np.random.default_rng(i)
        for kind in ("images", "masks"):
            (arguments.folder / part / kind).mkdir(parents=True, exist_ok=True)
        for number in range(getattr(arguments, part)):
            for kind, picture in zip(("images", "masks"), sample(rng), strict=True):
                picture.save(arguments.folder / part / kind / f"{number:04}.png")


if __name__ == "__main__":
    main()
