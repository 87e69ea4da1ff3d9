"""What the modules of a network are made of: functions as modules, their parameters, and the windows of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cnnspec.graph.graph import Node
from cnnspec.layers import Shape
from cnnspec.layers.geometry import Window

Parameters = Mapping[str, nn.Parameter]
Make = Callable[[Node, Parameters], nn.Module]
"""Makes the module of a node from its parameters by key."""


class Apply(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *xs: Tensor) -> Tensor:
        """Return the function of the inputs."""
        return self.function(*xs)


class Scale(nn.Module):
    """Each channel times a learned factor."""

    def __init__(self, weight: nn.Parameter, rank: int) -> None:
        super().__init__()
        self.weight = weight
        self.shape = (-1, *[1] * (rank - 1))

    def forward(self, x: Tensor) -> Tensor:
        """x [n, c, ...] -> y [n, c, ...]."""
        return x * self.weight.view(self.shape)


class Shift(nn.Module):
    """Each channel plus a learned number."""

    def __init__(self, bias: nn.Parameter, rank: int) -> None:
        super().__init__()
        self.bias = bias
        self.shape = (-1, *[1] * (rank - 1))

    def forward(self, x: Tensor) -> Tensor:
        """x [n, c, ...] -> y [n, c, ...]."""
        return x + self.bias.view(self.shape)


class OverAxes(nn.Module):
    """A module over the last axes, applied to others."""

    def __init__(self, module: nn.Module, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.module = module
        self.axes = axes
        self.last = tuple(range(-len(axes), 0))

    def forward(self, x: Tensor) -> Tensor:
        """x [n, c, ...] -> y [n, c, ...]."""
        y: Tensor = self.module(x.movedim(self.axes, self.last))
        return y.movedim(self.last, self.axes)


class StochasticDepth(nn.Module):
    """Samples dropped at random in training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """x [n, ...] -> y [n, ...]."""
        if not self.training or not self.rate:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


def loaded(module: nn.Module, own: Parameters) -> nn.Module:
    """Give a module its parameters, which other modules may share, and its running statistics."""
    for key, value in own.items():
        if key in module._buffers:
            setattr(module, key, value.data)
        else:
            setattr(module, key, value)
    return module


def plain(make: Callable[[], nn.Module]) -> Make:
    """Return the maker of a module that has no fields."""
    return lambda node, own: make()


def with_field(make: Callable[..., nn.Module], field: str) -> Make:
    """Return the maker of a module from one field of the layer."""
    return lambda node, own: make(getattr(node.layer, field))


def by_rank(name: str, shape: Shape, *arguments: Any, **fields: Any) -> nn.Module:
    """Return a module of torch.nn that is there for each number of spatial axes: Conv1d, Conv2d, Conv3d."""
    made: nn.Module = getattr(nn, f"{name}{len(shape) - 1}d")(*arguments, **fields)
    return made


def of_axes(windows: Sequence[Window], field: str) -> tuple[int, ...]:
    """Return a number of the window along each axis."""
    return tuple(getattr(window, field) for window in windows)


def symmetric(windows: Sequence[Window]) -> bool:
    """Return whether every axis has as much padding before as after."""
    return of_axes(windows, "before") == of_axes(windows, "after")


def pads_of(windows: Sequence[Window]) -> tuple[int, ...]:
    """Return left, right, top, bottom with what ceil rounding reaches, as nn.ConstantPad2d takes them."""
    return tuple(n for w in reversed(windows) for n in (w.before, w.after + w.extra))


_BORDERS = {"zeros": "ZeroPad", "reflect": "ReflectionPad", "edge": "ReplicationPad", "circular": "CircularPad"}


def bordered(node: Node, mode: str, value: float = 0.0) -> nn.Module:
    """Return the module that puts a border around the input of a node with windows."""
    if mode == "constant":
        return by_rank("ConstantPad", node.shape, pads_of(node.windows), value)
    return by_rank(_BORDERS[mode], node.shape, pads_of(node.windows))
