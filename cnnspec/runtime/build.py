"""From a spec to a model that computes: the backend, the weights, and the memory that it may take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.arrays import Array, Arrays
from cnnspec.diagnostics import Source
from cnnspec.errors import BackendError
from cnnspec.graph import finetuning
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.language.load import graph_of, spec_of
from cnnspec.runtime import backend as backends
from cnnspec.runtime.backend import Backend, ModuleBackend
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.model import Model
from cnnspec.runtime.options import Execution
from cnnspec.weights import files as weight_files
from cnnspec.weights import match
from cnnspec.weights.initial import initial

if TYPE_CHECKING:
    import torch

Weights = str | Path | Mapping[str, Array] | None
"""A file, bundled weights by name, `hf://owner/name/file`, arrays by name, or None to draw them from the seed."""


def build(
    spec: str | Path | Source | Spec | Graph,
    backend: str = Execution.backend,
    weights: Weights = None,
    seed: int = Execution.seed,
    device: str = Execution.device,
    dtype: str = Execution.dtype,
    memory_limit: int | None = Execution.memory_limit,
    **options: Any,
) -> Model:
    """Return a model of a spec or a graph on a backend.

    `weights` is a file, the name of bundled weights, `hf://owner/name/file`, or a mapping of `<layer>.<parameter>` to
    arrays; without it they are drawn from the seed, the same for every backend. `memory_limit` is in bytes (2 GiB
    unless the environment variable CNNSPEC_MEMORY_LIMIT is set). Raises SpecError, BackendError, WeightsError or
    MemoryLimitError.
    """
    return prepare(spec, Execution(backend, device, dtype, seed, memory_limit, options), weights)


def prepare(spec: str | Path | Source | Spec | Graph, execution: Execution, weights: Weights = None) -> Model:
    """Return a model as `build` does, with the options of the backend in one object.

    Layers that the spec's `train:` freezes are frozen in the graph of the model.
    """
    spec = spec if isinstance(spec, Graph) else spec_of(spec)
    train = spec.train if isinstance(spec, Spec) else None
    graph = graph_of(spec) if train is None else finetuning.frozen(graph_of(spec), train)
    backend = backend_for(execution)
    check_memory(graph, 1, backend.dtypes()[execution.dtype], execution.memory_limit)
    arrays = weights_of(graph, weights, execution.seed)
    model = backend.prepare(graph, arrays, device=execution.device, dtype=execution.dtype, **execution.options)
    if train is not None:
        model.defaults = train
    return model


def backend_for(execution: Execution) -> Backend:
    """Return the backend; raise BackendError where it lacks the data type or one of the options."""
    name = execution.backend
    backend = backends.find(name)
    if execution.dtype not in backend.dtypes():
        raise BackendError(f"the backend {name} has no dtype `{execution.dtype}`: it has {', '.join(backend.dtypes())}")
    if unknown := [option for option in execution.options if option not in backend.options]:
        known = f"it has {', '.join(backend.options)}" if backend.options else "it has none"
        raise BackendError(f"the backend {name} has no option `{unknown[0]}`; {known}")
    return backend


def itemsize(execution: Execution) -> int:
    """Return the bytes of a number of the execution's data type; raise BackendError where the backend lacks it."""
    return backend_for(execution).dtypes()[execution.dtype]


def to_torch(
    spec: str | Path | Source | Spec | Graph, weights: Weights = None, seed: int = Execution.seed
) -> torch.nn.Module:
    """Return the network as a torch.nn.Module on the CPU, whose state_dict has the spec's weight names."""
    graph = graph_of(spec)
    backend = backends.find("torch")
    assert isinstance(backend, ModuleBackend)
    module: torch.nn.Module = backend.to_module(graph, weights_of(graph, weights, seed))
    return module


def weights_of(graph: Graph, weights: Weights, seed: int) -> Arrays:
    """Return every array of the graph: from a file, from bundled weights, from a mapping, or drawn from the seed."""
    if weights is None:
        return initial(graph, seed)
    arrays, origin = read(weights)
    return match.checked(graph, arrays, origin)


def read(weights: str | Path | Mapping[str, Array]) -> tuple[Mapping[str, Array], str]:
    """Return the arrays of a file, of bundled weights or of a mapping, and what messages call them."""
    if isinstance(weights, Mapping):
        return weights, "the given weights"
    return weight_files.read(weight_files.find(weights), called=weights), str(weights)
