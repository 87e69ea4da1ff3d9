"""What every kernel takes and returns: forward value and backward closure side by side, as in micrograd.

A kernel never writes into its inputs, its parameters or `dy`: other kernels read them too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from cnnspec.arrays import Array, Arrays
from cnnspec.graph.graph import Node
from cnnspec.layers import Layer

L = TypeVar("L", bound=Layer)

Backward = Callable[[Array], tuple[tuple[Array | None, ...], Arrays]]
"""dy -> (a dx for each input, {parameter: gradient}); the dx may be None where `needs_input_gradient` is false."""

Result = tuple[Array, Backward]

Kernel = Callable[..., Result]
"""(context, *inputs) -> (y, backward)."""


@dataclass(frozen=True, slots=True)
class Context(Generic[L]):
    """The node that a kernel computes, its parameters, and how it is run."""

    node: Node
    params: Mapping[str, Array] = field(default_factory=dict)
    training: bool = False
    seed: int = 0
    step: int = 0
    first: int = 0
    """The position of the first sample among those of the step, where the batch is a part of them."""
    samples: int | None = None
    """The number of samples of the step; None for that of the batch."""
    needs_input_gradient: bool = True
    """Whether anything before this node is trained; if not, costly kernels leave their dx out."""
    state: Arrays = field(default_factory=dict)
    """Where a kernel in training leaves the next values of its state, by array name."""

    @property
    def layer(self) -> L:
        """The layer's fields."""
        return cast(L, self.node.layer)


def over_axes(v: Array, rank: int) -> Array:
    """Return a vector over the channels with `rank` axes of size one behind it: v [c] -> [c, 1, ...]."""
    return v.reshape(-1, *[1] * rank)


def along_channels(v: Array, x: Array) -> Array:
    """Return a vector over the channels in the form that broadcasts to x [n, c, ...]: v [c] -> [c, 1, ...]."""
    return over_axes(v, x.ndim - 2)


def sum_but_channels(x: Array) -> Array:
    """Return the sum over all axes but the channels: x [n, c, ...] -> [c]."""
    total: Array = x.sum(tuple(axis for axis in range(x.ndim) if axis != 1))
    return total
