"""The memory limit, checked before anything is allocated."""

from __future__ import annotations

import os

from cnnspec.errors import MemoryLimitError
from cnnspec.graph.costs import peak_activation_bytes, summarize
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Optimizer
from cnnspec.sizes import parse_size, size_of

MEMORY_LIMIT = 2 * 2**30


MEMORY_VARIABLE = "CNNSPEC_MEMORY_LIMIT"


def check_memory(graph: Graph, batch: int, itemsize: int, limit: int | None = None) -> None:
    """Raise MemoryLimitError, before anything is allocated, where weights and activations take more than the limit.

    `itemsize` is the bytes of a number; the limit is in bytes, and defaults to `memory_limit()`.
    """
    limit = memory_limit() if limit is None else limit
    sizes = {name: p.size * itemsize for name, p in graph.parameters.items()}
    weights, activations = sum(sizes.values()), peak_activation_bytes(graph, batch, itemsize)
    if weights + activations <= limit:
        return
    parts = [f"{size_of(weights)} of weights", f"{size_of(activations)} of activations for a batch of {batch}"]
    message = f"`{graph.name}` takes {size_of(weights + activations)}: {' and '.join(parts)}"
    if sizes and max(sizes.values()) > limit // 4:
        name = max(sizes, key=lambda key: sizes[key])
        shape = "×".join(map(str, graph.parameters[name].shape))
        message += f" (`{name}` alone, {shape}, {size_of(sizes[name])})"
    raise MemoryLimitError(f"{message}; the limit is {size_of(limit)}. {_RAISE_IT}")


def check_training_memory(
    graph: Graph, batch: int, itemsize: int, optimizer: Optimizer, limit: int | None = None
) -> None:
    """Raise MemoryLimitError, before anything is allocated, where training takes more bytes than the limit."""
    limit = memory_limit() if limit is None else limit
    needed = summarize(graph, batch, itemsize, optimizer).totals.training_bytes
    if needed > limit:
        raise MemoryLimitError(
            f"training `{graph.name}` with a batch of {batch} takes {size_of(needed)} for weights, gradients, "
            f"optimizer and saved activations; the limit is {size_of(limit)}. {_RAISE_IT}"
        )


_RAISE_IT = f"Raise it with --memory-limit or {MEMORY_VARIABLE}, or make the network, its input or the batch smaller"


def memory_limit() -> int:
    """Return the limit in bytes: that of the environment, or 2 GiB."""
    text = os.environ.get(MEMORY_VARIABLE)
    return MEMORY_LIMIT if text is None else parse_size(text)
