"""A shape that does not fit, as the checker found it: what reads which outputs, and what would be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cnnspec.diagnostics import Fix, Span
from cnnspec.language.entry import Entry
from cnnspec.layers import Layer, Shape


class Placed(NamedTuple):
    """A layer as the text has it: its fields and its entry, whether or not it fits its inputs."""

    layer: Layer
    entry: Entry


@dataclass(frozen=True)
class Fault:
    """A layer that does not fit its inputs, or an output that is not as its author expects."""

    code: str
    span: Span
    """The place of the diagnostic, which with the code tells it from all others."""
    reads: tuple[str, ...]
    """The nodes whose shapes do not fit, or are not as expected."""
    before: int | None = None
    """How many nodes were placed before it; None for all."""
    name: str = ""
    """The layer that does not fit; "" for an expectation."""
    branches: tuple[str, ...] = ()
    """The branches of a merge, one for each node that it reads."""
    odd: int | None = None
    """Which of them differs from the others."""
    accepts: Callable[[Sequence[Shape]], bool] | None = None
    """Whether shapes are as expected; None for a layer that does not fit."""
    wanted: Shape | None = None
    """The shape that is expected."""
    last_resort: tuple[Fix, ...] = ()
    """Fixes that change no layer, behind all others."""
