"""The model that a backend makes of a graph and its weights: what it computes, and the checks of its arguments."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cnnspec.arrays import Array, Arrays
from cnnspec.display import Rich
from cnnspec.errors import BackendError, InputError
from cnnspec.graph import finetuning
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Constant, Loss, Train
from cnnspec.runtime.arguments import check_state, checked_inputs, checked_targets
from cnnspec.runtime.feature_maps import FeatureMaps, collected
from cnnspec.runtime.plan import PlanStep
from cnnspec.runtime.step import Part, Term, normalizer

T = TypeVar("T")
Batch = npt.ArrayLike | Mapping[str, npt.ArrayLike]
"""A batch of the input, or of every input by name; likewise of outputs."""
Hook = Callable[[str, Array], None]
"""Called with the name and the value of a node."""


class Model(ABC, Rich):
    """A network on a backend. Inputs and outputs are NumPy arrays, in the model's dtype.

    A backend implements the methods that begin with an underscore, whose arguments are checked. Inputs and outputs are
    those of the graph's nodes by name there, and `node_losses` has the loss of each node that is trained.
    """

    def __init__(self, graph: Graph, device: str, dtype: str) -> None:
        self.graph = graph
        self.device = device
        self.dtype = dtype
        self.defaults = Train()
        """The settings of training, at a constant learning rate, where `begin_training` is not called."""

    # Running

    def predict(self, x: Batch) -> Any:
        """Return the output for a batch, as at inference: x [n, c, h, w] -> y [n, ...].

        Several inputs are given, and several outputs returned, by name: {name: [n, ...]}.
        """
        return self._one_or_all(self.run(self._by_input(x)))

    def run(self, inputs: Mapping[str, npt.ArrayLike]) -> Arrays:
        """Return every output by name for a batch of every input by name, as at inference."""
        return self._by_output(self._run(self._checked(inputs)))

    def trace(self, x: Batch) -> Arrays:
        """Return the output of every node by its name, as at inference: {name: [n, ...]}, the inputs first."""
        values: Arrays = {}
        self.run_with_hook(x, lambda name, value: values.update({name: value.copy()}))
        return values

    def feature_maps(self, x: Batch, layers: Iterable[str] | None = None) -> FeatureMaps:
        """Return the maps of layers by name, as at inference: {name: [n, c, h, w]}, in the order of the network.

        `layers` are names, or patterns such as `stage1` and `*.conv1`; all layers with spatial axes by default.
        """
        return collected(self.graph, lambda hook: self.run_with_hook(x, hook), layers)

    def run_with_hook(self, x: Batch, hook: Hook) -> Any:
        """As `predict`, and call `hook(name, value)` for every node as soon as it has run, the inputs first.

        The value is valid during the call alone: a hook that keeps it copies it.
        """
        return self._one_or_all(self._by_output(self._run(self._checked(self._by_input(x)), hook)))

    def _by_input(self, x: Batch) -> Mapping[str, npt.ArrayLike]:
        """Return the inputs by name; raise InputError for an array where there are several."""
        if isinstance(x, Mapping):
            return x
        if len(self.graph.inputs) > 1:
            raise InputError(f"the network has the inputs {', '.join(self.graph.inputs)}: give a batch of each by name")
        return {self.graph.input.name: x}

    @property
    def node_losses(self) -> dict[str, Loss]:
        """The loss of each output that is trained, by its node."""
        return {self.graph.output_nodes[name].name: loss for name, loss in self.losses.items()}

    def _by_output(self, values: Arrays) -> Arrays:
        """Return the outputs under the names by which they are handed out: {node: value} -> {output: value}."""
        return {self.graph.aliases.get(node, node): values[node] for node in self.graph.outputs}

    def _one_or_all(self, outputs: Arrays) -> Any:
        """Return the output of a network that has one, all outputs by name of any other."""
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def plan(self, batch: int = 1) -> list[PlanStep]:
        """Return the steps by which `predict` computes a batch; raise BackendError where the backend makes no plan."""
        raise BackendError("this backend lists no steps")

    def state(self) -> Arrays:
        """Return a copy of every array by its name `<layer>.<parameter>`, running statistics included."""
        return self._state()

    def load(self, state: Mapping[str, Array]) -> None:
        """Load weights; raise WeightsError, which lists all wrong, missing and extra ones."""
        from cnnspec.weights.match import checked

        self._load(checked(self.graph, state, origin="the given state"))

    # Training

    def vjp(self, x: Batch, dy: Batch) -> tuple[Any, Arrays]:
        """Return the vector-Jacobian product at inference: dy [n, ...] -> (dx [n, c, h, w], {parameter: gradient}).

        Several inputs and outputs are given, and gradients of several inputs returned, by name.
        """
        inputs = self._checked(self._by_input(x))
        n = len(next(iter(inputs.values())))
        given = dy if isinstance(dy, Mapping) else {self.graph.output_names[0]: dy}
        nodes = self.graph.output_nodes
        if not given or not given.keys() <= nodes.keys() or (len(nodes) > 1 and not isinstance(dy, Mapping)):
            raise InputError(f"dy is given by the names of outputs: {', '.join(nodes)}")
        gradients = {nodes[name].name: np.asarray(array, self.array_dtype) for name, array in given.items()}
        for node, array in gradients.items():
            if array.shape != (n, *self.graph.by_name[node].shape):
                expected = (n, *self.graph.by_name[node].shape)
                raise InputError(f"dy has the shape {array.shape}, the output {expected}")
        dx, found = self._vjp(inputs, gradients)
        return self._one_or_all(dx), found

    def loss_and_gradients(self, x: Batch, target: Batch) -> tuple[float, Arrays]:
        """Return the loss of a batch and its gradients, as `step` would compute them; changes no state."""
        self._ready()
        return self._loss_and_gradients(self._parts(x, target, 1)[0])

    def step(self, x: Batch, target: Batch, parts: int = 1) -> float:
        """Make one step of the optimizer on a batch; return the loss before it, and keep that output in `outputs`.

        The loss is the sum of those of all outputs, each times its weight. Targets of several outputs are given by
        name; one array is that of each. Each of several processes passes its shard of the batch, which may be empty;
        the loss is that of all shards.

        The batch is computed in that many parts, whose gradients are added: as at once, in less memory, but for layers
        that normalise over the batch, which then do so over a part.
        """
        return self.start_step(x, target, parts)()

    def start_step(self, x: Batch, target: Batch, parts: int = 1) -> Callable[[], float]:
        """Begin a step as `step` makes one; return a function that waits until it is done, and returns the loss.

        A backend whose `overlaps` is true returns while the device computes, so that the next batch can be prepared,
        and the next step be begun; steps are finished in their order. Any other makes the step at once.
        """
        self._ready()
        finish = self._start_step(self._parts(x, target, parts))
        self.steps += 1

        def finished() -> float:
            loss, outputs = finish()
            self.trained_outputs = {name: outputs[self.graph.output_nodes[name].name] for name in self.losses}
            return loss

        return finished

    overlaps = False
    """Whether `start_step` returns before the step is done."""
    takes_pixels = False
    """Whether the backend is given `Pixels` as they are, and looks up their numbers; others are given numbers."""

    def _parts(self, x: Batch, target: Batch, count: int) -> list[Part]:
        """Return a batch in checked parts of nearly equal size, at most one for each sample."""
        inputs = self._checked(self._by_input(x), least=0 if self.processes > 1 else 1)
        n = len(next(iter(inputs.values())))
        targets = checked_targets(self.graph, self.losses, target, n, self.array_dtype)
        losses = self.node_losses
        normalizers = {name: normalizer(losses[name], array) for name, array in targets.items()}
        # Several processes make as many parts each, of which some may be empty.
        count = count if self.processes > 1 else min(count, n)
        found = []
        for i in range(count):
            at = slice(i * n // count, (i + 1) * n // count)
            terms = {name: Term(losses[name], array[at], normalizers[name]) for name, array in targets.items()}
            found.append(Part({name: array[at] for name, array in inputs.items()}, terms, at.start))
        return found

    @property
    def outputs(self) -> Any:
        """The output of the last step, before the weights changed; those that are trained by name, of several."""
        return self.trained_outputs if len(self.graph.outputs) > 1 else next(iter(self.trained_outputs.values()))

    def begin_training(self, train: Train, steps_per_epoch: int) -> None:
        """Set the losses, the optimizer and the schedule of `step`, and reset the state of the optimizer."""
        finetuning.check_frozen(self.graph, train)
        nodes = self.graph.output_nodes
        if unknown := [name for name in train.losses if name not in nodes]:
            raise BackendError(f"the network has no output `{unknown[0]}` for a loss: it has {', '.join(nodes)}")
        losses = train.by_output(nodes)
        for name, loss in losses.items():
            if misfit := loss.misfit(nodes[name].shape, name if len(nodes) > 1 else ""):
                raise BackendError(f"{misfit}: {loss.remedy(nodes[name].shape)}")
        self.train, self.losses = train, losses
        self.steps_per_epoch = steps_per_epoch
        self.steps = 0
        self.rate_factor = 1.0
        """A factor of the learning rate that a schedule does not know beforehand."""
        self._begin_training()

    def training_state(self) -> Arrays:
        """Return the state of training beside the weights: the number of steps, and the optimizer's arrays."""
        self._ready()
        return {"steps": np.asarray(self.steps)} | self._optimizer_state()

    def load_training_state(self, state: Mapping[str, Array]) -> None:
        """Restore what `training_state` returned, after `begin_training`; raise BackendError where it does not fit."""
        arrays = {name: value for name, value in state.items() if name != "steps"}
        self._check_optimizer_state(arrays)
        self.steps = int(state["steps"])
        self._load_optimizer_state(arrays)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        self._ready()
        return self.rate_of(self.steps)

    def rate_of(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0, at the present `rate_factor`."""
        factor = self.train.schedule.factor(step / self.steps_per_epoch, self.train.epochs)
        return self.train.optimizer.learning_rate * factor * self.rate_factor

    @property
    def groups(self) -> dict[str, tuple[float, float]]:
        """The factor of the learning rate and the weight decay of each trainable array, by its name."""
        optimizer = self.train.optimizer
        factors = finetuning.factors_by_array(self.graph.nodes, self.train.rates)
        return {
            name: (factors[name], optimizer.decay_of(parameter.shape))
            for name, parameter in self.graph.parameters.items()
            if parameter.trainable
        }

    @property
    def average_rate(self) -> float:
        """The part of the present weights in their moving average after the step that is being made, counted from 0.

        It is 1 − `ema`, and larger at first: min(ema, (1 + t) / (10 + t)) is the decay after t steps.
        """
        return 1 - min(self.train.ema, (1 + self.steps) / (10 + self.steps))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the weights be their moving average inside, where `ema` asks for one."""
        self._ready()
        if not self.train.ema:
            yield
            return
        self._swap_average()
        try:
            yield
        finally:
            self._swap_average()

    def _ready(self) -> None:
        """Begin training with the spec's loss and optimizer, at a constant rate, where it has not begun."""
        if not hasattr(self, "train"):
            self.begin_training(self.defaults.model_copy(update={"schedule": Constant()}), 1)

    # Several processes

    processes = 1
    """The number of processes that train this model together."""
    process = 0
    """The rank of this process."""

    def shard(self, n: int) -> slice:
        """Return this process's part of n samples."""
        return slice(n * self.process // self.processes, n * (self.process + 1) // self.processes)

    def gather(self, value: T) -> list[T]:
        """Return the value of each process by rank, in every process."""
        return [value]

    # Checks

    def _checked(self, inputs: Mapping[str, npt.ArrayLike], least: int = 1) -> dict[str, Any]:
        return checked_inputs(self.graph, inputs, self.array_dtype, least, pixels=self.takes_pixels)

    def check_batch_statistics(self, n: int) -> None:
        """Raise InputError where a layer would normalise one number over a training batch of n samples.

        Backends call this before a step, with the size of the batch of all processes.
        """
        for node in self.graph.nodes:
            if node.normalises_batch and n * math.prod(node.shape[1:]) == 1:
                raise InputError(
                    f"`{node.name}` gets one number for each channel, and cannot normalise it over the batch: "
                    "train it with batches of at least 2"
                )

    def _check_optimizer_state(self, state: Mapping[str, Array]) -> None:
        check_state(state, self._optimizer_state())

    @property
    def array_dtype(self) -> npt.DTypeLike:
        """The NumPy dtype at the model's edge: float64 for float64, float32 for everything else."""
        return np.float64 if self.dtype == "float64" else np.float32

    # To be implemented by a backend

    @abstractmethod
    def _run(self, inputs: dict[str, Any], hook: Hook | None = None) -> Arrays: ...

    @abstractmethod
    def _state(self) -> Arrays: ...

    @abstractmethod
    def _load(self, state: Mapping[str, Array]) -> None: ...

    @abstractmethod
    def _vjp(self, inputs: dict[str, Any], dy: Arrays) -> tuple[Arrays, Arrays]: ...

    @abstractmethod
    def _loss_and_gradients(self, part: Part) -> tuple[float, Arrays]: ...

    @abstractmethod
    def _step(self, parts: Sequence[Part]) -> tuple[float, Arrays]: ...

    def _start_step(self, parts: Sequence[Part]) -> Callable[[], tuple[float, Arrays]]:
        """Begin a step; return what waits for it and returns what `_step` does."""
        found = self._step(parts)
        return lambda: found

    def _swap_average(self) -> None:
        """Exchange the weights and their moving average."""
        raise BackendError("this backend keeps no moving average of the weights (`ema`)")

    @abstractmethod
    def _begin_training(self) -> None: ...

    @abstractmethod
    def _optimizer_state(self) -> Arrays: ...

    @abstractmethod
    def _load_optimizer_state(self, state: Mapping[str, Array]) -> None: ...
