"""The memory limit, checked before anything is allocated."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from cnnspec.errors import MemoryLimitError
from cnnspec.graph.budgets import largest_batch
from cnnspec.graph.costs import inference_bytes, peak_activation_bytes
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Train
from cnnspec.graph.training_memory import TrainingMemory, training_memory
from cnnspec.sizes import parse_size, size_of

MEMORY_LIMIT = 2 * 2**30
MEMORY_VARIABLE = "CNNSPEC_MEMORY_LIMIT"
ROOM = 0.9
"""The fraction of a device's memory that may be needed of what is said to fit."""


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
    graph: Graph, train: Train, itemsize: int, limit: int | None = None, recompute: Sequence[str] = ()
) -> None:
    """Raise MemoryLimitError, before anything is allocated, where training takes more bytes than the limit.

    The figure is that of the Torch backend on a GPU (`graph.training_memory`) for every backend and device: NumPy, too,
    which keeps other values for its backward pass. `graph` has its frozen layers marked, `itemsize` is the bytes of a
    number in the format of the run, and `recompute` names blocks that are computed twice.
    """
    limit = memory_limit() if limit is None else limit
    memory = training_memory(graph, itemsize, train, recompute)
    if memory.bytes(train.batch) > limit:
        raise MemoryLimitError(f"{_training(graph, memory, train.batch)}; the limit is {size_of(limit)}. {_RAISE_IT}")


def out_of_memory(
    graph: Graph,
    batch: int,
    itemsize: int,
    train: Train | None,
    free: int,
    total: int,
    recompute: Sequence[str] = (),
) -> MemoryLimitError:
    """Return the error for a device whose memory was not enough: what was needed, what there is, and what would fit.

    `batch` samples were computed at once: in training with the settings `train`, at inference where that is None. Of
    the `total` bytes of the device, this process can have `free`, with what it holds already. What is said to fit takes
    at most 90 % of these: kernels need memory to work in.
    """
    room = int(ROOM * free)
    if train is None:
        needed = _inference(graph, batch, itemsize)
        found = list(_smaller_batches(graph, batch, itemsize, room))
    else:
        needed = _training(graph, training_memory(graph, itemsize, train, recompute), batch)
        found = list(_less_training(graph, batch, itemsize, train, room, recompute))
    has = f"of the {size_of(total)} of the device, this process can have {size_of(free)}"
    fits = f"What fits: {', or '.join(found)}" if found else "Make the network or its input smaller: no batch fits"
    return MemoryLimitError(f"out of memory: {needed}; {has}. {fits}")


def _inference(graph: Graph, batch: int, itemsize: int) -> str:
    weights = itemsize * sum(p.size for p in graph.parameters.values())
    activations = peak_activation_bytes(graph, batch, itemsize)
    parts = f"{size_of(weights)} of weights and {size_of(activations)} of activations"
    return f"`{graph.name}` with a batch of {batch} takes {size_of(weights + activations)}: {parts}"


def _training(graph: Graph, memory: TrainingMemory, batch: int) -> str:
    needed = memory.bytes(batch)
    parts = f"{size_of(memory.weights)} of weights and optimizer state, and {size_of(needed - memory.weights)} of"
    return f"training `{graph.name}` with a batch of {batch} takes {size_of(needed)}: {parts} gradients and activations"


def _smaller_batches(graph: Graph, batch: int, itemsize: int, room: int) -> Iterator[str]:
    """Yield the largest batch of inference that fits and is smaller, as flags with what it takes."""

    def needed(n: int) -> int:
        return inference_bytes(graph, n, itemsize)

    if smaller := min(largest_batch(needed, room), batch - 1):
        yield f"`--batch {smaller}` ({size_of(needed(smaller))})"


def _less_training(
    graph: Graph, batch: int, itemsize: int, train: Train, room: int, recompute: Sequence[str]
) -> Iterator[str]:
    """Yield the settings and options with which a step of training fits, as flags with what it takes."""
    in_parts = training_memory(graph, itemsize, train.model_copy(update={"accumulate": 2}), recompute)
    if largest := min(largest_batch(in_parts.bytes, room), batch - 1):
        parts = -(-batch // largest)
        part = -(-batch // parts)
        flags = f"`--batch {part} --setting accumulate={parts * train.accumulate}`"
        yield f"{flags} ({size_of(in_parts.bytes(part))}; the batch in {parts} parts)"
    others = {"--dtype bfloat16": (2, recompute), '--option "recompute=*"': (itemsize, ("*",))}
    present = training_memory(graph, itemsize, train, recompute).bytes(batch)
    for flag, (width, blocks) in others.items():
        if blocks and not any("." in node.name for node in graph.nodes):
            continue
        needed = training_memory(graph, width, train, blocks).bytes(batch)
        if needed < present and needed <= room:
            yield f"`{flag}` ({size_of(needed)})"


_RAISE_IT = f"Raise it with --memory-limit or {MEMORY_VARIABLE}, or make the network, its input or the batch smaller"


def memory_limit() -> int:
    """Return the limit in bytes: that of the environment, or 2 GiB."""
    text = os.environ.get(MEMORY_VARIABLE)
    return MEMORY_LIMIT if text is None else parse_size(text)
