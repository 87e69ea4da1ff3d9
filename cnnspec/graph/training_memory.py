"""The memory of a training step, as the Torch backend takes it on a GPU.

The forward pass keeps what the gradients are computed from, which the traits of layers say: a convolution its input,
relu its output, a maximum the places of the maxima. The backward pass goes through the layers in reverse: at each, the
gradients of its output, of its inputs and of its arrays are alive beside all that the layers before it keep, and then
what it kept is freed. The optimizer works at the end, when no activation is left. The memory of the step is that of its
largest moment, beside the weights, the state of the optimizer and the moving average of the weights, which are always
there. A layer that is frozen has neither gradient nor state, and what lies before the first layer that is trained is
not kept.

In a format of 16 bits, autocast computes each layer in its `precision` and keeps what it casts: a copy of the weights
of layers that compute in the format, and of inputs that come in another one. Weights, their gradients and the
optimizer's state stay float32. What kernels allocate to work in, and fragmentation, do not count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.liveness import released_after
from cnnspec.graph.recomputation import recomputed_ranges
from cnnspec.graph.rewrites import for_training
from cnnspec.graph.training import Train

FLOAT32 = 4
"""The least bytes of a number of the weights, their gradients and the optimizer's state, and of the loss."""


class Moment(NamedTuple):
    """The bytes that are alive at one moment of a step: a fixed number, and a number for each sample."""

    fixed: int
    per_sample: int


@dataclass(frozen=True)
class TrainingMemory:
    """The memory of a training step of any batch."""

    weights: int
    """Bytes of the weights, the state of the optimizer and the moving average, which are always there."""
    moments: tuple[Moment, ...]

    def bytes(self, batch: int) -> int:
        """Return the most bytes that are alive at one time, in a step (or a part of one) of so many samples."""
        return max(moment.fixed + batch * moment.per_sample for moment in self.moments)


def training_memory(graph: Graph, itemsize: int, train: Train, recompute: Sequence[str] = ()) -> TrainingMemory:
    """Return the memory of a training step, with `itemsize` bytes for each number in the format of the run.

    `graph` has its frozen layers marked. Of the settings, the optimizer, `ema` and `accumulate` count: where several
    parts of a step add their gradients, the batch is that of a part. `recompute` names blocks that compute their values
    a second time in the backward pass, as the option of that name; raise BackendError where there are none.
    """
    graph = for_training(graph).graph
    weight = max(itemsize, FLOAT32)
    arrays = weight * sum(p.size for p in graph.parameters.values())
    averages = weight * sum(p.size for name, p in graph.parameters.items() if name not in graph.frozen_arrays)
    gradients = _WeightGradients(graph, itemsize, accumulate=train.accumulate > 1)
    total = gradients.total
    held = arrays + (averages if train.ema else 0) + len(train.optimizer.slots) * total
    copies = itemsize * _cast_numbers(graph) if itemsize < FLOAT32 else 0
    step = _Step(graph, itemsize, recompute)
    moments = [Moment(held + copies + gradients.bytes, live) for live in step.forward()]
    for node, live, left in step.backward():
        computed, cast = gradients.at(node)
        moments += [Moment(held + copies + computed, live), Moment(held + copies + cast, left)]
    moments.append(Moment(held + total + train.optimizer.workspace(gradients.sizes), 0))
    return TrainingMemory(held, tuple(moments))


def _cast_numbers(graph: Graph) -> int:
    """Return how many numbers the arrays of layers that compute in the format have."""
    names = {name for node in graph.nodes if node.layer.precision == "format" for name in node.arrays.values()}
    return sum(graph.parameters[name].size for name in names)


