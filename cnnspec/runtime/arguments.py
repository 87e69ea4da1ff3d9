"""The arrays that a model is called with, checked against the graph and converted to its data type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnspec.arrays import Array, Arrays, Pixels, Samples
from cnnspec.errors import BackendError, InputError
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Loss
from cnnspec.layers import Shape


def checked_inputs(
    graph: Graph, inputs: Mapping[str, npt.ArrayLike], dtype: npt.DTypeLike, least: int = 1, *, pixels: bool = False
) -> dict[str, Any]:
    """Return a batch of every input; raise InputError where one is missing or does not fit.

    They are arrays of the data type; with `pixels`, `Pixels` stay what they are.
    """
    if inputs.keys() != set(graph.inputs):
        wanted, given = ", ".join(graph.inputs), ", ".join(inputs) or "none"
        raise InputError(f"the network has the inputs {wanted}, and is given {given}")
    found = {
        name: _checked_input(inputs[name], graph.by_name[name].shape, dtype, least, pixels) for name in graph.inputs
    }
    if len(sizes := {len(x) for x in found.values()}) > 1:
        raise InputError(f"the inputs have batches of different sizes: {', '.join(map(str, sorted(sizes)))}")
    return found


def _checked_input(x: npt.ArrayLike, expected: Shape, dtype: npt.DTypeLike, least: int, pixels: bool) -> Samples:
    raw = x if pixels and isinstance(x, Pixels) else np.asarray(x)
    if raw.shape[1:] != expected or raw.ndim != len(expected) + 1:
        wanted = ", ".join(["n", *map(str, expected)])
        hint = f"; for one sample, x[None] has {[1, *raw.shape]}" if raw.shape == expected else ""
        raise InputError(f"the input has the shape {list(raw.shape)}, and the network takes [{wanted}]{hint}")
    if raw.dtype.kind not in "biuf":
        raise InputError(f"the input holds {raw.dtype}, and the network takes numbers")
    if len(raw) < least:
        raise InputError("the input is an empty batch")
    if isinstance(raw, Pixels):
        return Pixels(np.ascontiguousarray(raw.values), raw.levels)
    return np.ascontiguousarray(raw, dtype)


def checked_targets(graph: Graph, losses: Mapping[str, Loss], target: Any, n: int, dtype: npt.DTypeLike) -> Arrays:
    """Return the targets of the outputs that are trained, by node; raise InputError where they do not fit.

    `losses` are those of outputs by name. A target is class indices [n, ...], probabilities of the classes in their
    place, or numbers [n, ...], as the loss takes them; one array is the target of each output.
    """
    nodes = graph.output_nodes
    targets = target if isinstance(target, Mapping) else dict.fromkeys(losses, target)
    if targets.keys() != losses.keys():
        raise InputError(f"targets are given for {', '.join(targets)}, and needed for {', '.join(losses)}")
    return {
        nodes[name].name: _checked_target(np.asarray(targets[name]), loss, nodes[name].shape, n, dtype)
        for name, loss in losses.items()
    }


def _checked_target(target: Array, loss: Loss, shape: Shape, n: int, dtype: npt.DTypeLike) -> Array:
    probabilities = target.dtype.kind == "f" and target.shape == (n, *shape)
    if loss.targets != "classes" or probabilities:
        if target.shape != (n, *shape):
            raise InputError(f"the target has the shape {list(target.shape)}, and the output {[n, *shape]}")
        return target.astype(dtype)
    wanted = (n, *loss.target_shape(shape))
    if target.shape != wanted or target.dtype.kind not in "iu":
        counted = f"{n} class indices" if len(wanted) == 1 else f"class indices {list(wanted)}"
        raise InputError(f"the target is {target.dtype} {list(target.shape)}, not {counted}")
    counts = target if loss.ignored is None else target[target != loss.ignored]
    if counts.size and not 0 <= int(counts.min()) <= int(counts.max()) < loss.classes(shape):
        raise InputError(
            f"the target has classes {counts.min()} to {counts.max()}; the network has {loss.classes(shape)}"
        )
    return target.astype(np.int64)


def check_state(state: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """Raise BackendError, which lists what differs, where arrays have other names or shapes than these."""
    wanted = {name: list(array.shape) for name, array in expected.items()}
    found = {name: list(np.shape(array)) for name, array in state.items()}
    wrong = [name for name in wanted | found if found.get(name) != wanted.get(name)]
    if wrong:
        lines = [
            f"  {name}: found {found.get(name, 'nothing')}, expected {wanted.get(name, 'nothing')}" for name in wrong
        ]
        raise BackendError("the given state is of another optimizer or network:\n" + "\n".join(lines))
