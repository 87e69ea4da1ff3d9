"""A network on NumPy: the nodes in order, and back again for the gradients."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.liveness import released_after
from cnnspec.graph.rewrites import Rewritten, for_inference, for_training, with_rescaled_activations
from cnnspec.layers import Layer
from cnnspec.runtime.model import Hook, Model
from cnnspec.runtime.plan import PlanStep
from cnnspec.runtime.step import Part, samples
from cnnspec.wording import a_noun
from cnnspec_numpy import losses
from cnnspec_numpy.kernels import Context, kernels_of
from cnnspec_numpy.kernels.base import Backward
from cnnspec_numpy.options import Options
from cnnspec_numpy.training.operation import Moment
from cnnspec_numpy.update import Update, views

if TYPE_CHECKING:
    from cnnspec_numpy.plan.executor import Executor
    from cnnspec_numpy.training.executor import TrainingExecutor

Tape = list[tuple[Node, Backward]]

_QUIET = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""What overflows is infinite, and is reported by those who look at the numbers, not at each product."""


class Program:
    """A graph with the kernel and the arrays of each node."""

    def __init__(self, graph: Graph, arrays: Mapping[str, Array]) -> None:
        self.graph = graph
        self.kernels = kernels_of(graph)
        self.params = {node.name: {key: arrays[name] for key, name in node.arrays.items()} for node in graph.nodes}
        self.released = released_after(graph)