class _Step:
    """The activations of one sample, what layers keep of them, and their gradients, in bytes."""

    def __init__(self, graph: Graph, itemsize: int, recompute: Sequence[str]) -> None:
        self.graph = graph
        self.itemsize = itemsize
        self.sizes: dict[str, int] = {}
        """The bytes of each value."""
        self.owner: dict[str, str] = {}
        """The node in whose memory the value of each node lies."""
        self.own: dict[str, int] = {}
        """What each node keeps beside values."""
        self.first_saver: dict[str, str] = {}
        """The first node that keeps a value, which the backward pass comes to last, by the owner of the value."""
        self.kept: set[str] = set()
        """The values that are kept from the forward pass on, by owner."""
        names = [node.name for node in graph.nodes]
        self.segment = {name: i for i, end in recomputed_ranges(names, recompute) for name in names[i:end]}
        """The recomputed block that a node is in, by the place of its first node."""
        widths: dict[str, int] = {}
        for node in graph.nodes:
            width = max((widths[name] for name in node.inputs), default=max(itemsize, FLOAT32))
            widths[node.name] = _width(node, width, itemsize)
            self.sizes[node.name] = math.prod(node.shape) * widths[node.name]
            self.owner[node.name] = self.owner[node.inputs[0]] if _is_view(node) else node.name
            if node.name in graph.depends_on_parameters:
                self._keep(node, widths)

    def _keep(self, node: Node, widths: dict[str, int]) -> None:
        """Note what a node keeps for the backward pass; a block that is recomputed keeps all that it reads."""
        layer, computed = node.layer, widths[node.name]
        own = layer.saved_bytes(node.in_shapes, node.inferred, computed)
        own += math.prod(layer.mask_shape(node.shape)) if node.draws else 0
        for name, shape in zip(node.inputs, node.in_shapes, strict=True):
            value = self.owner[name]
            cast = layer.precision in ("format", "float32") and widths[name] != computed
            if layer.saves_input and cast:
                own += math.prod(shape) * computed
            elif layer.saves_input or self._enters(value, node):
                self._save(value, node)
        if layer.saves_output:
            self._save(self.owner[node.name], node)
        self.own[node.name] = own

    def _enters(self, value: str, node: Node) -> bool:
        """Return whether a node in a recomputed block reads a value from outside of it."""
        return node.name in self.segment and self.segment.get(value) != self.segment[node.name]

    def _save(self, value: str, node: Node) -> None:
        self.first_saver.setdefault(value, node.name)
        if node.name not in self.segment or self._enters(value, node):
            self.kept.add(value)

    def forward(self) -> Iterator[int]:
        """Yield the bytes that are alive while each node computes."""
        users: dict[str, int] = {}
        for owner in self.owner.values():
            users[owner] = users.get(owner, 0) + 1
        live = 0
        for node, released in zip(self.graph.nodes, released_after(self.graph), strict=True):
            if self.owner[node.name] == node.name:
                live += self.sizes[node.name]
            if node.name not in self.segment:
                live += self.own.get(node.name, 0)
            yield live
            for owner in (self.owner[name] for name in released):
                users[owner] -= 1
                if not users[owner] and owner not in self.kept and owner not in self.graph.inputs:
                    live -= self.sizes[owner]
        self.live = live

    def backward(self) -> Iterator[tuple[Node, int, int]]:
        """Yield each node that depends on parameters, in reverse, and the bytes that are alive at it and after it."""
        reached = self.graph.depends_on_parameters
        live, gradients, recomputed = self.live, _Gradients(), self._recomputed()
        outputs = [name for name in self.graph.outputs if name in reached]
        numbers = sum(math.prod(self.graph.by_name[name].shape) for name in outputs)
        if self.itemsize < FLOAT32:  # the outputs in float32
            live += FLOAT32 * numbers
        for name in outputs:
            gradients.add(name, self.sizes[name])
        loss = 2 * FLOAT32 * numbers  # what its gradient is computed from, such as log-probabilities, and that of these
        freed: dict[str, int] = {}
        handed_out = {self.owner[name] for name in self.graph.outputs}
        for value, saver in self.first_saver.items():
            if value not in handed_out:
                freed[saver] = freed.get(saver, 0) + self.sizes[value]
        for node in reversed(self.graph.nodes):
            if node.name not in reached:
                continue
            live += recomputed.pop(self.segment.get(node.name, -1), 0)
            read = [name for name in node.inputs if name in reached]
            if _passes_gradient(node):
                gradients.share(node.name, read)
            else:
                for name in read:
                    gradients.add(name, self.sizes[name])
            present = live + loss + gradients.bytes
            loss = 0
            gradients.free(node.name)
            live -= self.own[node.name] + freed.get(node.name, 0)
            yield node, present, live + gradients.bytes

    def _recomputed(self) -> dict[int, int]:
        """Return the bytes that each recomputed block keeps once its values are there again."""
        found: dict[int, int] = {}
        kept_again = [(value, self.sizes[value]) for value in self.first_saver if value not in self.kept]
        for name, size in [*kept_again, *self.own.items()]:
            if name in self.segment:
                found[self.segment[name]] = found.get(self.segment[name], 0) + size
        return found


