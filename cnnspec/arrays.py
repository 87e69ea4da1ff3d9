"""The types of arrays at the edges of backends and files: NumPy arrays, by name where there are several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


Arrays = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Pixels:
    """A batch of pixels [n, c, ...] that are not scaled yet, with the number that each of their values becomes.

    `np.asarray` returns the numbers; a backend may look them up on its device instead.
    """

    values: Array
    """Pixels from 0 to 255, uint8 [n, c, ...]."""
    levels: Array
    """The number of each of the 256 values: float32 [c, 256], or [1, 256] where all channels agree."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the batch, [n, c, ...]."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """The number of axes of the batch."""
        return self.values.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of the numbers."""
        return self.levels.dtype

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.values)

    def __getitem__(self, rows: slice) -> Pixels:
        """Return some of the samples."""
        return Pixels(self.values[rows], self.levels)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        """Return the numbers: float32 [n, c, ...], or converted to another data type."""
        if len(self.levels) == 1:
            y: Array = self.levels[0].take(self.values)
        else:
            y = np.empty(self.shape, self.dtype)
            for channel, numbers in enumerate(self.levels):
                y[:, channel] = numbers.take(self.values[:, channel])
        return y if dtype is None else y.astype(dtype, copy=False)


Samples = Array | Pixels
"""A batch of one input: numbers, or pixels where they are asked for."""
