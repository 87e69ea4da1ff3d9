"""The peers that run in workers: backends, PyTorch, ONNX Runtime, and a product of matrices as the yardstick."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array
from cnnspec.bench.options import ONNXRUNTIME, TORCH_COMPILE, TORCH_EAGER, Network, Peer, Workload
from cnnspec.bench.runner import Call, Runner
from cnnspec.errors import BackendError
from cnnspec.graph.training import Constant
from cnnspec.interop.requirements import require
from cnnspec.runtime.backend import find
from cnnspec.runtime.build import prepare
from cnnspec.runtime.options import Execution
from cnnspec.runtime.plan import PlanStep


class BackendRunner(Runner):
    """A backend."""

    def __init__(self, network: Network, peer: Peer) -> None:
        super().__init__(network)
        self.version = find(peer.kind).version()
        # The limit was checked for the largest batch before any worker was started.
        execution = Execution(peer.kind, "cpu", network.dtype, network.seed, sys.maxsize, peer.options)
        self.model = prepare(network.graph, execution, network.arrays)
        _limit_torch_threads(network.threads)

    def forward(self, x: Array) -> Array:
        """Return the output for a batch, as at inference."""
        y: Array = self.model.predict(x)
        return y

    def plan(self, batch: int) -> list[PlanStep]:
        """Return the steps by which the backend computes a batch."""
        return self.model.plan(batch)

    def begin_training(self) -> None:
        """Restore the initial weights, and begin training."""
        self.model.load(self.network.arrays)
        constant_rate = self.network.train.model_copy(update={"schedule": Constant()})
        self.model.begin_training(constant_rate, 1)

    def step(self, x: Array, target: Array) -> float:
        """Make one step of the optimizer, and return the loss before it."""
        return self.model.step(x, target)


def _limit_torch_threads(threads: int) -> None:
    """Limit the threads of torch where a backend has imported it; other libraries read the environment."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


class OnnxRunner(Runner):
    """ONNX Runtime, which runs networks and trains none."""

    def __init__(self, network: Network, peer: Peer) -> None:
        super().__init__(network)
        require("onnx", "onnxruntime", extra="bench")
        if network.dtype != "float32":
            raise BackendError(f"it computes in float32 alone here, not in {network.dtype}")
        import onnxruntime

        from cnnspec.interop.onnx_export.model import to_onnx

        self.version = f"onnxruntime {onnxruntime.__version__}"
        self.onnx = to_onnx(network.graph, network.arrays, network.dtype).proto().SerializeToString()
        self.sessions: dict[int, Any] = {}

    def _session(self, batch: int) -> Any:
        """Return the session of a batch size, which the runtime may plan its memory for."""
        if batch not in self.sessions:
            import onnxruntime

            from cnnspec.interop.onnx_export.model import BATCH

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self.network.threads
            options.inter_op_num_threads = 1
            options.add_free_dimension_override_by_name(BATCH, batch)
            self.sessions[batch] = onnxruntime.InferenceSession(self.onnx, options, providers=["CPUExecutionProvider"])
        return self.sessions[batch]

    def forward(self, x: Array) -> Array:
        """Return the output for a batch, as at inference."""
        (y,) = self._session(len(x)).run(None, {self.network.graph.input.name: x})
        return np.asarray(y)

    def begin_training(self) -> None:
        """Raise BackendError."""
        raise BackendError("it runs networks, and trains none")

    def step(self, x: Array, target: Array) -> float:
        """Raise BackendError."""
        raise BackendError("it runs networks, and trains none")


def _torch_runner(network: Network, peer: Peer) -> Runner:
    require("torch", extra="torch")
    from cnnspec.bench.torch_runner import TorchRunner

    return TorchRunner(network, compiled=peer.kind == TORCH_COMPILE)


class MatrixProduct(Runner):
    """A product of two square matrices in NumPy: what the machine reaches at most."""

    size = 1024
    version = f"numpy {np.__version__}"

    def prepare(self, workload: Workload) -> tuple[Array, Call]:
        """Return the call alone."""
        numbers = rng.stream(self.network.seed, "matrices")
        a, b = (numbers.random((self.size, self.size)).astype(self.array_dtype) for _ in range(2))
        out = np.empty_like(a)
        return np.array([]), lambda: np.matmul(a, b, out=out)

    def forward(self, x: Array) -> Array:
        """Return the input: `prepare` needs no network."""
        return x

    def begin_training(self) -> None:
        """Do nothing."""

    def step(self, x: Array, target: Array) -> float:
        """Return 0."""
        return 0.0


MATRIX_PRODUCT = Peer("matrix product", "matrix product")

RUNNERS: dict[str, Callable[[Network, Peer], Runner]] = {
    TORCH_EAGER: _torch_runner,
    TORCH_COMPILE: _torch_runner,
    ONNXRUNTIME: OnnxRunner,
    MATRIX_PRODUCT.kind: lambda network, peer: MatrixProduct(network),
}
"""The peers that are no backends."""


def runner_of(network: Network, peer: Peer) -> Runner:
    """Return the peer with the network; raise CnnspecError where it is not installed or cannot do it."""
    return RUNNERS.get(peer.kind, BackendRunner)(network, peer)
