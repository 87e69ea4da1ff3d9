"""The Torch backend: CPU, CUDA and Apple devices. Torch itself is imported when the backend is first used."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from cnnspec.arrays import Array
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph

if TYPE_CHECKING:
    from cnnspec_torch.model import TorchModel
    from cnnspec_torch.module import SpecModule

__all__ = ["TorchBackend", "backend"]


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        if error.name == "torch":
            raise BackendError('the torch backend needs PyTorch: pip install "cnnspec[torch]"') from None
        raise BackendError(
            f'PyTorch is installed and cannot be imported ({error}); to install it anew: pip install "cnnspec[torch]"'
        ) from error


class TorchBackend:
    """The object that the entry point `torch` of the group `cnnspec.backends` names."""

    name = "torch"
    options = (
        "compile",
        "channels_last",
        "tf32",
        "autotune",
        "deterministic",
        "cuda_graphs",
        "numerics",
        "threads",
        "recompute",
    )

    def version(self) -> str:
        """Return the version of PyTorch, such as `torch 2.13.0`."""
        _require_torch()
        import torch

        return f"torch {torch.__version__}"

    def devices(self) -> list[str]:
        """Return the devices of this machine, the CPU first."""
        _require_torch()
        from cnnspec_torch import devices

        return devices.available()

    def dtypes(self) -> dict[str, int]:
        """Return the data types with their bytes; bfloat16 and float16 are autocast around float32 weights."""
        _require_torch()
        from cnnspec_torch import devices

        return {name: dtype.itemsize for name, dtype in devices.DTYPES.items()}

    def distributed(self, device: str) -> AbstractContextManager[str]:
        """Join the processes that torchrun started, if it did; yields this process's own device."""
        _require_torch()
        from cnnspec_torch import distributed

        return distributed.process_group(device)

    def prepare(
        self,
        graph: Graph,
        weights: Mapping[str, Array],
        *,
        device: str = "cpu",
        dtype: str = "float32",
        **options: Any,
    ) -> TorchModel:
        """Return a model of the graph on that device; the options are the fields of `cnnspec_torch.model.Options`."""
        _require_torch()
        from cnnspec_torch.model import Options, TorchModel

        return TorchModel(graph, weights, device, dtype, Options.checked(options))

    def to_module(self, graph: Graph, weights: Mapping[str, Array]) -> SpecModule:
        """Return the network as a torch.nn.Module on the CPU, whose state_dict has the spec's names."""
        _require_torch()
        from cnnspec_torch.module import SpecModule

        module = SpecModule(graph)
        module.load(weights)
        return module


backend = TorchBackend()
