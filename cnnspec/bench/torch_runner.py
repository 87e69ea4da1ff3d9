"""PyTorch as one uses it by hand: plain modules, inference mode, the usual training loop; with torch.compile or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from cnnspec.arrays import Array
from cnnspec.bench.options import Network
from cnnspec.bench.runner import Runner
from cnnspec.bench.torch_modules import to_modules
from cnnspec.errors import BackendError

DTYPES = {"float32": torch.float32, "float64": torch.float64}

Parameters = Iterable[nn.Parameter]

OPTIMIZERS: dict[str, Callable[[Any, Parameters], torch.optim.Optimizer]] = {
    "sgd": lambda o, parameters: torch.optim.SGD(
        parameters, o.learning_rate, o.momentum, weight_decay=o.weight_decay, nesterov=o.nesterov
    ),
    "adam": lambda o, parameters: torch.optim.Adam(
        parameters, o.learning_rate, (o.beta1, o.beta2), o.eps, o.weight_decay
    ),
    "adamw": lambda o, parameters: torch.optim.AdamW(
        parameters, o.learning_rate, (o.beta1, o.beta2), o.eps, o.weight_decay
    ),
}
LOSSES: dict[str, Callable[[Any], nn.Module]] = {
    "cross_entropy": lambda loss: nn.CrossEntropyLoss(label_smoothing=loss.label_smoothing),
    "mean_squared_error": lambda loss: nn.MSELoss(),
}


class TorchRunner(Runner):
    """A network of torch.nn modules."""

    def __init__(self, network: Network, *, compiled: bool) -> None:
        super().__init__(network)
        if network.dtype not in DTYPES:
            raise BackendError(f"it computes in {' and '.join(DTYPES)} alone here, not in {network.dtype}")
        torch.set_num_threads(network.threads)
        self.version = f"torch {torch.__version__}"
        self.module = to_modules(network.graph, network.arrays, DTYPES[network.dtype])
        self.initial = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
        self.compiled = compiled
        self.call: Callable[[Tensor], Tensor] = self.module
        if compiled:
            # One kernel for each batch and mode: more of them than torch.compile allows by default.
            torch._dynamo.config.recompile_limit = 64
            self.call = torch.compile(self.module, dynamic=False)
        self.loss = LOSSES[network.train.loss.kind](network.train.loss)

    def forward(self, x: Array) -> Array:
        """Return the output for a batch, as at inference."""
        if self.module.training:
            self.module.eval()
        with torch.inference_mode():
            return self._run(torch.from_numpy(x)).numpy()

    def begin_training(self) -> None:
        """Restore the initial weights, and begin training."""
        self.module.load_state_dict(self.initial)
        self.module.train()
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        if not parameters:
            raise BackendError("the network has no parameters to train")
        settings = self.network.train.optimizer
        self.optimizer = OPTIMIZERS[settings.kind](settings, parameters)

    def step(self, x: Array, target: Array) -> float:
        """Make one step of the optimizer, and return the loss before it."""
        self.optimizer.zero_grad()
        loss = self.loss(self._run(torch.from_numpy(x)), torch.from_numpy(target))
        loss.backward()
        self.optimizer.step()
        return float(loss.item())

    def _run(self, x: Tensor) -> Tensor:
        if not self.compiled:
            return self.call(x)
        try:
            return self.call(x)
        except Exception as error:
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise BackendError(f"torch.compile fails: {str(error).strip().splitlines()[0]}") from error
            raise
