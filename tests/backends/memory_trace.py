"""The memory of a training step of the Torch backend, counted without a GPU.

The model's own step runs on the device `meta`, whose tensors have shapes and types and no numbers; a dispatch mode
counts the bytes of every tensor as it is made and freed, in blocks of 512 bytes as CUDA's allocator does. (Fake tensors
of the device `cuda` cannot be differentiated in a PyTorch that is built without CUDA.) What CUDA does another way than
`meta` is replaced: autocast casts by CUDA's lists, attention is the fused kernel, the updates of SGD, Adam and AdamW
are fused and make no tensor, and the others update all arrays at once. Not counted is what kernels allocate inside
(workspaces of cuDNN and cuBLAS, copies in another memory format), and fragmentation. Where autograd would add one
gradient to another in place, the mode makes it take a third tensor.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from cnnspec_torch.gradients import Gradients
from cnnspec_torch.layer import Op
from cnnspec_torch.model import Options, TorchModel
from cnnspec_torch.transfer import Transfer
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cnnspec.arrays import Array
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.layers import Shape
from cnnspec.runtime.step import Part, Term

BLOCK = 512
FUSED = ("sgd", "adam", "adamw")
"""The optimizers whose update on CUDA is fused, and makes no tensor."""


def traced_bytes(spec: Spec, batch: int, dtype: str, train: Train | None = None, **options: Any) -> int:
    """Return the most bytes that tensors take in a training step on `batch` samples, after a first step.

    The step has as many parts as `accumulate` says.
    """
    train = train or spec.train or Train()
    memory = Allocations()
    with memory:
        model = Traced(spec.trained_graph, dtype, **options)
        model.begin_training(train, 1)
        model.traced_step(batch, train.accumulate)
        memory.peak = memory.bytes
        model.traced_step(batch, train.accumulate)
    return memory.peak


class Allocations(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive, and the most at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor) and tensor.is_meta:
                self._count(tensor.untyped_storage())
        return found

    def _count(self, storage: Any) -> None:
        if storage in self._known:
            return
        size = -(-storage.nbytes() // BLOCK) * BLOCK
        self._known.add(storage)
        weakref.finalize(storage, self._free, size)
        self.bytes += size
        self.peak = max(self.peak, self.bytes)

    def _free(self, size: int) -> None:
        self.bytes -= size


class Traced(TorchModel):
    """The model on the device `meta`, with what it does on CUDA."""

    def __init__(self, graph: Graph, dtype: str, **options: Any) -> None:
        half = dtype in ("bfloat16", "float16")
        super().__init__(graph, {}, "meta", dtype, Options.checked({"channels_last": half, **options}))
        # `meta` has no autocast of its own.
        self.autocasts = False
        self.transfer = ToMeta(self.transfer.device, self.transfer.dtype, self.transfer.channels_last)
        self.as_on_cuda = AsOnCuda(self.compute_dtype if half else None)
        for layer in self.training_module.layers():
            layer.op = self.as_on_cuda.around(layer.op)

    def traced_step(self, batch: int, parts: int = 1) -> None:
        """Make the step of `_step` on so many samples, in parts."""
        bounds = [part * batch // parts for part in range(parts + 1)]
        self.gradients([self._part(slice(*rows)) for rows in pairwise(bounds)])
        assert self.optimizer is not None
        if self.train.optimizer.kind not in FUSED:
            for group in self.optimizer.torch.param_groups:
                if "foreach" in group:
                    group["foreach"] = True
            self.optimizer.torch.step()
        if self.average is not None:
            self.average.update(0.9)

    def _part(self, rows: slice) -> Part:
        n = rows.stop - rows.start

        def empty(shape: Shape, dtype: Any = np.float32) -> Array:
            return np.broadcast_to(dtype(0), (n, *shape))

        inputs = {name: empty(self.graph.by_name[name].shape) for name in self.graph.inputs}
        terms = {}
        for name, loss in self.node_losses.items():
            shape = self.graph.by_name[name].shape
            classes = loss.kind == "cross_entropy"
            target = empty(shape[1:], np.int64) if classes else empty(shape)
            terms[name] = Term(loss, target, 1.0)
        return Part(inputs, terms, rows.start)

    def _gradients(self) -> Gradients:
        gradients = super()._gradients()
        gradients._mask = lambda name, shape, rate: torch.rand(shape, device="meta") >= rate  # type: ignore[method-assign]
        return gradients

    @contextmanager
    def compute_context(self, training: bool) -> Iterator[None]:
        with super().compute_context(training):
            yield
        self.as_on_cuda.weights.clear()


class ToMeta(Transfer):
    """Makes tensors on `meta` in the shapes and types of arrays."""

    def to_device(self, array: Any) -> Tensor:
        dtype = torch.int64 if array.dtype.kind == "i" else self.dtype
        layout = torch.channels_last if self.channels_last and array.ndim == 4 else torch.contiguous_format
        return torch.empty(array.shape, dtype=dtype, device="meta", memory_format=layout)


LOWER = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"} | {
    "prelu", "linear", "matmul", "__matmul__", "scaled_dot_product_attention",
}  # fmt: skip
FLOAT32 = {
    "exp", "log", "pow", "softplus", "layer_norm", "rms_norm", "group_norm", "nll_loss", "l1_loss", "smooth_l1_loss",
    "huber_loss", "mse_loss", "binary_cross_entropy_with_logits", "interpolate",
}  # fmt: skip
FLOAT32_RESULT = {"softmax", "log_softmax", "sum", "vector_norm"}
"""CUDA's lists of autocast (ATen/autocast_mode.h), as far as the ops of the backend call them."""


class AsOnCuda(TorchFunctionMode):
    """Calls functions as CUDA would: with autocast to a type, where one is given, and with fused attention."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.dtype = dtype
        self.weights: dict[int, Tensor] = {}
        """The casts of weights, which autocast keeps until it is left."""

    def around(self, op: Op) -> Op:
        """Return an op in this mode, as often as it is called: a block that is recomputed calls it again."""

        def called(*args: Any, **kwargs: Any) -> Tensor:
            with self:
                return op(*args, **kwargs)

        return called

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "local_response_norm":  # whose power is one of the list
            with self:
                return _without_overrides(func)(*args, **kwargs)
        if self.dtype is not None:
            if name in LOWER:
                args, kwargs = self._cast(args, self.dtype), {k: self._cast(v, self.dtype) for k, v in kwargs.items()}
            elif name in FLOAT32:
                args = self._cast(args, torch.float32)
                kwargs = {k: self._cast(v, torch.float32) for k, v in kwargs.items()}
            elif name in FLOAT32_RESULT and args[0].is_floating_point():
                kwargs = {"dtype": torch.float32, **kwargs}
        if name == "scaled_dot_product_attention":
            return torch.ops.aten._scaled_dot_product_efficient_attention(*args, None, True)[0]
        return func(*args, **kwargs)

    def _cast(self, value: Any, dtype: torch.dtype) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(self._cast(each, dtype) for each in value)
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.dtype == dtype:
            return value
        if not (value.is_leaf and value.requires_grad):
            return value.to(dtype)
        if id(value) not in self.weights:
            self.weights[id(value)] = value.to(dtype)
        return self.weights[id(value)]


def _without_overrides(func: Any) -> Callable[..., Any]:
    """Return a function of torch.nn.functional that asks no mode for another implementation of itself."""
    none: dict[str, Any] = {
        name: lambda *args: False
        for name in ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    }
    copy = type(func)(func.__code__, {**func.__globals__, **none}, func.__name__, func.__defaults__, func.__closure__)
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy
