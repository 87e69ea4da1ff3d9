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
        self.training = not node.frozen
        self.op = op
        self.names = tuple(node.parameters)
        self.synchronised = False
        """Whether batch statistics are taken over all processes."""
        self.recomputing = False
        """Whether it computes its value a second time, for the backward pass."""
        for name, parameter in node.parameters.items():
            if node.arrays[name] not in arrays:
                arrays[node.arrays[name]] = _allocated(parameter, device, dtype)
            tensor = arrays[node.arrays[name]]
            owner, own = self._place(name, create=True)
            if isinstance(tensor, nn.Parameter):
                owner.register_parameter(own, tensor)
            else:
                owner.register_buffer(own, tensor)

    def train(self, mode: bool = True) -> LayerModule[L]:
        """Set the mode, which stays that of inference where the layer is frozen."""
        return super().train(mode and not self.node.frozen)

    @property
    def layer(self) -> L:
        """The layer's fields."""
        return self.node.layer  # type: ignore[return-value]

    def _place(self, name: str, create: bool = False) -> tuple[nn.Module, str]:
        """Return the module that holds a parameter, and the name that it has there: `out_proj.weight` is in a part."""
        part, _, own = name.rpartition(".")
        if create and part and part not in self._modules:
            self._modules[part] = nn.Module()
        owner = self._modules[part] if part else self
        assert owner is not None
        return owner, own

    def tensor(self, name: str) -> Tensor:
        """Return a parameter or buffer."""
        owner, own = self._place(name)
        found: Tensor = getattr(owner, own)
        return found

    def _parameters_by_argument(self) -> dict[str, Tensor]:
        return {name.replace(".", "_"): self.tensor(name) for name in self.names}

    def forward(self, *inputs: Tensor, **arguments: Tensor) -> Tensor:
        """x [n, ...] -> y [n, ...]."""
        return self.op(self, *inputs, **self._parameters_by_argument(), **arguments)

    def bound(self) -> Callable[..., Tensor]:
        """Return `forward` with the tensors of this time, which nothing looks up when it is called."""
        return partial(self.op, self, **self._parameters_by_argument())

    def extra_repr(self) -> str:
        """The kind, and the shapes of inputs and output."""
        shapes = " + ".join(map(str, map(list, self.node.in_shapes)))
        return f"{self.node.kind}: {shapes} -> {list(self.node.shape)}"


AnyLayer = LayerModule[Layer]


def _allocated(parameter: Parameter, device: torch.device | None, dtype: torch.dtype) -> Tensor:
    tensor = torch.full(parameter.shape, parameter.fill or 0.0, device=device, dtype=dtype)
    return nn.Parameter(tensor) if parameter.trainable else tensor