class NumpyModel(Model):
    """A graph with its weights, as NumPy arrays that are changed in place.

    `predict` and `run` follow a plan of the graph that is rewritten for inference (`cnnspec_numpy.plan`); with strict
    numerics they run it layer by layer, as traces and derivatives do.
    """

    def __init__(
        self, graph: Graph, weights: Mapping[str, Array], device: str, dtype: str, options: Options | None = None
    ) -> None:
        super().__init__(graph, device, dtype)
        self.options = options or Options()
        self._trainable = {name: parameter.shape for name, parameter in graph.parameters.items() if parameter.trainable}
        self._flat = np.empty(sum(map(math.prod, self._trainable.values())), self.array_dtype)
        """All trainable parameters as one vector, of which their arrays are views."""
        self._weights = {name: np.empty(p.shape, self.array_dtype) for name, p in graph.parameters.items()}
        self._weights |= views(self._flat, self._trainable)
        for name, array in self._weights.items():
            array[...] = weights[name]
        self._program = Program(graph, self._weights)
        self._training: TrainingExecutor | None = None
        self._executor: Executor | None = None
        self._executor_is_current = False
        self._lock = threading.Lock()

    @cached_property
    def _by_layers(self) -> str | None:
        """In which case the network runs layer by layer; None where it runs by a plan."""
        if self.options.numerics == "strict":
            return "with strict numerics"
        # The layouts of a plan are those of images and vectors.
        other = next((node for node in self.graph.nodes if len(node.shape) not in (1, 3)), None)
        return None if other is None else f"since `{other.name}` is {a_noun(other.shape)},"

    @cached_property
    def _rewritten(self) -> Rewritten:
        return with_rescaled_activations(for_inference(self.graph))

    def _planned(self) -> Executor:
        """Return the plans of the rewritten graph, whose arrays are computed anew after the weights have changed."""
        with self._lock:
            if self._executor is None:
                from cnnspec_numpy.plan.executor import Executor

                # Bound to the arrays and not to the model, which would live on in a cycle with its executor.
                read = partial(_rewritten_array, self._rewritten, self._weights)
                self._executor = Executor(self._rewritten.graph, read, self.array_dtype, self.options)
            elif not self._executor_is_current:
                self._executor.refresh()
            self._executor_is_current = True
            return self._executor

    def _run(self, inputs: Arrays, hook: Hook | None = None) -> Arrays:
        if hook is None and self._by_layers is None:
            return self._planned().run(inputs)
        outputs = self._forward(inputs, self._program, hook=hook)
        # A network of views alone would hand out the caller's own array.
        return {
            name: y.copy() if any(np.may_share_memory(x, y) for x in inputs.values()) else y
            for name, y in outputs.items()
        }

    def plan(self, batch: int = 1) -> list[PlanStep]:
        """Return the steps by which a batch is computed, each with its estimated and its measured time."""
        if self._by_layers is not None:
            raise BackendError(f"{self._by_layers} the numpy backend runs layer by layer, without a plan")
        return self._planned().listing(batch)

    @_QUIET
    def _forward(
        self,
        inputs: Arrays,
        program: Program,
        tape: Tape | None = None,
        state: Arrays | None = None,
        hook: Hook | None = None,
        moment: Moment | None = None,
    ) -> Arrays:
        """Return the outputs; fill the tape, and run as in training at that moment where `state` is given."""
        training = state is not None
        trained = program.graph.depends_on_parameters
        at = asdict(moment) if moment is not None else {}
        values: Arrays = {}
        for node, released in zip(program.graph.nodes, program.released, strict=True):
            if not node.inputs:
                values[node.name] = inputs[node.name]
            else:
                context: Context[Layer] = Context(
                    node,
                    program.params[node.name],
                    training=training and not node.frozen,
                    **at,
                    needs_input_gradient=not training or not trained.isdisjoint(node.inputs),
                    state=state if state is not None else {},
                )
                values[node.name], backward = program.kernels[node.kind](context, *(values[n] for n in node.inputs))
                if tape is not None and (not training or node.name in trained):
                    tape.append((node, backward))
                # A closure holds what it read, which would live on through the next node.
                del backward
            if hook is not None:
                hook(node.name, values[node.name])
            for name in released:
                del values[name]
        return {name: values[name] for name in program.graph.outputs}

    @_QUIET
    def _backward(self, tape: Tape, dy: Arrays) -> tuple[Arrays, Arrays]:
        """Return the gradients of the inputs, and of the trainable parameters; the tape is emptied."""
        d = dict(dy)
        gradients: Arrays = {}
        while tape:
            node, backward = tape.pop()
            if node.name not in d:
                continue
            dxs, found = backward(d.pop(node.name))
            for key, gradient in found.items():
                if not node.frozen:
                    _accumulate(gradients, node.arrays[key], gradient)
            for name, dx in zip(node.inputs, dxs, strict=True):
                if dx is not None:
                    _accumulate(d, name, dx)
        # A parameter that leads to no output has a gradient of zero.
        zero = {name: np.zeros_like(self._weights[name]) for name in self._trainable if name not in gradients}
        return d, gradients | zero

    def _vjp(self, inputs: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
        tape: Tape = []
        self._forward(inputs, self._program, tape)
        d, gradients = self._backward(tape, dy)
        return {name: np.array(d.get(name, np.zeros_like(x))) for name, x in inputs.items()}, gradients

    def _loss_and_gradients(self, part: Part) -> tuple[float, Arrays]:
        loss, _, gradients, _ = self._in_training(part, self._masks(part.n), part.n)
        return loss, {name: view.copy() for name, view in views(gradients, self._trainable).items()}

    def _masks(self, n: int) -> dict[str, Array]:
        """Return which elements each dropout layer of a plan keeps, for the n samples of a step."""
        return {} if self._by_layers is not None else self._trainer().masks(n, self.train.seed, self.steps)

    def _trainer(self) -> TrainingExecutor:
        if self._training is None:
            from cnnspec_numpy.training.executor import TrainingExecutor

            graph = for_training(self.graph).graph
            self._training = TrainingExecutor(graph, self._weights, self.array_dtype, self.options)
        return self._training

    def _in_training(self, part: Part, masks: Mapping[str, Array], n: int) -> tuple[float, Arrays, Array, Arrays]:
        """Return the loss, the outputs, the gradients as one vector, and the next state by array name.

        The masks are those of all n samples of the step.
        """
        self.check_batch_statistics(part.n)
        moment = Moment(self.train.seed, self.steps, part.first, n)
        if self._by_layers is not None:
            return self._interpreted(part, moment)
        return self._trainer().gradients(part, {name: mask[part.rows] for name, mask in masks.items()}, moment)

    @_QUIET
    def _interpreted(self, part: Part, moment: Moment) -> tuple[float, Arrays, Array, Arrays]:
        tape: Tape = []
        state: Arrays = {}
        outputs = self._forward(part.inputs, self._program, tape, state, moment=moment)
        total, dy = 0.0, {}
        for name, term in part.terms.items():
            value, d = losses.LOSSES[term.loss.kind](term.loss, outputs[name], term.target)
            total += term.factor * value
            dy[name] = d * d.dtype.type(term.factor)
        gradients = self._backward(tape, dy)[1]
        flat = np.empty_like(self._flat)
        for name, view in views(flat, self._trainable).items():
            view[...] = gradients[name]
        return total, outputs, flat, state

    @_QUIET
    def _step(self, parts: Sequence[Part]) -> tuple[float, Arrays]:
        n = samples(parts)
        masks = self._masks(n)
        self._executor_is_current = False
        total, outputs = 0.0, []
        for i, part in enumerate(parts):
            loss, found, gradients, state = self._in_training(part, masks, n)
            total += loss
            outputs.append(found)
            for name, value in state.items():
                self._weights[name][...] = value
            if len(parts) > 1:
                np.copyto(self._sum, gradients) if i == 0 else np.add(self._sum, gradients, out=self._sum)
        gradients = self._sum if len(parts) > 1 else gradients
        self._update.step(gradients, self.learning_rate, self.steps + 1, self.average_rate)
        if len(parts) == 1:
            return total, outputs[0]
        return total, {name: np.concatenate([found[name] for found in outputs]) for name in outputs[0]}

    @cached_property
    def _sum(self) -> Array:
        """Memory for the gradients of several parts of a step."""
        return np.empty_like(self._flat)

    def _begin_training(self) -> None:
        fixed = {*self._trainable, *self.graph.frozen_arrays}
        state = {name: array for name, array in self._weights.items() if name not in fixed}
        self._update = Update(self.train, self.groups, self._flat, self._trainable, state)

    def _swap_average(self) -> None:
        self._executor_is_current = False
        self._update.swap_average()

    def _optimizer_state(self) -> Arrays:
        return {name: array.copy() for name, array in self._update.arrays().items()}

    def _load_optimizer_state(self, state: Mapping[str, Array]) -> None:
        for name, array in self._update.arrays().items():
            array[...] = state[name]

    def _state(self) -> Arrays:
        return {name: array.copy() for name, array in self._weights.items()}

    def _load(self, state: Mapping[str, Array]) -> None:
        self._executor_is_current = False
        for name, array in self._weights.items():
            array[...] = state[name]


def _rewritten_array(rewritten: Rewritten, weights: Mapping[str, Array], name: str) -> Array:
    """Return an array of a rewritten graph, in float64, so that the product of two factors is rounded once."""

    def in_float64(source: str) -> Array:
        return weights[source].astype(np.float64)

    recipe = rewritten.recipes.get(name)
    found: Array = in_float64(name) if recipe is None else recipe.compute(in_float64)
    return found


def _accumulate(gradients: Arrays, name: str, gradient: Array) -> None:
    """Add a gradient to those of the same array, which several nodes may read."""
    gradients[name] = gradients[name] + gradient if name in gradients else gradient
