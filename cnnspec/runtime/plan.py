"""A step of the plan by which a backend computes a batch, for a listing."""

from __future__ import annotations

from typing import NamedTuple


class PlanStep(NamedTuple):
    """A step by which a backend computes a batch."""

    name: str
    """The node whose value it makes."""
    kinds: str
    """The layers that it computes."""
    method: str
    layout: str
    """The order of the axes of its output."""
    shape: tuple[int, ...]
    """The shape of its output in that order."""
    bytes: int
    """Memory of its output."""
    workspace: int
    """Memory that it works in, in bytes."""
    threads: int
    estimated: float
    """Seconds."""
    measured: float
    """Seconds; the least of several runs."""
    samples: int
    """How many samples it computes at a time: the batch, or a chunk of it."""
