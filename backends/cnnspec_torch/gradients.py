"""The loss of a step of training, and the gradients of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
from torch import Tensor

from cnnspec.rng import dropout_mask, stream
from cnnspec.runtime.model import Model
from cnnspec.runtime.step import Part, samples
from cnnspec_torch import distributed
from cnnspec_torch.losses import LOSSES
from cnnspec_torch.module import SpecModule
from cnnspec_torch.recording import Recorded
from cnnspec_torch.transfer import Transfer

Outputs = dict[str, Tensor]
"""Outputs by node, in the data type of the weights."""


class Gradients:
    """Computes the loss of a step, and leaves the gradient of each parameter, times the scale, in its `grad`.

    Nothing is waited for on the device. With `cuda_graphs`, the passes forward and back are recorded and replayed.
    """

    def __init__(
        self,
        model: Model,
        module: SpecModule,
        run: Callable[..., Tensor | Outputs],
        transfer: Transfer,
        scaler: torch.amp.GradScaler,
        context: Callable[[], AbstractContextManager[None]],
        cuda_graphs: bool,
    ) -> None:
        self.model = model
        self.graph = model.graph
        self.module = module
        """What holds the parameters and the running statistics."""
        self.run = run
        """The module in training, or a compiled one: (*inputs, masks) -> the output, or outputs by name."""
        self.transfer = transfer
        self.scaler = scaler
        self.context = context
        """In which the passes are computed."""
        self.parameters = [p for p in module.arrays().values() if isinstance(p, torch.nn.Parameter)]
        like = torch.empty((), dtype=transfer.dtype, device=transfer.device)
        self.losses = {name: LOSSES[loss.kind](loss, like) for name, loss in model.node_losses.items()}
        self.stochastic = [node for node in self.graph.nodes if node.draws]
        self.recorded = Recorded(self._anew, self._keep_buffers) if cuda_graphs else None

    def __call__(self, parts: Sequence[Part]) -> tuple[Tensor, Outputs]:
        """Return the loss of the step over all processes, and the outputs of this process's samples."""
        for p in self.parameters:
            p.grad = None
        first, total, factors = self._shares(parts)
        masks = self._masks(total)
        compute = partial(self._replayed, keeps=len(parts) == 1) if self.recorded else self._computed
        found = []
        for part in parts:
            rows = slice(first + part.first, first + part.first + part.n)
            found.append(compute(part, factors, [mask[rows] for mask in masks]))
        losses, outputs = zip(*found, strict=True)
        loss: Tensor = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        gradients = [_gradient(p) for p in self.parameters]
        if self.model.processes > 1:
            loss = loss.clone()
            distributed.sum_over_processes([loss, *gradients])
        if len(outputs) == 1:
            return loss, outputs[0]
        return loss, {name: torch.cat([of_part[name] for of_part in outputs]) for name in outputs[0]}

    def _computed(self, part: Part, factors: Sequence[float], masks: Sequence[Tensor]) -> tuple[Tensor, Outputs]:
        """Add the gradients of one part, and return its loss and its outputs."""
        return self._backward(factors, *self._tensors(part), *masks)

    def _replayed(
        self, part: Part, factors: Sequence[float], masks: Sequence[Tensor], keeps: bool
    ) -> tuple[Tensor, Outputs]:
        """As `_computed`, by a CUDA graph; `keeps` says that the next replay is in another step."""
        assert self.recorded is not None
        sums = [p.grad for p in self.parameters]
        weights = self.transfer.to_device(np.array(factors, self.model.array_dtype))
        loss, outputs, gradients = self.recorded(weights, *self._tensors(part), *masks)
        if keeps:  # what reads these is on the stream of the replay, before the next one
            for p, gradient in zip(self.parameters, gradients, strict=True):
                p.grad = gradient
            return loss, outputs
        for p, gradient, before in zip(self.parameters, gradients, sums, strict=True):
            p.grad = gradient.clone() if before is None else before.add_(gradient)
        return loss.clone(), {name: y.clone() for name, y in outputs.items()}

    def _anew(self, *tensors: Tensor) -> tuple[Tensor, Outputs, list[Tensor]]:
        for p in self.parameters:
            p.grad = None
        loss, outputs = self._backward(*tensors)
        return loss, outputs, [_gradient(p) for p in self.parameters]

    def _keep_buffers(self) -> Callable[[], None]:
        """Return what undoes the changes that passes forward make to running statistics."""
        before = {name: buffer.clone() for name, buffer in self.module.named_buffers()}

        def restore() -> None:
            for name, buffer in self.module.named_buffers():
                buffer.copy_(before[name])

        return restore

    def _tensors(self, part: Part) -> Iterator[Tensor]:
        """Yield the inputs of a part and the targets of its losses, on the device."""
        to_device = self.transfer.to_device
        for name in self.graph.inputs:
            yield to_device(part.inputs[name])
        for name in self.losses:
            yield to_device(part.terms[name].target)

    def _backward(self, factors: Sequence[float] | Tensor, *tensors: Tensor) -> tuple[Tensor, Outputs]:
        """Add the gradients for inputs, targets and masks, and return the loss and the outputs."""
        counts = [len(self.graph.inputs), len(self.losses), len(self.stochastic)]
        inputs, targets, masks = (tensors[sum(counts[:i]) : sum(counts[: i + 1])] for i in range(3))
        with torch.enable_grad(), self.context():
            by_layer = {node.name: mask for node, mask in zip(self.stochastic, masks, strict=True)}
            outputs = self._by_node(self.run(*inputs, masks=by_layer))
            terms = [
                function(outputs[name], target) * factors[i]
                for i, ((name, function), target) in enumerate(zip(self.losses.items(), targets, strict=True))
            ]
            loss = terms[0] if len(terms) == 1 else torch.stack(terms).sum()
            if loss.requires_grad:
                torch.autograd.backward(self.scaler.scale(loss))
        return loss.detach(), outputs

    def _by_node(self, found: Tensor | Outputs) -> Outputs:
        by_name = found if isinstance(found, dict) else {self.graph.output_names[0]: found}
        return {self.graph.output_nodes[name].name: y.to(self.transfer.dtype) for name, y in by_name.items()}

    def _shares(self, parts: Sequence[Part]) -> tuple[int, int, list[float]]:
        """Return where this process's samples begin in the step, how many that has, and the factor of each loss."""
        n, terms = samples(parts), [parts[0].terms[name] for name in self.losses]
        if self.model.processes == 1:
            self.model.check_batch_statistics(min(part.n for part in parts))
            return 0, n, [term.factor for term in terms]
        of_processes = self.model.gather((n, [term.normalizer for term in terms]))
        sizes = [size for size, _ in of_processes]
        first, total = sum(sizes[: self.model.process]), sum(sizes)
        self.model.check_batch_statistics(total // len(parts))
        sums = [sum(normalizers) for normalizers in zip(*(found for _, found in of_processes), strict=True)]
        return first, total, [term._replace(normalizer=sum_).factor for term, sum_ in zip(terms, sums, strict=True)]

    def _masks(self, n: int) -> list[Tensor]:
        """Return which elements each stochastic layer keeps in this step, of n samples."""
        found = []
        for node in self.stochastic:
            rate: float = node.layer.rate  # type: ignore[attr-defined]  # the trait says that there is one
            found.append(self._mask(node.name, (n, *node.layer.mask_shape(node.shape)), rate))
        return found

    def _mask(self, name: str, shape: tuple[int, ...], rate: float) -> Tensor:
        seed, step, device = self.model.train.seed, self.model.steps, self.transfer.device
        if device.type == "cpu":
            return torch.from_numpy(dropout_mask(seed, step, name, shape, rate))
        step_seed = int(stream(seed, "dropout", name, step).integers(2**63))
        generator = torch.Generator(device).manual_seed(step_seed)
        return torch.rand(shape, generator=generator, device=device) >= rate


def _gradient(p: torch.nn.Parameter) -> Tensor:
    if p.grad is None:
        p.grad = torch.zeros_like(p)
    return p.grad
