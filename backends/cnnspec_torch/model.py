"""The model that runs and trains: NumPy arrays at its edge, torch inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from cnnspec.arrays import Array, Arrays
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.graph.rewrites import for_training
from cnnspec.graph.training import Clip
from cnnspec.rng import dropout_mask, stream
from cnnspec.runtime.model import Hook, Model
from cnnspec.runtime.options import checked_options
from cnnspec.runtime.step import Part, samples
from cnnspec_torch import devices, distributed
from cnnspec_torch.inference import Inference
from cnnspec_torch.losses import LOSSES
from cnnspec_torch.module import SpecModule
from cnnspec_torch.optimizers import Optimizer
from cnnspec_torch.update import Average, clip

T = TypeVar("T")
SCALER = "scaler"
"""The name of the factor of a scaled loss, and of the number of steps since it changed, in the state of training."""


@dataclass(frozen=True)
class Options:
    """The options of `prepare` beside the device and the dtype."""

    compile: bool = False
    """Whether torch.compile generates kernels for the network; needs a C++ compiler, or Triton on CUDA."""
    channels_last: bool | None = None
    """Whether images are stored in the memory format channels_last; None chooses the faster format."""
    tf32: bool = False
    """Whether CUDA may round the factors of float32 products to TF32 while the model computes."""
    numerics: str = "default"
    """"strict" runs the graph layer by layer; the others rewrite it first, with equal outputs up to rounding."""
    threads: int | None = None
    """How many threads of the CPU compute while the model is called; None leaves the number as it is. It is a setting
    of the process: calls of other models at the same time, from other threads, may compute with as many."""

    recompute: tuple[str, ...] = ()
    """Named blocks whose values training does not keep for the backward pass, but computes a second time: less memory
    for more time (Chen et al. 2016). A name with * stands for all blocks that match."""

    @classmethod
    def checked(cls, options: Mapping[str, Any]) -> Options:
        """Return the options; raise BackendError where one does not exist or has a wrong value."""
        return checked_options("torch", cls, options)


class TorchModel(Model):
    """A graph on a torch device.

    bfloat16 and float16 are autocast around float32 weights; float16 scales the loss while training, and a step
    whose gradients overflow is left out, as torch.amp.GradScaler does. docs/training.md states the error bound.
    """

    def __init__(
        self, graph: Graph, weights: Mapping[str, Array], device: str, dtype: str, options: Options | None = None
    ) -> None:
        super().__init__(graph, device, dtype)
        self.options = options or Options()
        self.torch_device = devices.device(device)
        self.compute_dtype = devices.dtype(dtype, self.torch_device)
        self.autocasts = dtype in ("bfloat16", "float16")
        self.weight_dtype = torch.float32 if self.autocasts else self.compute_dtype
        self.module = SpecModule(graph, self.torch_device, self.weight_dtype)
        self.module.load(weights)
        self.module.eval()
        channels_last = self.options.channels_last
        if channels_last is None:
            channels_last = _channels_last_is_faster(self.torch_device, self.compute_dtype)
        self.channels_last = channels_last and any(len(graph.by_name[name].shape) == 3 for name in graph.inputs)
        if self.channels_last:
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.torch_device.type == "cpu":
            devices.keep_freed_memory()
        self.rewrites = self.options.numerics != "strict"
        self.training_module = self._rewritten_for_training() if self.rewrites else self.module
        if self.options.recompute:
            self.training_module.recompute(self.options.recompute)
        self.run_module = torch.compile(self.training_module) if self.options.compile else self.training_module
        plans = self.torch_device.type == "cpu" and not self.autocasts and not self.options.compile
        self.inference = Inference(self.module, self.torch_device, self.channels_last, plans, self.options.compile)
        self.parameters = {name: p for name, p in self.module.arrays().items() if isinstance(p, torch.nn.Parameter)}
        self.processes, self.process = distributed.size(), distributed.rank()
        self.sharded = self.processes > 1
        for layer in self.training_module.layers():
            layer.synchronised = self.sharded

    def _rewritten_for_training(self) -> SpecModule:
        """Return a module of the graph rewritten for training, over the same arrays."""
        graph = for_training(self.graph).graph
        if graph == self.graph:
            return self.module
        return SpecModule(graph, self.torch_device, self.weight_dtype, self.module.arrays())

    # Running

    def _run(self, inputs: Arrays, hook: Hook | None = None) -> Arrays:
        rewritten = hook is None and self.rewrites
        with torch.inference_mode(), self._compute_context(training=False):
            outputs = self._execute(inputs, hook, rewritten)
        # A network of views alone would return the caller's own array.
        return {
            name: y.copy() if any(np.may_share_memory(x, y) for x in inputs.values()) else y
            for name, y in outputs.items()
        }

    def _execute(self, inputs: Arrays, hook: Hook | None, rewritten: bool) -> Arrays:
        tensors = {name: self._tensor(x) for name, x in inputs.items()}
        if rewritten:
            outputs = self.inference(tensors)
        elif hook is None and self.options.compile and len(tensors) == len(self.graph.outputs) == 1:
            outputs = {self.graph.output.name: self.run_module(*tensors.values())}
        else:
            array_hook = None if hook is None else lambda name, y: hook(name, self._array(y))
            outputs = self.module.execute(tensors, array_hook)
        return {name: self._array(y) for name, y in outputs.items()}

    def _state(self) -> Arrays:
        return {name: self._array(tensor).copy() for name, tensor in self.module.arrays().items()}

    def _load(self, state: Mapping[str, Array]) -> None:
        self.module.load(state)
        self.inference.invalidate()

    # Training

    def _vjp(self, inputs: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
        with torch.enable_grad(), self._compute_context(training=False):
            tensors = {name: self._tensor(x).requires_grad_() for name, x in inputs.items()}
            y = self.module.execute(tensors)
            found = torch.autograd.grad(
                [y[name] for name in dy],
                [*tensors.values(), *self.parameters.values()],
                [self._tensor(gradient).to(y[name].dtype) for name, gradient in dy.items()],
                allow_unused=True,
                materialize_grads=True,
            )
        gradients = [self._array(gradient).copy() for gradient in found]
        dx = dict(zip(tensors, gradients[: len(tensors)], strict=True))
        return dx, dict(zip(self.parameters, gradients[len(tensors) :], strict=True))

    def _loss_and_gradients(self, part: Part) -> tuple[float, Arrays]:
        before = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        try:
            loss, _ = self._backward([part])
        finally:
            for name, buffer in self.module.named_buffers():
                buffer.copy_(before[name])
        scale = self.scaler.get_scale()
        return loss, {name: self._array(p.grad) / scale for name, p in self.parameters.items() if p.grad is not None}

    def _step(self, parts: Sequence[Part]) -> tuple[float, Arrays]:
        try:
            loss, outputs = self._backward(parts)
            with devices.threads(self.options.threads):
                if self.optimizer is not None:
                    self.optimizer.set_rate(self.learning_rate)
                    if self.train.clip != Clip():
                        self.scaler.unscale_(self.optimizer.torch)
                        clip(self.train.clip, self.parameters.values())
                    self.scaler.step(self.optimizer.torch)
                    self.scaler.update()
                if self.average is not None:
                    self.average.update(self.average_rate)
        finally:
            self.inference.invalidate()
        return loss, {name: self._array(y) for name, y in outputs.items()}

    def _backward(self, parts: Sequence[Part]) -> tuple[float, dict[str, Tensor]]:
        """Return the loss of the step over all processes, and the outputs of this process's samples by node.

        Sets the `grad` of each parameter to its gradient times the scale.
        """
        for p in self.parameters.values():
            p.grad = None
        first, total, factors = self._shares(parts)
        masks = self._masks(total)
        loss = torch.zeros((), dtype=self.weight_dtype, device=self.torch_device)
        outputs: dict[str, list[Tensor]] = {}
        for part in parts:
            rows = slice(first + part.first, first + part.first + part.n)
            of_part, found = self._backward_of(part, factors, {name: mask[rows] for name, mask in masks.items()})
            loss += of_part
            for name, y in found.items():
                outputs.setdefault(name, []).append(y)
        gradients = [_gradient(p) for p in self.parameters.values()]
        if self.sharded:
            distributed.sum_over_processes([loss, *gradients])
        return loss.item(), {name: ys[0] if len(ys) == 1 else torch.cat(ys) for name, ys in outputs.items()}

    def _backward_of(
        self, part: Part, factors: Mapping[str, float], masks: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Add the gradients of one part, and return its loss and its outputs by node."""
        with torch.enable_grad(), self._compute_context(training=True):
            tensors = [self._tensor(part.inputs[name]) for name in self.graph.inputs]
            outputs = self._by_node(self.run_module(*tensors, masks=masks))
            losses = [
                LOSSES[term.loss.kind](term.loss, outputs[name], self._tensor(term.target)) * factors[name]
                for name, term in part.terms.items()
            ]
            loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
            if loss.requires_grad:
                torch.autograd.backward(self.scaler.scale(loss))
        return loss.detach(), outputs

    def _shares(self, parts: Sequence[Part]) -> tuple[int, int, dict[str, float]]:
        """Return where this process's samples begin in the step, how many that has, and the factor of each loss."""
        n, terms = samples(parts), parts[0].terms
        if not self.sharded:
            self.check_batch_statistics(min(part.n for part in parts))
            return 0, n, {name: term.factor for name, term in terms.items()}
        first, total = distributed.position_in_batch(n, self.torch_device)
        self.check_batch_statistics(total // len(parts))
        normalizers = torch.tensor([term.normalizer for term in terms.values()], dtype=torch.float64)
        normalizers = normalizers.to(self.torch_device)
        distributed.sum_over_processes([normalizers])
        whole = zip(terms.items(), normalizers.tolist(), strict=True)
        return first, total, {name: term._replace(normalizer=sum_).factor for (name, term), sum_ in whole}

    def _by_node(self, found: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs of the module by node, in the weights' dtype."""
        by_name = found if isinstance(found, dict) else {self.graph.output_names[0]: found}
        return {self.graph.output_nodes[name].name: y.to(self.weight_dtype) for name, y in by_name.items()}

    def _masks(self, n: int) -> dict[str, Tensor]:
        """Return which elements each stochastic layer keeps in this step, of n samples."""
        masks = {}
        for node in self.graph.nodes:
            if node.draws:
                rate: float = node.layer.rate  # type: ignore[attr-defined]  # the trait says that there is one
                masks[node.name] = self._mask(node.name, (n, *node.layer.mask_shape(node.shape)), rate)
        return masks

    def _mask(self, name: str, shape: tuple[int, ...], rate: float) -> Tensor:
        seed = self.train.seed
        if self.torch_device.type == "cpu":
            return torch.from_numpy(dropout_mask(seed, self.steps, name, shape, rate))
        step_seed = int(stream(seed, "dropout", name, self.steps).integers(2**63))
        generator = torch.Generator(self.torch_device).manual_seed(step_seed)
        return torch.rand(shape, generator=generator, device=self.torch_device) >= rate

    def _begin_training(self) -> None:
        self.scaler = torch.amp.GradScaler(self.torch_device.type, enabled=self.dtype == "float16")
        # Not with scaled gradients, which a fused step would handle by itself, in its own way.
        fused = True if self.torch_device.type == "cpu" and not self.scaler.is_enabled() else None
        parameters = self.parameters
        self.optimizer = Optimizer(self.train.optimizer, parameters, self.groups, fused) if parameters else None
        arrays = {name: array for name, array in self.module.arrays().items() if name not in self.graph.frozen_arrays}
        self.average = Average(arrays) if self.train.ema else None

    def _swap_average(self) -> None:
        assert self.average is not None
        self.average.swap()
        self.inference.invalidate()

    def gather(self, value: T) -> list[T]:
        """Return the value of each process by rank, in every process."""
        return distributed.gather(value)

    def _optimizer_state(self) -> Arrays:
        found = {name: self._array(tensor).copy() for name, tensor in self._optimizer_tensors().items()}
        if self.scaler.is_enabled():
            state = self.scaler.state_dict()
            found[SCALER] = np.array([state["scale"], state["_growth_tracker"]])
        return found

    def _load_optimizer_state(self, state: Mapping[str, Array]) -> None:
        for name, tensor in self._optimizer_tensors().items():
            tensor.copy_(torch.tensor(np.asarray(state[name])))
        if self.optimizer is not None:
            self.optimizer.set_steps(self.steps)
        if self.scaler.is_enabled():
            scale, tracker = np.asarray(state[SCALER]).tolist()
            self.scaler.load_state_dict(self.scaler.state_dict() | {"scale": scale, "_growth_tracker": int(tracker)})

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        found = dict(self.optimizer.state()) if self.optimizer is not None else {}
        return found | (self.average.named() if self.average is not None else {})

    @contextmanager
    def _compute_context(self, training: bool) -> Iterator[None]:
        """Set the module's mode, autocast, TF32 and the number of threads for the computations inside."""
        module = self.training_module if training else self.module
        if module.training is not training:
            module.train(training)
        autocast = torch.autocast(self.torch_device.type, self.compute_dtype) if self.autocasts else nullcontext()
        try:
            with devices.tf32(self.options.tf32, self.torch_device), devices.threads(self.options.threads), autocast:
                yield
        except torch._dynamo.exc.TorchDynamoException as error:
            if not self.options.compile:
                raise
            raise BackendError(
                f"torch.compile cannot build this network; without `compile` it runs: {error}"
            ) from error

    def _tensor(self, array: Array) -> Tensor:
        """Return the array as a tensor on the device; on the CPU they share memory."""
        # Tensors cannot be read-only, so a read-only array is copied.
        tensor = torch.from_numpy(array) if array.flags.writeable else torch.tensor(array)
        if self.torch_device.type == "cuda":
            tensor = tensor.pin_memory().to(self.torch_device, non_blocking=True)
        tensor = tensor.to(self.torch_device)
        return tensor.to(memory_format=torch.channels_last) if self.channels_last and tensor.ndim == 4 else tensor

    def _array(self, tensor: Tensor) -> Array:
        """Return the tensor as an array in the weights' dtype; on the CPU they may share memory."""
        if tensor.is_meta:
            raise BackendError("the device `meta` has shapes and no numbers")
        array: Array = tensor.detach().to(self.weight_dtype).cpu().numpy()
        return np.ascontiguousarray(array)


def _gradient(p: torch.nn.Parameter) -> Tensor:
    if p.grad is None:
        p.grad = torch.zeros_like(p)
    return p.grad


def _channels_last_is_faster(device: torch.device, dtype: torch.dtype) -> bool:
    # Measured on the CPU: float32 takes 0.6 to 0.95 of the time, float64 1.4 to 2 times it, and so does a step in
    # bfloat16. CUDA's tensor cores read half precision in this order.
    return dtype in {"cpu": (torch.float32,), "cuda": (torch.float16, torch.bfloat16)}.get(device.type, ())
