"""The graph that `predict` and `run` compute: rewritten, and current with the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Literal

import torch
from torch import Tensor

from cnnspec.graph.rewrites import for_inference
from cnnspec_torch.module import SpecModule
from cnnspec_torch.plan import Plan
from cnnspec_torch.recording import Recorded

Run = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
Way = Literal["by layer", "planned", "compiled", "recorded"]
"""By the module's layers, by a plan of calls, by a module that is compiled, or by a CUDA graph of the layers."""


class Inference:
    """A graph rewritten for inference, over the arrays of a module that may change."""

    def __init__(self, module: SpecModule, device: torch.device, channels_last: bool, way: Way):
        self._given = module, device, channels_last, way
        self.weights = module
        self.device = device
        self.channels_last = channels_last
        self.way = way
        self.rewritten = for_inference(module.graph)
        self._module: SpecModule | None = None
        self._execute: Run
        self._run: Run | None = None
        self._lock = Lock()

    def __reduce__(self) -> Any:
        """Copy and pickle it without what it has prepared."""
        return Inference, self._given

    def invalidate(self) -> None:
        """Make the next call start from the weights as they are then."""
        self._run = None

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{input: x [n, ...]} -> {output: y [n, ...]}."""
        run = self._run
        if run is None:
            with self._lock:
                run = self._run = self._run or self._prepared()
        return run(inputs)

    @torch.no_grad()
    def _prepared(self) -> Run:
        weights, graph = self.weights.arrays(), self.rewritten.graph
        computed = {
            name: recipe.compute(lambda source: _in_float64(weights[source]))
            for name, recipe in self.rewritten.recipes.items()
        }
        dtype = next((tensor.dtype for tensor in weights.values()), torch.float32)
        if self.way == "planned":
            return Plan(
                graph, weights | {name: value.to(dtype) for name, value in computed.items()}, self.channels_last
            )
        if self._module is None:
            self._module = SpecModule(graph, self.device, dtype, weights).eval()
            if self.channels_last:
                self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._execute = self._way_of(self._module)
        arrays = self._module.arrays()
        for name, value in computed.items():
            arrays[name].copy_(value)
        return self._execute

    def _way_of(self, module: SpecModule) -> Run:
        """Return what runs the module, whose arrays may change."""
        graph = module.graph
        if self.way == "compiled" and len(graph.inputs) == len(graph.outputs) == 1:
            compiled = torch.compile(module, dynamic=False)
            return lambda inputs: {graph.outputs[0]: compiled(inputs[graph.inputs[0]])}
        return self._replayed(module.execute) if self.way == "recorded" else module.execute

    def _replayed(self, run: Run) -> Run:
        """Return the function as one that is recorded for each batch size, and may be called from several threads."""
        names = self.rewritten.graph.inputs
        recorded = Recorded(lambda *tensors: run(dict(zip(names, tensors, strict=True))))
        lock = Lock()

        def call(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            with lock:
                return {name: y.clone() for name, y in recorded(*(inputs[name] for name in names)).items()}

        return call


def _in_float64(tensor: Tensor) -> Tensor:
    # The device mps has no float64.
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
