"""From a spec to a model that computes: the backend, the weights, and the memory that it may take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec import backend as backends
from cnnspec.arrays import Array, Arrays
from cnnspec.backend import Backend, Model
from cnnspec.diagnostics import Source
from cnnspec.errors import BackendError, MemoryLimitError
from cnnspec.graph.costs import BYTES, peak_activation_bytes, summarize
from cnnspec.graph.graph import Graph
from cnnspec.language.load import graph_of
from cnnspec.sizes import parse_size, size_of
from cnnspec.weights import files as weight_files
from cnnspec.weights.initial import initial

if TYPE_CHECKING:
    import torch

MEMORY_LIMIT = 2 * 2**30
MEMORY_VARIABLE = "CNNSPEC_MEMORY_LIMIT"


def build(
    spec: str | Path | Source | Graph,
    backend: str = "numpy",
    weights: str | Path | Mapping[str, Array] | None = None,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    memory_limit: int | None = None,
    **options: Any,
) -> Model:
    """A model of a spec or a graph on a backend.

    `weights` is a file, the name of bundled weights, or a mapping of `<layer>.<parameter>` to arrays; without it they
    are drawn from the seed, the same for every backend. `memory_limit` is in bytes (2 GiB unless the environment's
    CNNSPEC_MEMORY_LIMIT says otherwise). Raises SpecError, BackendError, WeightsError or MemoryLimitError.
    """
    graph = graph_of(spec)
    engine = engine_for(backend, dtype)
    check_memory(graph, 1, dtype, memory_limit)
    if unknown := [name for name in options if name not in engine.options]:
        known = f"it has {', '.join(engine.options)}" if engine.options else "it has none"
        raise BackendError(f"the backend {backend} has no option `{unknown[0]}`; {known}")
    return engine.prepare(graph, weights_of(graph, weights, seed), device=device, dtype=dtype, **options)


def engine_for(backend: str, dtype: str) -> Backend:
    """The backend of that name, if it computes in that number format."""
    engine = backends.find(backend)
    if dtype not in engine.dtypes():
        raise BackendError(f"the backend {backend} has no dtype `{dtype}`: it has {', '.join(engine.dtypes())}")
    return engine


def to_torch(
    spec: str | Path | Source | Graph, weights: str | Path | Mapping[str, Array] | None = None, seed: int = 0
) -> torch.nn.Module:
    """The network as a torch.nn.Module on the CPU, whose state_dict has the spec's weight names."""
    graph = graph_of(spec)
    engine: Any = backends.find("torch")
    module: torch.nn.Module = engine.to_module(graph, weights_of(graph, weights, seed))
    return module


def weights_of(graph: Graph, weights: str | Path | Mapping[str, Array] | None, seed: int) -> Arrays:
    """Every array of the graph: from a file, from bundled weights, from a mapping, or drawn from the seed."""
    if weights is None:
        return initial(graph, seed)
    if isinstance(weights, Mapping):
        return weight_files.checked(graph, weights, origin="the given weights")
    return weight_files.checked(graph, weight_files.read(weight_files.find(weights)), origin=str(weights))


def check_memory(graph: Graph, batch: int, dtype: str, limit: int | None = None) -> None:
    """Refuses, before anything is allocated, a network whose weights and activations exceed the limit."""
    limit = memory_limit() if limit is None else limit
    width = BYTES[dtype]
    sizes = {name: p.size * width for name, p in graph.parameters.items()}
    weights, activations = sum(sizes.values()), peak_activation_bytes(graph, batch, dtype)
    if weights + activations <= limit:
        return
    parts = [f"{size_of(weights)} of weights", f"{size_of(activations)} of activations for a batch of {batch}"]
    message = f"`{graph.name}` takes {size_of(weights + activations)}: {' and '.join(parts)}"
    if sizes and max(sizes.values()) > limit // 4:
        name = max(sizes, key=lambda key: sizes[key])
        shape = "×".join(map(str, graph.parameters[name].shape))
        message += f" (`{name}` alone, {shape}, {size_of(sizes[name])})"
    raise MemoryLimitError(f"{message}; the limit is {size_of(limit)}. {_RAISE_IT}")


def check_training_memory(graph: Graph, batch: int, dtype: str, limit: int | None = None) -> None:
    """Refuses, before anything is allocated, a training that exceeds the limit."""
    limit = memory_limit() if limit is None else limit
    needed = summarize(graph, batch, "float64" if dtype == "float64" else "float32").totals.training_bytes
    if needed > limit:
        raise MemoryLimitError(
            f"training `{graph.name}` with a batch of {batch} takes {size_of(needed)} for weights, gradients, "
            f"optimizer and saved activations; the limit is {size_of(limit)}. {_RAISE_IT}"
        )


_RAISE_IT = f"Raise it with --memory-limit or {MEMORY_VARIABLE}, or make the network, its input or the batch smaller"


def memory_limit() -> int:
    """The limit in bytes: the environment's, or 2 GiB."""
    text = os.environ.get(MEMORY_VARIABLE)
    return MEMORY_LIMIT if text is None else parse_size(text)
