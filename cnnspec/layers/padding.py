"""Padding as a spec writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Auto = Literal["valid", "same", "same_upper", "same_lower"]
AUTO: tuple[Auto, ...] = ("valid", "same", "same_upper", "same_lower")

Sizes = int | tuple[int, ...]
"""One number for every axis, or one for each."""


@dataclass(frozen=True, slots=True)
class Total:
    """The textbook's padding: elements added on both sides of each axis together."""

    sizes: Sizes


@dataclass(frozen=True, slots=True)
class EachSide:
    """Padding of the same size before and after along each axis."""

    sizes: Sizes


@dataclass(frozen=True, slots=True)
class Sides:
    """Padding by the names of the sides; a side that is not named has none."""

    elements: tuple[tuple[str, int], ...]


Padding = Auto | Total | EachSide | Sides
"""Padding as it is written."""

AxisPadding = Auto | tuple[int, int]
"""Padding along one axis: by a rule, or the elements before and after."""
