"""Draws the pictures in specs/samples: clothes as Fashion-MNIST shows them, 28×28, light on black, and all our own.

    python benchmarks/draw_samples.py [FOLDER]

Every shape is drawn 16 times as large and averaged down, which makes the edges soft; the same picture comes out each
time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

SIZE, SCALE = 28, 16
FOLDER = Path(__file__).resolve().parent.parent / "specs" / "samples"

Array = npt.NDArray[np.float64]
Points = list[tuple[float, float]]
"""(x, y) in pixels of the small picture, y downwards."""

Y, X = (np.mgrid[: SIZE * SCALE, : SIZE * SCALE] + 0.5) / SCALE


class Canvas:
    """A large picture of brightness from 0 to 1 that shapes are painted on, one over the other."""

    def __init__(self, seed: int) -> None:
        self.light = np.zeros((SIZE * SCALE, SIZE * SCALE))
        self.rng = np.random.Generator(np.random.PCG64(seed))

    def area(self, outline: Points, brightness: float | Array) -> None:
        """A filled shape, of one brightness or of one for each place."""
        inside = self._stencil(lambda draw: draw.polygon(_large(curve(outline)), fill=255))
        self.light = np.where(inside, brightness, self.light)

    def line(self, path: Points, width: float, change: float, on_black: bool = False) -> None:
        """A stroke that lightens or darkens what is there; seams do nothing to the black around."""
        drawn = _large(curve(path, closed=False))
        thick = round(width * SCALE)
        inside = self._stencil(lambda draw: draw.line(drawn, fill=255, width=thick, joint="curve"))
        self.light += np.where(inside & (on_black | (self.light > 0)), change, 0.0)

    def weave(self, strength: float) -> None:
        """The unevenness of cloth or leather, on what is not black."""
        rough = self.rng.standard_normal((SIZE, SIZE)).repeat(SCALE, 0).repeat(SCALE, 1)
        self.light += np.where(self.light > 0, strength * rough, 0.0)

    def picture(self) -> Image.Image:
        """The picture in its small size."""
        small = np.clip(self.light, 0, 1).reshape(SIZE, SCALE, SIZE, SCALE).mean((1, 3))
        return Image.fromarray(np.round(small * 255).astype(np.uint8))

    def _stencil(self, paint: Callable[[ImageDraw.ImageDraw], None]) -> npt.NDArray[np.bool_]:
        image = Image.new("L", (SIZE * SCALE, SIZE * SCALE))
        paint(ImageDraw.Draw(image))
        return np.asarray(image) > 0


def curve(points: Points, closed: bool = True, steps: int = 12) -> Points:
    """A smooth line through all points (Catmull-Rom); a point that is written twice is a corner."""
    around = [points[-1], *points, points[0], points[1]] if closed else [points[0], *points, points[-1]]
    p = np.array(around)
    t = np.arange(steps)[:, None] / steps
    found = []
    for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False):
        found.append(b + t * ((c - a) / 2 + t * (a - 2.5 * b + 2 * c - d / 2 + t * (1.5 * (b - c) + (d - a) / 2))))
    return [(float(x), float(y)) for x, y in np.concatenate(found)] + ([] if closed else [points[-1]])


def _large(points: Points) -> Points:
    return [(x * SCALE, y * SCALE) for x, y in points]


def boot() -> Image.Image:
    """A Chelsea boot, toe to the left."""
    c = Canvas(1)
    leather = 0.76 + 0.14 * np.cos((X - 23.5) / 2.6) - 0.06 * np.clip((Y - 6) / 14, 0, 1)
    c.area([(16.0, 4.4), (16.0, 4.4), (21, 3.8), (26.2, 4.0), (26.2, 4.0), (25.7, 10), (26.0, 15), (26.8, 19.5),
            (26.6, 21.0), (26.6, 21.0), (1.4, 21.0), (1.4, 21.0), (0.8, 19.3), (2.6, 17.2), (7.0, 15.4), (11.4, 13.4),
            (14.6, 10.4), (15.7, 7.2)], leather)  # fmt: skip
    vamp = 0.68 + 0.26 * np.exp(-(((X - 5) / 4.5) ** 2 + ((Y - 17.8) / 1.8) ** 2))
    c.area([(1.5, 20.9), (0.8, 19.3), (2.6, 17.2), (7.0, 15.4), (11.4, 13.4), (14.4, 10.8), (17.6, 14.6),
            (18.6, 20.9)], vamp)  # fmt: skip
    c.line([(14.4, 10.8), (17.6, 14.6), (18.6, 20.9)], 0.8, -0.30)
    c.area([(18.0, 5.4), (18.0, 5.4), (22.9, 5.3), (22.9, 5.3), (22.2, 10), (20.9, 14.2), (19.3, 10)], 0.46)
    c.line([(16.2, 5.0), (21, 4.4), (26.0, 4.6)], 0.9, 0.16)
    c.line([(24.9, 12), (25.0, 16), (25.6, 20.8)], 0.7, -0.16)
    c.weave(0.03)
    c.area([(1.0, 21.0), (1.0, 21.0), (26.8, 21.0), (26.8, 21.0), (27.0, 24.6), (27.0, 24.6), (20.2, 24.6),
            (20.2, 24.6), (19.6, 23.0), (19.6, 23.0), (3.2, 23.0), (1.2, 22.4)], 0.36)  # fmt: skip
    c.line([(1.2, 21.5), (26.8, 21.5)], 1.0, 0.50)
    return c.picture()


def trouser() -> Image.Image:
    """A pair of trousers, front view."""
    c = Canvas(2)
    cloth = 0.78 + 0.12 * np.cos((np.abs(X - 14) - 2.8) / 1.2)
    c.area([(9.6, 0.6), (9.6, 0.6), (18.4, 0.6), (18.4, 0.6), (19.3, 6), (19.6, 14), (19.2, 21), (18.9, 27.3),
            (18.9, 27.3), (15.7, 27.3), (15.7, 27.3), (15.5, 20), (15.0, 13), (14.1, 7.6), (14.1, 7.6), (13.0, 13),
            (12.5, 20), (12.3, 27.3), (12.3, 27.3), (9.1, 27.3), (9.1, 27.3), (8.8, 21), (8.4, 14), (8.7, 6)],
           cloth)  # fmt: skip
    c.line([(9.5, 2.5), (18.5, 2.5)], 0.9, -0.26)
    c.line([(14.5, 3.0), (14.6, 5.0), (14.2, 7.6)], 0.8, -0.30)
    c.line([(9.2, 5.9), (11.2, 5.0), (11.9, 3.0)], 0.7, -0.26)
    c.line([(18.8, 5.9), (16.9, 5.0), (16.2, 3.0)], 0.7, -0.26)
    c.line([(10.6, 9), (10.4, 17), (10.6, 26)], 0.8, 0.12)
    c.line([(17.4, 9), (17.5, 17), (17.4, 26)], 0.8, 0.12)
    c.line([(8.9, 26.0), (19.1, 26.0)], 0.8, -0.22)
    c.weave(0.03)
    return c.picture()


def bag() -> Image.Image:
    """A handbag with a flap and a handle."""
    c = Canvas(3)
    handle = [(7.2, 11.4), (8.0, 6.0), (11.0, 2.6), (14.0, 1.9), (17.0, 2.6), (20.0, 6.0), (20.8, 11.4)]
    c.line(handle, 1.6, 0.80, on_black=True)
    leather = 0.74 - 0.010 * (Y - 18) + 0.07 * np.cos((X - 14) / 5)
    c.area([(3.2, 10.6), (3.2, 10.6), (14, 10.0), (24.8, 10.6), (24.8, 10.6), (25.9, 18), (26.6, 25.0), (26.0, 26.0),
            (14, 26.4), (2.0, 26.0), (1.4, 25.0), (2.1, 18)], leather)  # fmt: skip
    flap = 0.94 - 0.02 * (Y - 10)
    c.area([(3.0, 10.5), (3.0, 10.5), (14, 9.9), (25.0, 10.5), (25.0, 10.5), (24.4, 15.2), (20, 17.6), (14, 18.3),
            (8, 17.6), (3.6, 15.2)], flap)  # fmt: skip
    c.line([(3.4, 15.4), (8, 18.0), (14, 18.7), (20, 18.0), (24.6, 15.4)], 0.9, -0.40)
    c.line([(3.2, 12.5), (14, 11.9), (24.8, 12.5)], 0.7, -0.16)
    c.line([(2.2, 24.5), (14, 24.9), (25.8, 24.5)], 0.7, -0.20)
    c.weave(0.025)
    c.area([(12.5, 16.5), (12.5, 16.5), (15.5, 16.5), (15.5, 16.5), (15.5, 19.5), (15.5, 19.5), (12.5, 19.5),
            (12.5, 19.5)], 0.22)  # fmt: skip
    c.line([(13.5, 18.0), (14.5, 18.0)], 1.0, 0.7)
    return c.picture()


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (boot, trouser, bag):
        path = folder / f"{draw.__name__}.png"
        draw().save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
