"""The source of every random number, so that all backends, and a run and its resumption, draw the same ones.

A stream is named, not shared: the numbers of one layer or step do not depend on which were drawn before.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import numpy.typing as npt


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator for a purpose, such as `stream(seed, "weights", "conv1.weight")`."""
    return np.random.default_rng([seed, *(n if isinstance(n, int) else crc32(n.encode()) for n in names)])


def dropout_mask(seed: int, step: int, layer: str, shape: tuple[int, ...], rate: float) -> npt.NDArray[np.bool_]:
    """Return which numbers a dropout layer keeps in one step: True with probability 1 − rate, [n, ...]."""
    return draw_dropout_mask(seed, step, layer, rate, np.empty(shape, np.float32), np.empty(shape, np.bool_))


def draw_dropout_mask(
    seed: int, step: int, layer: str, rate: float, numbers: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Write the mask that `dropout_mask` returns to an array, and return that; `numbers` is memory of its shape."""
    stream(seed, "dropout", layer, step).random(dtype=np.float32, out=numbers)
    return np.greater_equal(numbers, rate, out=mask)
