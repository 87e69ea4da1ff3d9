"""One layer as a torch module: its parameters, and the function that computes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from cnnspec.graph.graph import Node
from cnnspec.layers import Layer, Parameter

Op = Callable[..., Tensor]
"""(layer module, *inputs, **parameters) -> y."""

L = TypeVar("L", bound=Layer, covariant=True)


class LayerModule(nn.Module, Generic[L]):
    """One layer in its place, with its parameters.

    `arrays` holds the tensors made so far by array name: nodes that name the same array share the tensor.
    """

    def __init__(
        self, node: Node, op: Op, arrays: dict[str, Tensor], device: torch.device | None, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.node = node
        self.op = op
        self.names = tuple(node.parameters)
        self.synchronised = False
        """Whether batch statistics are taken over all processes."""
        for name, parameter in node.parameters.items():
            if node.arrays[name] not in arrays:
                arrays[node.arrays[name]] = _allocated(parameter, device, dtype)
            tensor = arrays[node.arrays[name]]
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)

    @property
    def layer(self) -> L:
        """The layer's fields."""
        return self.node.layer  # type: ignore[return-value]

    def forward(self, *inputs: Tensor, **arguments: Tensor) -> Tensor:
        """x [n, ...] -> y [n, ...]."""
        return self.op(self, *inputs, **{name: getattr(self, name) for name in self.names}, **arguments)

    def bound(self) -> Callable[..., Tensor]:
        """Return `forward` with the tensors of this time, which nothing looks up when it is called."""
        return partial(self.op, self, **{name: getattr(self, name) for name in self.names})

    def extra_repr(self) -> str:
        """The kind, and the shapes of inputs and output."""
        shapes = " + ".join(map(str, map(list, self.node.in_shapes)))
        return f"{self.node.kind}: {shapes} -> {list(self.node.shape)}"


AnyLayer = LayerModule[Layer]


def _allocated(parameter: Parameter, device: torch.device | None, dtype: torch.dtype) -> Tensor:
    tensor = torch.full(parameter.shape, parameter.fill or 0.0, device=device, dtype=dtype)
    return nn.Parameter(tensor) if parameter.trainable else tensor