class _Gradients:
    """The gradients of values that are alive in the backward pass; several values can share one."""

    def __init__(self) -> None:
        self.bytes = 0
        self._of: dict[str, list[int]] = {}
        """The gradient of each value: its bytes, and how many values have it."""

    def add(self, name: str, size: int) -> None:
        """Make the gradient of a value, or add to the one that is there."""
        if name not in self._of:
            self._of[name] = [size, 1]
            self.bytes += size

    def share(self, name: str, others: Iterable[str]) -> None:
        """Let other values have the gradient of a value, or add it to the one that is there."""
        for other in others:
            if name in self._of and other not in self._of:
                self._of[other] = self._of[name]
                self._of[name][1] += 1

    def free(self, name: str) -> None:
        """Free the gradient of a value, where no other value has it."""
        if name in self._of:
            gradient = self._of.pop(name)
            gradient[1] -= 1
            self.bytes -= 0 if gradient[1] else gradient[0]


class _WeightGradients:
    """The gradients of arrays that are alive in the backward pass, in bytes."""

    def __init__(self, graph: Graph, itemsize: int, accumulate: bool) -> None:
        self.itemsize = itemsize
        self.width = max(itemsize, FLOAT32)
        self.trained = {name: p.size for name, p in graph.parameters.items() if p.trainable}
        self.sizes = [self.width * size for size in self.trained.values()]
        self.total = sum(self.sizes)
        self.accumulate = accumulate
        self.bytes = self.total if accumulate else 0
        self._uses: dict[str, int] = {}
        """How many nodes with an array the backward pass has not yet come to."""
        for node in graph.nodes:
            for name in node.arrays.values():
                self._uses[name] = self._uses.get(name, 0) + 1
        self._there: set[str] = set()

    def at(self, node: Node) -> tuple[int, int]:
        """Add those of a node's arrays; return the most bytes alive while they are computed, and while they are cast.

        Two gradients of an array are alive until their sum is. Where autocast has cast an array, its gradient is in the
        format until the last node with the array has added to it.
        """
        computed = self.bytes
        complete = []
        for name in node.arrays.values():
            final = self.width * self.trained.get(name, 0)
            made = self.itemsize * self.trained.get(name, 0) if node.layer.precision == "format" else final
            if name in self._there:
                computed = max(computed, self.bytes + 2 * made)
            else:
                self._there.add(name)
                self.bytes += made
            self._uses[name] -= 1
            if not self._uses[name]:
                complete.append((made, final))
        computed = max(computed, self.bytes)
        cast = self.bytes
        for made, final in complete:
            cast = max(cast, self.bytes + (final if made < final else 0))
            self.bytes += final - made - (final if self.accumulate else 0)
        return computed, max(cast, self.bytes)


def _width(node: Node, inputs: int, itemsize: int) -> int:
    """Return the bytes of a number of a node's value, where the widest numbers of its inputs have so many."""
    match node.layer.precision:
        case "format":
            return itemsize
        case "input":
            return inputs
    return max(inputs, FLOAT32)


def _is_view(node: Node) -> bool:
    """Return whether the value lies in the memory of the input in training."""
    return node.layer.views_input or (node.layer.aliases_input and not node.draws)


def _passes_gradient(node: Node) -> bool:
    """Return whether the gradient of the output, or a part of it, is that of the inputs."""
    whole = _is_view(node) and math.prod(node.shape) == math.prod(node.in_shapes[0])
    return node.layer.sums_inputs or node.layer.joins_channels or whole
