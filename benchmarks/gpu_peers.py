"""The peers of `gpu.py`: this project in its forms, and PyTorch as one writes it by hand.

All of them take NumPy arrays and have their result on the CPU at the end, but for the loss of the tuned loop, which is
read when the measurement ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cnnspec.arrays import Array
from cnnspec.bench.torch_modules import to_modules
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Sgd, Train
from cnnspec.runtime.build import prepare
from cnnspec.runtime.options import Execution
from cnnspec.weights.initial import initial

USUAL, TUNED = "usual loop", "tuned loop"
RATE, MOMENTUM = 0.01, 0.9
TORCHVISION = {"resnet18", "resnet50", "mobilenet_v2", "convnext_tiny"}
NO_LIMIT = 1 << 62


class Peer(Protocol):
    """What is measured."""

    def forward(self, x: Array) -> None:
        """Compute a batch as at inference: float32 [n, c, h, w]."""

    def step(self, x: Array, target: Array) -> None:
        """Begin a step of training on a batch and its classes [n]."""

    def finish(self) -> None:
        """Wait for what was begun."""


class Ours:
    """The Torch backend."""

    def __init__(self, graph: Graph, device: str, dtype: str, options: dict[str, Any]) -> None:
        self.model = prepare(graph, Execution("torch", device, dtype, 0, NO_LIMIT, options), initial(graph, 0))
        self.model.begin_training(Train(optimizer=Sgd(learning_rate=RATE, momentum=MOMENTUM)), 1)
        self.begun: deque[Callable[[], float]] = deque()

    def forward(self, x: Array) -> None:
        """Compute a batch."""
        self.model.predict(x)

    def step(self, x: Array, target: Array) -> None:
        """Begin a step, and finish the one before, as the trainer does."""
        self.begun.append(self.model.start_step(x, target))
        if len(self.begun) > int(self.model.overlaps):
            self.begun.popleft()()

    def finish(self) -> None:
        """Wait for the last step."""
        while self.begun:
            self.begun.popleft()()


class ByHand:
    """Plain modules: the usual loop in float32, or one with everything that makes PyTorch fast.

    Tuned, it has channels_last, bfloat16 autocast, TF32, cuDNN's timed choice, a fused optimizer, pinned batches, and
    reads no loss before the end.
    """

    def __init__(self, module: nn.Module, device: str, *, tuned: bool, compiled: bool = False) -> None:
        self.device = torch.device(device)
        self.tuned = tuned
        form = torch.channels_last if tuned else torch.contiguous_format
        self.module = module.to(self.device).to(memory_format=form)  # type: ignore[call-overload]
        self.form = form
        parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(parameters, RATE, MOMENTUM, fused=True if tuned else None)
        self.loss = nn.CrossEntropyLoss()
        self.run: Callable[[Tensor], Tensor] = self.module
        if compiled:
            self.run = torch.compile(self.module, dynamic=False, mode="max-autotune-no-cudagraphs")
        self.pinned: dict[int, Tensor] = {}
        self.last: Tensor | None = None

    def forward(self, x: Array) -> None:
        """Compute a batch."""
        if self.module.training:
            self.module.eval()
        with torch.inference_mode(), self._settings():
            self.run(self._there(x)).float().cpu()

    def step(self, x: Array, target: Array) -> None:
        """Make a step."""
        if not self.module.training:
            self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        with self._settings():
            loss = self.loss(self.run(self._there(x)), self._there(target))
        loss.backward()
        self.optimizer.step()
        self.last = loss.detach()
        if not self.tuned:
            loss.item()

    def finish(self) -> None:
        """Wait for the last step."""
        if self.last is not None:
            self.last.item()

    def _settings(self) -> torch.autocast:
        torch.backends.cudnn.benchmark = torch.backends.cuda.matmul.allow_tf32 = self.tuned
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.tuned)

    def _there(self, array: Array) -> Tensor:
        if not self.tuned or self.device.type != "cuda":
            tensor = torch.from_numpy(array).to(self.device)
        else:
            if id(array) not in self.pinned:
                self.pinned[id(array)] = torch.from_numpy(array).pin_memory()
            tensor = self.pinned[id(array)].to(self.device, non_blocking=True)
        return tensor.contiguous(memory_format=self.form) if tensor.ndim == 4 else tensor


def peers(graph: Graph, device: str, compiles: bool) -> dict[str, Callable[[], Peer]]:
    """Return what makes each peer, by its name; what fails to be made is left out by the caller."""

    def modules() -> nn.Module:
        return to_modules(graph, initial(graph, 0))

    def torchvision() -> nn.Module:
        import torchvision

        module: nn.Module = getattr(torchvision.models, graph.name)()
        return module

    def ours(dtype: str, **options: Any) -> Callable[[], Peer]:
        return lambda: Ours(graph, device, dtype, options)

    fast = {"tf32": True, "autotune": True}
    found: dict[str, Callable[[], Peer]] = {
        USUAL: lambda: ByHand(modules(), device, tuned=False),
        TUNED: lambda: ByHand(modules(), device, tuned=True),
        "cnnspec float32": ours("float32"),
        "cnnspec bfloat16": ours("bfloat16", **fast),
    }
    if device == "cuda":
        found["cnnspec bfloat16, cuda_graphs"] = ours("bfloat16", cuda_graphs=True, **fast)
    if graph.name in TORCHVISION:
        found["torchvision, tuned loop"] = lambda: ByHand(torchvision(), device, tuned=True)
    if compiles:
        found["tuned loop, torch.compile"] = lambda: ByHand(modules(), device, tuned=True, compiled=True)
        found["cnnspec bfloat16, compile"] = ours("bfloat16", compile=True, **fast)
    return found
