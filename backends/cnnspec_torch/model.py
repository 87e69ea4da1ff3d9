"""The model that runs and trains: NumPy arrays at its edge, torch inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from traceback import clear_frames
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from cnnspec.arrays import Array, Arrays, Samples
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.graph.rewrites import for_training
from cnnspec.graph.training import Clip, Train
from cnnspec.runtime.memory import out_of_memory
from cnnspec.runtime.model import Hook, Model
from cnnspec.runtime.options import checked_options
from cnnspec.runtime.step import Part
from cnnspec_torch import devices, distributed
from cnnspec_torch.gradients import Gradients
from cnnspec_torch.inference import Inference, Way
from cnnspec_torch.module import SpecModule
from cnnspec_torch.optimizers import Optimizer
from cnnspec_torch.transfer import Transfer
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
    autotune: bool = False
    """Whether cuDNN chooses the methods of convolutions on CUDA by timed runs, which may differ between two runs."""
    deterministic: bool = False
    """Whether two trainings on CUDA give the same bits; a layer that has no such method there is an error."""
    cuda_graphs: bool = False
    """Whether the kernels of a call are recorded on CUDA, once for each batch size, and launched together."""
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
        self._check_options()
        self.compute_dtype = devices.dtype(dtype, self.torch_device)
        self.overlaps = self.takes_pixels = self.torch_device.type == "cuda"
        self.autocasts = dtype in ("bfloat16", "float16")
        self.weight_dtype = torch.float32 if self.autocasts else self.compute_dtype
        channels_last = self.options.channels_last
        if channels_last is None:
            channels_last = devices.channels_last_is_faster(self.torch_device, self.compute_dtype, self.options.tf32)
        self.channels_last = channels_last and any(len(graph.by_name[name].shape) == 3 for name in graph.inputs)
        self.transfer = Transfer(self.torch_device, self.weight_dtype, self.channels_last)
        with self._memory(1):
            self.module = SpecModule(graph, self.torch_device, self.weight_dtype)
            self.module.load(weights)
            self.module.eval()
            if self.channels_last:
                self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.torch_device.type == "cpu":
            devices.keep_freed_memory()
        self.rewrites = self.options.numerics != "strict"
        self.training_module = self._rewritten_for_training() if self.rewrites else self.module
        if self.options.recompute:
            self.training_module.recompute(self.options.recompute)
        # Shapes are static, and a batch of another size is compiled anew.
        compiled = self.options.compile
        self.run_module = torch.compile(self.training_module, dynamic=False) if compiled else self.training_module
        self.inference = Inference(self.module, self.torch_device, self.channels_last, self._way_of_inference())
        self.parameters = {name: p for name, p in self.module.arrays().items() if isinstance(p, torch.nn.Parameter)}
        self.processes, self.process = distributed.size(), distributed.rank()
        for layer in self.training_module.layers():
            layer.synchronised = self.processes > 1

    def _check_options(self) -> None:
        """Raise BackendError for options that exclude each other."""
        if not self.options.cuda_graphs:
            return
        if self.torch_device.type != "cuda":
            raise BackendError(f"`cuda_graphs` needs a CUDA device, and the model is on `{self.torch_device}`")
        if self.options.recompute:
            raise BackendError("`cuda_graphs` and `recompute` exclude each other: leave one out")
        if distributed.size() > 1:
            raise BackendError("`cuda_graphs` records the step of one process, and there are several: leave it out")

    def _way_of_inference(self) -> Way:
        if self.options.compile:
            return "compiled"
        if self.options.cuda_graphs:
            return "recorded"
        return "planned" if self.torch_device.type == "cpu" and not self.autocasts else "by layer"

    def _rewritten_for_training(self) -> SpecModule:
        """Return a module of the graph rewritten for training, over the same arrays."""
        graph = for_training(self.graph).graph
        if graph == self.graph:
            return self.module
        return SpecModule(graph, self.torch_device, self.weight_dtype, self.module.arrays())

    # Running

    def _run(self, inputs: dict[str, Samples], hook: Hook | None = None) -> Arrays:
        rewritten = hook is None and self.rewrites
        with self._memory(_batch(inputs)), torch.inference_mode(), self.compute_context(training=False):
            outputs = self._execute(inputs, hook, rewritten)
        # A network of views alone would return the caller's own array.
        given = [x for x in inputs.values() if isinstance(x, np.ndarray)]
        return {name: y.copy() if any(np.may_share_memory(x, y) for x in given) else y for name, y in outputs.items()}

    def _execute(self, inputs: dict[str, Samples], hook: Hook | None, rewritten: bool) -> Arrays:
        tensors = {name: self.transfer.to_device(x) for name, x in inputs.items()}
        if rewritten:
            outputs = self.inference(tensors)
        elif hook is None and self.options.compile and len(tensors) == len(self.graph.outputs) == 1:
            outputs = {self.graph.output.name: self.run_module(*tensors.values())}
        else:
            array_hook = None if hook is None else lambda name, y: hook(name, self.transfer.to_array(y))
            outputs = self.module.execute(tensors, array_hook)
        return {name: self.transfer.to_array(y) for name, y in outputs.items()}

    def _state(self) -> Arrays:
        return {name: self.transfer.to_array(tensor).copy() for name, tensor in self.module.arrays().items()}

    def _load(self, state: Mapping[str, Array]) -> None:
        self.module.load(state)
        self.inference.invalidate()

    # Training

    def _vjp(self, inputs: dict[str, Samples], dy: Arrays) -> tuple[Arrays, Arrays]:
        with self._memory(_batch(inputs), Train()), torch.enable_grad(), self.compute_context(training=False):
            tensors = {name: self.transfer.to_device(x).requires_grad_() for name, x in inputs.items()}
            y = self.module.execute(tensors)
            found = torch.autograd.grad(
                [y[name] for name in dy],
                [*tensors.values(), *self.parameters.values()],
                [self.transfer.to_device(gradient).to(y[name].dtype) for name, gradient in dy.items()],
                allow_unused=True,
                materialize_grads=True,
            )
        gradients = [self.transfer.to_array(gradient).copy() for gradient in found]
        dx = dict(zip(tensors, gradients[: len(tensors)], strict=True))
        return dx, dict(zip(self.parameters, gradients[len(tensors) :], strict=True))

    def _loss_and_gradients(self, part: Part) -> tuple[float, Arrays]:
        before = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        try:
            with self._memory(part.n, self.train), self._settings():
                loss, _ = self.gradients([part])
        finally:
            for name, buffer in self.module.named_buffers():
                buffer.copy_(before[name])
        scale = self.scaler.get_scale()
        found = {name: p.grad for name, p in self.parameters.items() if p.grad is not None}
        return loss.item(), {name: self.transfer.to_array(gradient) / scale for name, gradient in found.items()}

    def _step(self, parts: Sequence[Part]) -> tuple[float, Arrays]:
        return self._start_step(parts)()

    def _start_step(self, parts: Sequence[Part]) -> Callable[[], tuple[float, Arrays]]:
        with self._memory(max(part.n for part in parts), self.train), self._settings():
            try:
                loss, outputs = self.gradients(parts)
                self._update()
            finally:
                self.inference.invalidate()
            arrays = self.transfer.to_arrays({"": loss, **outputs})

        def finish() -> tuple[float, Arrays]:
            found = dict(arrays())
            return found.pop("").item(), found

        return finish

    def _update(self) -> None:
        """Change the weights by their gradients."""
        if self.optimizer is not None:
            self.optimizer.set_rate(self.learning_rate)
            if self.train.clip != Clip():
                self.scaler.unscale_(self.optimizer.torch)
                clip(self.train.clip, self.parameters.values())
            self.scaler.step(self.optimizer.torch)
            self.scaler.update()
        if self.average is not None:
            self.average.update(self.average_rate)

    def _begin_training(self) -> None:
        self.scaler = torch.amp.GradScaler(self.torch_device.type, enabled=self.dtype == "float16")
        # Not with scaled gradients, which a fused step would handle by itself, in its own way.
        fused = True if self.torch_device.type in ("cpu", "cuda") and not self.scaler.is_enabled() else None
        parameters, frozen = self.parameters, self.graph.frozen_arrays
        with self._memory(self.train.batch, self.train), self._settings():
            self.optimizer = Optimizer(self.train.optimizer, parameters, self.groups, fused) if parameters else None
            arrays = {name: array for name, array in self.module.arrays().items() if name not in frozen}
            self.average = Average(arrays) if self.train.ema else None
        self.gradients = self._gradients()

    def _gradients(self) -> Gradients:
        context, graphs = partial(self.compute_context, training=True), self.options.cuda_graphs
        return Gradients(self, self.module, self.run_module, self.transfer, self.scaler, context, graphs)

    def _swap_average(self) -> None:
        assert self.average is not None
        self.average.swap()
        self.inference.invalidate()

    def gather(self, value: T) -> list[T]:
        """Return the value of each process by rank, in every process."""
        return distributed.gather(value)

    def _optimizer_state(self) -> Arrays:
        found = {name: self.transfer.to_array(tensor).copy() for name, tensor in self._optimizer_tensors().items()}
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
            self.gradients = self._gradients()  # a recorded step reads the scale where it was

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        found = dict(self.optimizer.state()) if self.optimizer is not None else {}
        return found | (self.average.named() if self.average is not None else {})

    @contextmanager
    def compute_context(self, training: bool) -> Iterator[None]:
        """Set the module's mode, autocast and the settings of the device for the computations inside."""
        module = self.training_module if training else self.module
        if module.training is not training:
            module.train(training)
        with self._settings():
            if not self.autocasts:
                yield
                return
            # What autocast has cast before a recording would be none of it.
            cached = not self.options.cuda_graphs
            with torch.autocast(self.torch_device.type, self.compute_dtype, cache_enabled=cached):
                yield

    @contextmanager
    def _memory(self, batch: int, train: Train | None = None) -> Iterator[None]:
        """Say what would fit where the memory of the device is not enough for so many samples, in training or not."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            clear_frames(error.__traceback__)  # which hold tensors
            free, total = devices.memory(self.torch_device)
            itemsize, recompute = self.compute_dtype.itemsize, self.options.recompute
            raise out_of_memory(self.graph, batch, itemsize, train, free, total, recompute) from None

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """Set the number of threads and how CUDA computes inside, and make errors of PyTorch ours."""
        options = self.options
        cuda = devices.cuda_settings(self.torch_device, options.tf32, options.autotune, options.deterministic)
        try:
            with cuda, devices.threads(options.threads):
                yield
        except torch._dynamo.exc.TorchDynamoException as error:
            if not options.compile:
                raise
            raise BackendError(
                f"torch.compile cannot build this network; without `compile` it runs: {error}"
            ) from error
        except RuntimeError as error:
            if not (options.deterministic and "deterministic" in str(error)):
                raise
            raise BackendError(f"with `deterministic` this network does not run on CUDA: {error}") from error


def _batch(inputs: Mapping[str, Samples]) -> int:
    return len(next(iter(inputs.values())))
