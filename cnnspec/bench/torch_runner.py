"""PyTorch as one uses it by hand: plain modules, inference mode, the usual training loop; with torch.compile or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cnnspec.arrays import Array
from cnnspec.bench.options import Network
from cnnspec.bench.runner import Runner
from cnnspec.bench.torch_modules import to_modules
from cnnspec.errors import BackendError
from cnnspec.graph.training import Clip, Train
from cnnspec.wording import names

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
    "rmsprop": lambda o, parameters: torch.optim.RMSprop(
        parameters, o.learning_rate, o.alpha, o.eps, o.weight_decay, o.momentum
    ),
}
LOSSES: dict[str, Callable[[Any, torch.dtype], nn.Module]] = {
    "cross_entropy": lambda loss, dtype: nn.CrossEntropyLoss(
        torch.tensor(loss.class_weights, dtype=dtype) if loss.class_weights else None,
        ignore_index=-100 if loss.ignore is None else loss.ignore,
        label_smoothing=loss.label_smoothing,
    ),
    "binary_cross_entropy": lambda loss, dtype: _BinaryCrossEntropy(loss.positive_weight, dtype),
    "mean_squared_error": lambda loss, dtype: nn.MSELoss(),
    "l1": lambda loss, dtype: nn.L1Loss(),
    "huber": lambda loss, dtype: nn.HuberLoss(delta=loss.delta),
}
"""The optimizers and losses that PyTorch has."""


class _BinaryCrossEntropy(nn.Module):
    """BCEWithLogitsLoss with a weight for each channel of a batch [n, c, ...]."""

    def __init__(self, weights: Sequence[float], dtype: torch.dtype) -> None:
        super().__init__()
        self.weights = torch.tensor(weights, dtype=dtype)

    def forward(self, y: Tensor, target: Tensor) -> Tensor:
        weights = self.weights.reshape(-1, *[1] * (y.ndim - 2))
        return nn.functional.binary_cross_entropy_with_logits(y, target, pos_weight=weights)


def check_training(train: Train) -> None:
    """Raise BackendError for training that the usual loop in PyTorch does not do."""
    if train.loss.kind not in LOSSES:
        raise BackendError(f"PyTorch has no `{train.loss.kind}`")
    if train.optimizer.kind not in OPTIMIZERS:
        raise BackendError(f"PyTorch has no `{train.optimizer.kind}`")
    others = {"clip": train.clip != Clip(), "ema": train.ema, "decays": train.optimizer.decays != "all"}
    if given := [name for name, is_given in others.items() if is_given]:
        raise BackendError(f"its training loop here has no {names(given)}")


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

    def forward(self, x: Array) -> Array:
        """Return the output for a batch, as at inference."""
        if self.module.training:
            self.module.eval()
        with torch.inference_mode():
            return self._run(torch.from_numpy(x)).numpy()

    def begin_training(self) -> None:
        """Restore the initial weights, and begin training; raise BackendError where PyTorch cannot do it by itself."""
        train = self.network.train
        check_training(train)
        self.loss = LOSSES[train.loss.kind](train.loss, DTYPES[self.network.dtype])
        self.module.load_state_dict(self.initial)
        self.module.train()
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        if not parameters:
            raise BackendError("the network has no parameters to train")
        self.optimizer = OPTIMIZERS[train.optimizer.kind](train.optimizer, parameters)

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
