"""The types of arrays at the edges of backends and files: NumPy arrays, by name where there are several."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


Arrays = dict[str, Array]
