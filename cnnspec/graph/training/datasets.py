"""What the named datasets hold, for a check that reads no files."""

from __future__ import annotations

from typing import NamedTuple

from cnnspec.layers import Shape


class Dataset(NamedTuple):
    """The shape of a dataset's images [c, h, w], and the number of its classes."""

    shape: Shape
    classes: int


DATASETS = {
    "mnist": Dataset((1, 28, 28), 10),
    "fashion-mnist": Dataset((1, 28, 28), 10),
    "cifar10": Dataset((3, 32, 32), 10),
    "digits": Dataset((1, 8, 8), 10),
}
