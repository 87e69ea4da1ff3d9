"""A plan of training: the calls that compute loss and gradients for a shard of the batch, forward and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from cnnspec_numpy.plan.arena import Arena
from cnnspec_numpy.plan.finish import Constants
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.memory import aligned, allocate, carve
from cnnspec_numpy.plan.value import BATCH_LAST, Value, from_nchw
from cnnspec_numpy.training.conv import Convolution
from cnnspec_numpy.training.kernel import Kernel
from cnnspec_numpy.training.layers import Dropout
from cnnspec_numpy.training.loss import LOSSES, Factor, by_definition, target_array
from cnnspec_numpy.training.operation import Job, Moment, Operation, Sync
from cnnspec_numpy.training.pool import HalvingMaxPool
from cnnspec_numpy.training.table import class_of

from cnnspec.arrays import Array, Arrays
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Loss


def divides(graph: Graph) -> bool:
    """Whether shards of a batch can be computed apart: no kernel of a layer draws or normalises over the batch."""
    return not any(
        (node.draws or node.normalises_batch) and class_of(node) is Kernel for node in graph.nodes if node.inputs
    )


class TrainingPlan:
    """Forward and backward pass for `n` of the `batch` samples of a step, and the memory that they work in."""

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, Array],
        losses: Mapping[str, Loss],
        soft: Set[str],
        n: int,
        batch: int,
        dtype: np.dtype[Any],
        sync: Sync,
    ) -> None:
        graph = replace(graph, outputs=tuple(losses))
        self.graph = graph
        self.n, self.batch = n, batch
        self.dtype = dtype
        self.moment = Moment()
        self.values = np.zeros(len(losses))
        """The shard's part of the loss of each output, times its factor."""
        self.factors = {name: Factor(dtype) for name in losses}
        self._weights = weights
        self._sync = sync
        self._constants = Constants(dtype)
        self._index = {node.name: i for i, node in enumerate(graph.nodes)}
        self._needs = _with_gradient(graph)
        self._readers: dict[str, list[int]] = {node.name: [] for node in graph.nodes}
        for i, node in enumerate(graph.nodes):
            for name in node.inputs:
                self._readers[name].append(i)
        self.operations = [
            class_of(node)(node, tuple(name in self._needs for name in node.inputs)) if node.inputs else None
            for node in graph.nodes
        ]
        self._place_biases()
        self._values = {node.name: Value(node.name, BATCH_LAST, node.shape, n, node.shape) for node in graph.nodes}
        self._gradients = {
            node.name: Value(f"d {node.name}", BATCH_LAST, node.shape, n, node.shape)
            for node in graph.nodes
            if node.name in self._needs
        }
        self._lay_out()
        self._allocate_gradients()
        self.targets = {
            name: target_array(loss, name in soft, self._values[name], dtype) for name, loss in losses.items()
        }
        """The targets of each output, which are probabilities of classes where it is in `soft`."""
        self.masks: dict[str, tuple[Array, Any]] = {}
        """The factors of each dropout layer's elements, in the layout of the values, and the factor of those kept."""
        self.calls = self._bind(losses)

    def _place_biases(self) -> None:
        """Leave the bias of a convolution to a pool that alone reads it."""
        for operation in self.operations:
            if not isinstance(operation, HalvingMaxPool):
                continue
            name = operation.node.inputs[0]
            before = self.operations[self._index[name]]
            alone = len(self._readers[name]) == 1 and name not in self.graph.outputs
            has_bias = isinstance(before, Convolution) and "bias" in before.node.arrays and not before.node.frozen
            if isinstance(before, Convolution) and has_bias and alone and name in self._needs:
                before.leaves_bias = True
                operation.bias = before.node.arrays["bias"]

    def _lay_out(self) -> None:
        """Decide where values lie, and from which step to which they live: forward i, loss L, backward 2·L − i."""
        length = len(self.graph.nodes)
        for i, (node, operation) in enumerate(zip(self.graph.nodes, self.operations, strict=True)):
            y, d = self._values[node.name], self._gradients.get(node.name)
            y.region.extend(i if node.inputs else -1)
            if node.name in self.graph.outputs:
                y.region.extend(2 * length)  # read by `store` when all is done
                if d is not None:
                    d.region.extend(length)
            if operation is None:
                continue
            back = 2 * length - i
            if operation.keeps_output and d is not None:
                y.region.extend(back)
            for name in node.inputs:
                x = self._values[name]
                x.region.extend(back if operation.keeps_input and d is not None else i)
                x.region.extend(i)
                dx = self._gradients.get(name)
                if dx is not None and d is not None:
                    dx.region.extend(back)
            if d is not None:
                d.region.extend(back)
            if operation.in_place and self._is_alone(node.inputs[0]):
                before = self.operations[self._index[node.inputs[0]]]
                if before is not None and not before.keeps_output and not operation.keeps_input:
                    y.parent = self._values[node.inputs[0]]
                dx = self._gradients.get(node.inputs[0])
                if dx is not None and d is not None:
                    dx.parent = d
        for operation in self.operations:
            if operation is not None:
                for name in operation.node.inputs:
                    self._values[name].ask_border(operation.border())
                if operation.node.name in self._gradients:
                    self._gradients[operation.node.name].ask_border(operation.gradient_border())
        self._arena = Arena([*self._values.values(), *self._gradients.values()], self.dtype)
        self.value_bytes = self._arena.bytes

    def _is_alone(self, name: str) -> bool:
        """Whether a value has one reader, and is neither an input nor an output of the network."""
        return len(self._readers[name]) == 1 and name not in self.graph.outputs and bool(self._input_names(name))

    def _input_names(self, name: str) -> tuple[str, ...]:
        return self.graph.by_name[name].inputs

    def _allocate_gradients(self) -> None:
        """Make one vector of the gradients of all trainable parameters, in the order of the graph."""
        parameters = {name: p for name, p in self.graph.parameters.items() if p.trainable}
        self.flat = np.zeros(sum(p.size for p in parameters.values()), self.dtype)
        self.gradients: Arrays = {}
        offset = 0
        for name, p in parameters.items():
            self.gradients[name] = self.flat[offset : offset + p.size].reshape(p.shape)
            offset += p.size
        self.state = {
            name: np.zeros(p.shape, self.dtype)
            for name, p in self.graph.parameters.items()
            if not p.trainable and name not in self.graph.frozen_arrays
        }
        """The next values of running statistics and other state."""
        self._updated: set[str] = set()
        """The arrays of the layers that are bound."""

    def _bind(self, losses: Mapping[str, Loss]) -> list[Call]:
        sizes = [operation.workspace(self.n) if operation is not None else {} for operation in self.operations]
        needed = max(sum(aligned(size * self.dtype.itemsize) for size in work.values()) for work in sizes)
        memory = allocate(needed)
        self.workspace_bytes = needed
        zeros, length = self._arena.zeros, len(self.graph.nodes)
        self._before = zeros.get(-1, [])
        calls: list[Call] = []
        jobs: list[Job | None] = []
        written: set[str] = set()
        for i, (operation, work) in enumerate(zip(self.operations, sizes, strict=True)):
            if operation is None:
                jobs.append(None)
                continue
            job = self._job(operation, self._workspace(memory, work))
            jobs.append(job)
            calls += zeros.get(i, [])
            calls += operation.forward(job)
        calls += zeros.get(length, [])
        for i, (output, loss) in enumerate(losses.items()):
            calls += self._loss_calls(output, loss, self.values[i : i + 1])
        for i in range(length - 1, -1, -1):
            backward, back = self.operations[i], jobs[i]
            if backward is None or back is None or back.dy is None:
                continue
            calls += zeros.get(2 * length - i, [])
            calls += backward.backward(back)
            for key, name in self._arrays(backward).items():
                if name in written and name in self.gradients:
                    calls.append(partial(np.add, self.gradients[name], back.gradients[key], out=self.gradients[name]))
                written.add(name)
        return calls

    def _loss_calls(self, output: str, loss: Loss, value: Array) -> Iterator[Call]:
        """Yield the calls that compute the loss of an output and its gradient, both times its factor."""
        y, d = self._values[output], self._gradients.get(output)
        if d is None:
            d = Value(f"d {output}", BATCH_LAST, y.shape, self.n, y.shape)
            d.bind(np.zeros(d.stored, self.dtype))
        function = LOSSES.get(loss.kind, by_definition)
        yield from function(loss, y, d, self.targets[output], value, self.factors[output])

    def _workspace(self, memory: Array, work: Mapping[str, int]) -> Callable[[str], Array]:
        arrays: Arrays = {}
        offset = 0
        for key, size in work.items():
            arrays[key] = carve(memory, offset, (size,), self.dtype)
            offset += aligned(size * self.dtype.itemsize)
        return arrays.__getitem__

    def _arrays(self, operation: Operation) -> dict[str, str]:
        """Return the arrays that an operation reads and whose gradients it writes, by parameter."""
        arrays = dict(operation.node.arrays)
        if isinstance(operation, HalvingMaxPool) and operation.bias is not None:
            arrays["bias"] = operation.bias
        if isinstance(operation, Convolution) and operation.leaves_bias:
            del arrays["bias"]
        return arrays

    def _job(self, operation: Operation, work: Callable[[str], Array]) -> Job:
        node = operation.node
        arrays = self._arrays(operation)
        gradients: Arrays = {}
        writers = [op for op in self.operations if op is not None and op.node.name in self._gradients]
        names: set[str] = set()
        for key, name in arrays.items():
            if name in self.gradients:
                shared = [op for op in writers if name in self._arrays(op).values()]
                # All but the first to run backwards write beside, and are added.
                own = bool(shared) and shared[-1] is operation and name not in names
                gradients[key] = self.gradients[name] if own else np.zeros_like(self.gradients[name])
                names.add(name)
        kept = {key: np.zeros(shape, self.dtype) for key, shape in operation.kept(self.n).items()}
        if isinstance(operation, Dropout):
            one = self.dtype.type(1)
            self.masks[node.name] = kept["mask"], one / (1 - node.layer.rate)  # type: ignore[attr-defined]
        dy = self._gradients.get(node.name)
        dx, adds, seen = [], [], set()
        for name in node.inputs:
            gradient = self._gradients.get(name) if dy is not None else None
            # Those behind which no output lies have no gradient to write.
            readers = [i for i in self._readers[name] if self.graph.nodes[i].name in self._gradients]
            later = readers[-1:] != [self._index[node.name]] or name in seen or name in self.graph.outputs
            dx.append(gradient)
            adds.append(later)
            seen.add(name)
        state = {key: self.state[name] for key, name in arrays.items() if name in self.state}
        weights = {key: self._weights[name] for key, name in arrays.items()}
        # Statistics that an earlier layer shares are those after that layer.
        weights |= {key: place for key, place in state.items() if arrays[key] in self._updated}
        self._updated.update(arrays.values())
        return Job(
            node,
            self.n,
            tuple(self._values[name] for name in node.inputs),
            self._values[node.name],
            tuple(dx),
            dy,
            tuple(adds),
            kept,
            work,
            weights,
            gradients,
            self._constants,
            self._sync,
            self.batch,
            state,
            self.moment,
        )

    # Running

    def load(
        self, inputs: Mapping[str, Array], targets: Mapping[str, tuple[Array, float]], masks: Mapping[str, Array]
    ) -> None:
        """Copy a shard of each input [n, c, h, w], its targets with the factors of the losses, and dropout's masks."""
        for call in self._before:
            call()
        for name, x in inputs.items():
            np.copyto(self._values[name].inner, from_nchw(BATCH_LAST, x))
        for name, (target, factor) in targets.items():
            np.copyto(self.targets[name], target)
            self.factors[name].set(factor)
        for name, mask in masks.items():
            factors, factor = self.masks[name]
            np.multiply(from_nchw(BATCH_LAST, mask), factor, out=factors)

    def run(self) -> None:
        """Compute the loss and the gradients."""
        for call in self.calls:
            call()

    def store(self, outputs: Mapping[str, Array]) -> None:
        """Copy the outputs to arrays [n, ...]."""
        for name, y in outputs.items():
            np.copyto(from_nchw(BATCH_LAST, y), self._values[name].inner)

    @property
    def bytes(self) -> int:
        """The memory of values, gradients, kept arrays and workspace."""
        kept = sum(math.prod(s) for op in self.operations if op for s in op.kept(self.n).values())
        return self.value_bytes + self.workspace_bytes + kept * self.dtype.itemsize


def _with_gradient(graph: Graph) -> frozenset[str]:
    """Return the nodes that need a gradient: those that depend on a parameter, and that the output depends on."""
    reached = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.name in reached:
            reached.update(node.inputs)
    return graph.depends_on_parameters & reached
