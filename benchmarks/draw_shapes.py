"""Draws a dataset of coloured shapes on a noisy background, 64×64, with a folder for each class.

    python benchmarks/draw_shapes.py FOLDER --classes circle square triangle cross --train 400 --test 100

The counts are those of each class. The same pictures come out each time.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE, SCALE = 64, 4

Points = list[tuple[float, float]]
"""(x, y) of a shape within the unit circle."""


def polygon(corners: int, inner: float = 1.0) -> Points:
    """The corners of a regular polygon, or of a star whose corners lie on two circles."""
    count = corners if inner == 1.0 else 2 * corners
    radii = [1.0 if inner == 1.0 or i % 2 == 0 else inner for i in range(count)]
    angles = [2 * math.pi * i / count for i in range(count)]
    return [(r * math.cos(angle), r * math.sin(angle)) for r, angle in zip(radii, angles, strict=True)]


def arc(first: float, last: float, width: float = 1.0, count: int = 40) -> Points:
    """The points of a circle between two fractions of it, on an axis of another length."""
    angles = np.linspace(2 * math.pi * first, 2 * math.pi * last, count)
    return [(math.cos(a), width * math.sin(a)) for a in angles]


CROSS = [(1, 0.3), (1, -0.3), (0.3, -0.3), (0.3, -1), (-0.3, -1), (-0.3, -0.3)]
CLASSES: dict[str, Points] = {
    "circle": arc(0, 1),
    "square": polygon(4),
    "triangle": polygon(3),
    "cross": [*CROSS, *((-x, -y) for x, y in CROSS)],
    "star": polygon(5, 0.4),
    "ellipse": arc(0, 1, 0.45),
    "hexagon": polygon(6),
    "half": arc(0, 0.5),
    "crescent": [*arc(0, 0.5), *arc(0.5, 0, 0.5)],
}


def drawn(points: Points, rng: np.random.Generator) -> Image.Image:
    """A picture of a shape of random colour, size, place and angle."""
    colours = rng.integers(0, 256, (2, 3))
    while np.abs(colours[0] - colours[1]).max() < 150:
        colours = rng.integers(0, 256, (2, 3))
    radius, angle = rng.uniform(14, 28), rng.uniform(0, 2 * math.pi)
    x0, y0 = rng.uniform(radius, SIZE - radius, 2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = (np.array(points) @ turn.T * radius + (x0, y0)) * SCALE
    image = Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), tuple(map(int, colours[0])))
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners], fill=tuple(map(int, colours[1])))
    pixels = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX)) + rng.normal(0, 10, (SIZE, SIZE, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", nargs="+", choices=CLASSES, default=list(CLASSES))
    parser.add_argument("--train", type=int, default=100)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for part, count in (("train", given.train), ("test", given.test)):
        for name in given.classes:
            rng = np.random.default_rng([given.seed, part == "test", list(CLASSES).index(name)])
            folder = given.folder / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                drawn(CLASSES[name], rng).save(folder / f"{i:04}.png")


if __name__ == "__main__":
    main()
