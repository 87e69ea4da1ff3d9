"""The NumPy backend: every layer forward and backward in plain, readable array code."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.runtime.model import Model
from cnnspec_numpy.options import Options

__all__ = ["NumpyBackend", "backend"]


class NumpyBackend:
    """NumPy on the processor."""

    name = "numpy"
    options = ("numerics", "threads", "autotune")

    def version(self) -> str:
        """Return the version of NumPy."""
        return f"numpy {np.__version__}"

    def devices(self) -> list[str]:
        """Return the CPU, the only device."""
        return ["cpu"]

    def dtypes(self) -> dict[str, int]:
        """Return the data types that NumPy multiplies matrices in, with their bytes."""
        return {"float32": 4, "float64": 8}

    @contextmanager
    def distributed(self, device: str) -> Iterator[str]:
        """Yield the same device; raise BackendError where a launcher started several processes."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise BackendError("the numpy backend computes in one process: use --backend torch with torchrun")
        yield device

    def prepare(self, graph: Graph, weights: Mapping[str, Array], *, device: str, dtype: str, **options: Any) -> Model:
        """Return a model with copies of the weights; the options are the fields of `cnnspec_numpy.options.Options`."""
        from cnnspec_numpy.model import NumpyModel

        for what, wanted, present in (("device", device, self.devices()), ("dtype", dtype, self.dtypes())):
            if wanted not in present:
                raise BackendError(f"the numpy backend has no {what} `{wanted}`: it has {', '.join(present)}")
        return NumpyModel(graph, weights, device, dtype, Options.checked(options))


backend = NumpyBackend()
