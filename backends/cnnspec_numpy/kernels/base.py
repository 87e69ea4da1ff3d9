"""What every kernel gets and gives: forward value and backward closure side by side, as in micrograd.

A kernel never writes into its inputs, its parameters or `dy`: others read them too.
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
"""dy -> (a dx for each input, {parameter: gradient}); the dx is None where `Call.wants_dx` is false."""

Result = tuple[Array, Backward]

Kernel = Callable[..., Result]
"""(call, *inputs) -> (y, backward)."""


@dataclass(frozen=True, slots=True)
class Call(Generic[L]):
    """One layer at work: its node, its parameters, and the circumstances."""

    node: Node
    params: Mapping[str, Array] = field(default_factory=dict)
    training: bool = False
    seed: int = 0
    step: int = 0
    wants_dx: bool = True
    """Whether anything upstream learns; where not, costly kernels leave their dx out."""
    state: Arrays = field(default_factory=dict)
    """Where a kernel in training leaves the next values of its state, by `<layer>.<parameter>`."""

    @property
    def layer(self) -> L:
        """The layer's fields."""
        return cast(L, self.node.layer)


def along_channels(v: Array, x: Array) -> Array:
    """A vector over the channels in the form that stretches to x: v [c] -> [c, 1, ...]."""
    return v.reshape(-1, *[1] * (x.ndim - 2))


def sum_but_channels(x: Array) -> Array:
    """x [n, c, ...] -> [c]."""
    total: Array = x.sum(tuple(axis for axis in range(x.ndim) if axis != 1))
    return total
