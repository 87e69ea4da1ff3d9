"""Blocks whose values are not kept for the backward pass, but computed a second time then (Chen et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from cnnspec.errors import BackendError
from cnnspec.layers import Layer
from cnnspec.wording import nearest
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
    for first, end in _ranges(steps, blocks):
        found += steps[start:first]
        inside = steps[first:end]
        names = {step.name for step in inside}
        reads = dict.fromkeys(key for step in inside for key in step.reads if key not in names)
        later = {key for step in steps[end:] for key in step.reads} | set(outputs)
        found.append(Segment(tuple(inside), tuple(reads), tuple(step.name for step in inside if step.name in later)))
        start = end
    return found + list(steps[start:])


def _ranges(steps: Sequence[Step], blocks: Sequence[str]) -> list[tuple[int, int]]:
    """Return where the steps of each matching block begin and end, in order; blocks inside of others are left out."""
    known = dict.fromkeys(".".join(step.path[:i]) for step in steps for i in range(1, len(step.path)))
    chosen: list[str] = []
    for pattern in blocks:
        matching = [name for name in known if fnmatchcase(name, pattern)]
        if not matching:
            near = nearest(pattern, known)
            hint = f"did you mean `{near}`?" if near else f"it has {', '.join(list(known)[:10]) or 'none'}"
            raise BackendError(f"the network has no named block `{pattern}` to recompute: {hint}")
        chosen += matching
    outermost = [name for name in dict.fromkeys(chosen) if not any(name.startswith(f"{other}.") for other in chosen)]
    found = []
    for name in outermost:
        at = [i for i, step in enumerate(steps) if step.name.startswith(f"{name}.")]
        if at[-1] - at[0] + 1 != len(at):
            raise BackendError(f"the layers of `{name}` do not follow each other, so that it cannot be recomputed")
        found.append((at[0], at[-1] + 1))
    return sorted(found)


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
