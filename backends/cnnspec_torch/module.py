"""The network as a real torch.nn.Module, whose state_dict has the spec's weight names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from cnnspec.arrays import Array
from cnnspec.graph.graph import Graph
from cnnspec.layers import Layer
from cnnspec_torch.layer import LayerModule
from cnnspec_torch.ops import ops_of


class SpecModule(nn.Module):
    """A graph as a module: x [n, c, h, w] -> y [n, ...]. Numbers that are drawn are zero until weights are loaded."""

    def __init__(self, graph: Graph, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.graph = graph
        ops = ops_of(graph)
        for node in graph.nodes:
            _place(self, node.name.split("."), LayerModule(node, ops[node.kind], device, dtype))
        dead: list[list[str]] = [[] for _ in graph.nodes]
        for name, i in graph.last_use.items():
            if name != graph.output.name:
                dead[i].append(name)
        self.plan = [
            (node.name, tuple(node.name.split(".")), node.inputs, tuple(names))
            for node, names in zip(graph.nodes, dead, strict=True)
        ]

    def forward(self, x: Tensor, masks: Mapping[str, Tensor] | None = None) -> Tensor:
        """The output; `masks` says what each dropout layer keeps, where that is not left to torch."""
        return self.watch(x, masks=masks)

    def watch(
        self,
        x: Tensor,
        see: Callable[[str, Tensor], None] | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """As `forward`, and `see` is called with every node's output as soon as there is one, the input first."""
        name = self.plan[0][0]
        values = {name: x}
        if see is not None:
            see(name, x)
        for name, path, inputs, dead in self.plan[1:]:
            arguments = {"mask": masks[name]} if masks and name in masks else {}
            values[name] = self._at(path)(*[values[key] for key in inputs], **arguments)
            if see is not None:
                see(name, values[name])
            for key in dead:
                del values[key]
        return values[name]

    def _at(self, path: tuple[str, ...]) -> nn.Module:
        # By name at every call, so that a submodule that was exchanged (quantised, say) is the one that runs.
        module: nn.Module = self
        for part in path:
            module = module._modules[part]  # type: ignore[assignment]
        return module

    def layers(self) -> list[LayerModule[Layer]]:
        """The layers in the graph's order."""
        return [
            layer for layer in map(self._at, (path for _, path, _, _ in self.plan)) if isinstance(layer, LayerModule)
        ]

    def arrays(self) -> dict[str, Tensor]:
        """Every parameter and buffer by its name, in the graph's order."""
        found = dict(self.named_parameters()) | dict(self.named_buffers())
        return {name: found[name] for name in self.graph.parameters}

    @torch.no_grad()
    def load(self, weights: Mapping[str, Array]) -> None:
        """Copies the numbers of all of `graph.parameters` in."""
        for name, tensor in self.arrays().items():
            if not tensor.is_meta:
                tensor.copy_(torch.tensor(np.asarray(weights[name])))


def _place(root: nn.Module, path: list[str], layer: LayerModule[Layer]) -> None:
    """Hangs the layer `stage2.conv1` into the container `stage2`."""
    # Past add_module, which refuses names of methods: `half` and `type` are fine names for a layer.
    for part in path[:-1]:
        root = root._modules.setdefault(part, nn.Module())  # type: ignore[assignment]
    root._modules[path[-1]] = layer
