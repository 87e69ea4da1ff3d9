"""Blocks whose values are not kept for the backward pass, but computed a second time then (Chen et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from cnnspec.graph.recomputation import recomputed_ranges
from cnnspec.layers import Layer
from cnnspec_torch.layer import LayerModule

Values = dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """A node of the plan: the path of its module, the nodes that it reads, and those that nothing reads afterwards."""

    name: str
    path: tuple[str, ...]
    reads: tuple[str, ...]
    released: tuple[str, ...]


@dataclass(frozen=True)
class Segment:
    """Consecutive steps whose values are computed a second time."""

    steps: tuple[Step, ...]
    reads: tuple[str, ...]
    """The values from before that they read."""
    keeps: tuple[str, ...]
    """The values of theirs that are read behind them."""


def divided(steps: Sequence[Step], outputs: Sequence[str], blocks: Sequence[str]) -> list[Step | Segment]:
    """Return the steps with those of each block as a segment; raise BackendError for a name that is no block."""
    found: list[Step | Segment] = []
    start = 0
    for first, end in recomputed_ranges([step.name for step in steps], blocks):
        found += steps[start:first]
        inside = steps[first:end]
        names = {step.name for step in inside}
        reads = dict.fromkeys(key for step in inside for key in step.reads if key not in names)
        later = {key for step in steps[end:] for key in step.reads} | set(outputs)
        found.append(Segment(tuple(inside), tuple(reads), tuple(step.name for step in inside if step.name in later)))
        start = end
    return found + list(steps[start:])


def run(
    segment: Segment, values: Values, compute: Callable[[Values], None], layers: Sequence[LayerModule[Layer]]
) -> Values:
    """Return the values that a segment keeps; `compute` fills in the values of its steps, as often as it is called."""

    def computed(*tensors: Tensor) -> tuple[Tensor, ...]:
        inside = dict(zip(segment.reads, tensors, strict=True))
        compute(inside)
        return tuple(inside[name] for name in segment.keeps)

    tensors = [values[name] for name in segment.reads]
    kept = checkpoint(
        computed,
        *tensors,
        use_reentrant=False,
        preserve_rng_state=False,  # the masks of dropout are given
        context_fn=lambda: (nullcontext(), _recomputing(layers)),
    )
    return dict(zip(segment.keeps, kept, strict=True))


@contextmanager
def _recomputing(layers: Sequence[LayerModule[Layer]]) -> Iterator[None]:
    """Let the layers keep their running statistics inside, which the first computation has updated."""
    for layer in layers:
        layer.recomputing = True
    try:
        yield
    finally:
        for layer in layers:
            layer.recomputing = False
