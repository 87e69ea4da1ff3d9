"""The network as a torch.nn.Module, whose state_dict has the spec's weight names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cnnspec.arrays import Array
from cnnspec.graph.graph import Graph
from cnnspec.graph.liveness import released_after
from cnnspec.layers import Layer
from cnnspec_torch.layer import LayerModule
from cnnspec_torch.ops import ops_of
from cnnspec_torch.recompute import Segment, Step, divided, run


class SpecModule(nn.Module):
    """A graph as a module: x [n, c, h, w] -> y [n, ...]. Random weights are zero until weights are loaded.

    Several inputs are given in the graph's order, or as one mapping of names to tensors; several outputs are returned
    as a dict by name.

    `shared` holds tensors of another module by array name, which this one uses instead of its own.
    """

    def __init__(
        self,
        graph: Graph,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        shared: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.graph = graph
        # Looked up here since torch.compile cannot trace the look-up.
        self.input_names = graph.inputs
        self.output_nodes = dict(zip(graph.output_names, graph.outputs, strict=True))
        ops = ops_of(graph)
        arrays = dict(shared or {})
        for node in graph.nodes:
            _add(self, node.name.split("."), LayerModule(node, ops[node.kind], arrays, device, dtype))
        self.steps = [
            Step(node.name, tuple(node.name.split(".")), node.inputs, tuple(released))
            for node, released in zip(graph.nodes, released_after(graph), strict=True)
        ]
        self.training_steps: list[Step | Segment] = list(self.steps)

    def recompute(self, blocks: Sequence[str]) -> None:
        """Let training compute the values of these blocks a second time; raise BackendError for an unknown one."""
        self.training_steps = divided(self.steps, self.graph.outputs, blocks)

    def forward(
        self, x: Tensor | Mapping[str, Tensor], *others: Tensor, masks: Mapping[str, Tensor] | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Return the output; `masks` gives the elements that each dropout layer keeps, instead of torch's own draw."""
        inputs = dict(zip(self.input_names, (x, *others), strict=True)) if isinstance(x, Tensor) else x
        values = self.execute(inputs, masks=masks)
        outputs = {name: values[node] for name, node in self.output_nodes.items()}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def execute(
        self,
        inputs: Mapping[str, Tensor],
        hook: Callable[[str, Tensor], None] | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return every output by name, and call `hook` with every node's value as soon as it is computed."""
        values: dict[str, Tensor] = {}
        steps = self.training_steps if self.training and torch.is_grad_enabled() else self.steps
        for step in steps:
            if isinstance(step, Segment):
                self._run_segment(step, values, masks)
                continue
            self._run(step, values, masks, inputs)
            if hook is not None:
                hook(step.name, values[step.name])
            for key in step.released:
                del values[key]
        return values

    def _run(
        self,
        step: Step,
        values: dict[str, Tensor],
        masks: Mapping[str, Tensor] | None,
        inputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        if step.reads:
            arguments = {"mask": masks[step.name]} if masks and step.name in masks else {}
            values[step.name] = self._at(step.path)(*[values[key] for key in step.reads], **arguments)
        elif inputs is not None:
            values[step.name] = inputs[step.name]

    def _run_segment(self, segment: Segment, values: dict[str, Tensor], masks: Mapping[str, Tensor] | None) -> None:
        """Add the values that a segment keeps, and remove those that nothing reads behind it."""

        def compute(inside: dict[str, Tensor]) -> None:
            for step in segment.steps:
                self._run(step, inside, masks)
                for key in step.released:
                    del inside[key]

        layers = [layer for step in segment.steps if isinstance(layer := self._at(step.path), LayerModule)]
        values.update(run(segment, values, compute, layers))
        for step in segment.steps:
            for key in step.released:
                values.pop(key, None)

    def _at(self, path: tuple[str, ...]) -> nn.Module:
        # By name at every call, so that a submodule that was replaced (by a quantised one, say) is the one that runs.
        module: nn.Module = self
        for part in path:
            module = module._modules[part]  # type: ignore[assignment]
        return module

    def layers(self) -> list[LayerModule[Layer]]:
        """Return the layers in the graph's order."""
        return [layer for layer in map(self._at, (step.path for step in self.steps)) if isinstance(layer, LayerModule)]

    def arrays(self) -> dict[str, Tensor]:
        """Return every parameter and buffer by its name in the graph, in the graph's order."""
        return {name: layer.tensor(key) for layer in self.layers() for key, name in layer.node.arrays.items()}

    @torch.no_grad()
    def load(self, weights: Mapping[str, Array]) -> None:
        """Copy the arrays of all of `graph.parameters` into the module."""
        for name, tensor in self.arrays().items():
            if not tensor.is_meta:
                tensor.copy_(torch.tensor(np.asarray(weights[name])))


def _add(root: nn.Module, path: list[str], layer: LayerModule[Layer]) -> None:
    """Add the layer `stage2.conv1` to the container `stage2`."""
    # Not by add_module, which refuses names of methods: `half` and `type` are fine names for a layer.
    for part in path[:-1]:
        root = root._modules.setdefault(part, nn.Module())  # type: ignore[assignment]
    root._modules[path[-1]] = layer
