"""Files of samples that tests write, and networks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec.data import DataError, open_dataset

PIL = pytest.importorskip("PIL.Image")


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(path, array):
    """Write [h, w] or [h, w, c] of uint8, or bytes as they are, to a PNG file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.fromarray(array).save(path)
    return array


def palette(path, mask, mode="P"):
    """Write a mask whose values are the indices of a palette."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.fromarray(mask).convert("L")
    found = PIL.new("P", image.size)
    found.putdata(list(mask.ravel()))
    found.putpalette([(7 * i + 90) % 256 for i in range(768)])
    found.save(path)


def cut(path):
    """Break a file by cutting off its second half."""
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


def network(layers, shape=(3, 4, 5), train="", more=""):
    return cnnspec.loads(f"name: net\ninput: {list(shape)}\n{more}\nlayers: [{layers}]\ntrain: {{{train}}}\n")


def message(source, spec, **options):
    """The message of the error that opening the source, or loading all of it, ends in."""
    with pytest.raises(DataError) as caught:
        everything(open_dataset(str(source), spec, **options).train)
    return str(caught.value)


def everything(split, augmentation=None):
    return split.load(np.arange(split.n), augmentation)
