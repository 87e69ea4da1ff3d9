"""From a spec to a model that computes: the backend, the weights, and the memory that it may take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.arrays import Array, Arrays
from cnnspec.diagnostics import Source
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.language.load import graph_of, spec_of
from cnnspec.runtime import backend as backends
from cnnspec.runtime.backend import Backend
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.model import Model
from cnnspec.weights import files as weight_files
from cnnspec.weights import match
from cnnspec.weights.initial import initial

if TYPE_CHECKING:
    import torch


def build(
    spec: str | Path | Source | Spec | Graph,
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
    spec = spec if isinstance(spec, Graph) else spec_of(spec)
    graph = graph_of(spec)
    engine = engine_for(backend, dtype)
    check_memory(graph, 1, engine.dtypes()[dtype], memory_limit)
    if unknown := [name for name in options if name not in engine.options]:
        known = f"it has {', '.join(engine.options)}" if engine.options else "it has none"
        raise BackendError(f"the backend {backend} has no option `{unknown[0]}`; {known}")
    model = engine.prepare(graph, weights_of(graph, weights, seed), device=device, dtype=dtype, **options)
    if isinstance(spec, Spec) and spec.train is not None:
        model.defaults = spec.train
    return model


def engine_for(backend: str, dtype: str) -> Backend:
    """The backend of that name, if it computes in that number format."""
    engine = backends.find(backend)
    if dtype not in engine.dtypes():
        raise BackendError(f"the backend {backend} has no dtype `{dtype}`: it has {', '.join(engine.dtypes())}")
    return engine


def to_torch(
    spec: str | Path | Source | Spec | Graph, weights: str | Path | Mapping[str, Array] | None = None, seed: int = 0
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
        return match.checked(graph, weights, origin="the given weights")
    return match.checked(graph, weight_files.read(weight_files.find(weights)), origin=str(weights))
