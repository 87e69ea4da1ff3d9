"""Self-attention that arrives as its products, as one layer.

softmax(q · kᵀ · factor) · v between projections of one input is found by its ends: a projection that reads, through
layers that only move numbers, the product of a softmax. Which row of which projection each number of q, k and v comes
from, whatever the layout of the heads, is read from the indices of the numbers, moved as the layers move them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.build import GraphBuilder
from cnnspec.interop.importer.draft import Draft, Step
from cnnspec.layers import Layer, Shape
from cnnspec.layers.attention import Attention
from cnnspec.layers.geometry import axes_of
from cnnspec.layers.rearrange import Reshape
from cnnspec.runtime.build import build

_MOVES = frozenset(("reshape", "flatten", "permute", "slice", "channel_shuffle", "depth_to_space", "space_to_depth"))
"""Layers that move numbers and change none."""


class _Moved(NamedTuple):
    """A tensor that another one was moved to: where it comes from, the index there of each number, and its factor."""

    source: Step
    indices: Array
    factor: float


class _Rows(NamedTuple):
    """What each head takes of a projection: rows [h, d], and at which position each of its tokens is, [t]."""

    projection: Step
    rows: Array
    positions: Array


def same_layers(draft: Draft, step: Step) -> None:
    """Two layers without weights that compute the same of the same are one."""
    if step.arrays or step.layer.stochastic or step.name in draft.outputs.values():
        return
    for other in draft.steps.values():
        if other is step:
            return
        if other.inputs == step.inputs and other.layer == step.layer and not other.arrays:
            draft.replace(step.name, other.name)
            return


def attention(draft: Draft, step: Step) -> None:
    """A projection of heads that are joined behind softmax(q · kᵀ / √d) · v is the end of an attention layer."""
    if not _is_projection(draft, step):
        return
    joined = _traced(draft, step.inputs[0])
    if joined is None or joined.factor != 1 or joined.source.layer.kind != "matmul":
        return
    scores, values = joined.source.inputs
    v = _rows(draft, values, transposed=False)
    softmax = draft.steps[scores]
    if v is None or softmax.layer.kind != "softmax" or not _is_over_keys(draft, softmax):
        return
    weighed = _traced(draft, softmax.inputs[0])
    if weighed is None or weighed.source.layer.kind != "matmul" or not _is_as_it_was(weighed):
        return
    q = _rows(draft, weighed.source.inputs[0], transposed=False)
    k = _rows(draft, weighed.source.inputs[1], transposed=True)
    if q is None or k is None:
        return
    factor = weighed.factor * q[1] * k[1] * v[1]
    parts = [q[0], k[0], v[0]]
    heads, size = q[0].rows.shape
    x, channels = parts[0].projection.inputs[0], heads * size
    columns = _columns(draft, joined, q[0].positions)
    if columns is None or columns.size != channels or draft.shapes[step.name][0] != channels:
        return
    if any(part.projection.inputs[0] != x or part.rows.shape != (heads, size) for part in parts):
        return
    if draft.shapes[x][0] != channels or not np.array_equal(k[0].positions, v[0].positions) or v[1] != 1:
        return
    if math.isclose(factor, 1 / math.sqrt(size), rel_tol=1e-5):
        _put(draft, step, x, heads, parts, columns)


def _put(draft: Draft, step: Step, x: str, heads: int, parts: Sequence[_Rows], columns: Array) -> None:
    """Put an attention layer in the place of the last projection."""

    def matrix(part: Step) -> Array:
        weight = draft.arrays[part.arrays["weight"]]
        return weight.reshape(weight.shape[:2])

    arrays = {
        "in_proj_weight": np.concatenate([matrix(part.projection)[part.rows.ravel()] for part in parts]),
        "out_proj.weight": np.ascontiguousarray(matrix(step)[:, columns]),
    }
    biases = [
        draft.arrays[part.projection.arrays["bias"]][part.rows.ravel()] if "bias" in part.projection.arrays else None
        for part in parts
    ]
    has_bias = any(bias is not None for bias in biases)
    if has_bias:
        zeros = np.zeros(columns.size, arrays["in_proj_weight"].dtype)
        arrays["in_proj_bias"] = np.concatenate([zeros if bias is None else bias for bias in biases])
    if "bias" in step.arrays:
        arrays["out_proj.bias"] = draft.arrays[step.arrays["bias"]]
    sources = {
        "in_proj_weight": parts[0].projection.arrays["weight"],
        "in_proj_bias": next((p.projection.arrays["bias"] for p in parts if "bias" in p.projection.arrays), ""),
        "out_proj.weight": step.arrays["weight"],
        "out_proj.bias": step.arrays.get("bias", ""),
    }
    for key, array in arrays.items():
        draft.paths.add(array, draft.paths.of(draft.arrays[sources[key]]))
    named = {key: f"{step.name}.{key}" for key in arrays}
    draft.arrays |= {named[key]: array for key, array in arrays.items()}
    adds = "bias" in step.arrays
    layer: Layer = Attention(heads=heads, bias=has_bias, output_bias=None if adds == has_bias else adds)
    shape = draft.shapes[x]
    if shape == draft.shapes[step.name]:
        step.layer, step.inputs, step.arrays = layer, [x], named
        return
    before = Step(f"{step.name}.attention", layer, [x], named, ())
    draft.insert(before, step.name, shape)
    step.layer, step.inputs, step.arrays = Reshape(shape=draft.shapes[step.name]), [before.name], {}


# Where numbers come from


def _traced(draft: Draft, name: str) -> _Moved | None:
    """Return where the numbers of a tensor come from, through layers that move them or multiply all by one number."""
    chain: list[Step] = []
    factor, step = 1.0, draft.steps[name]
    while step.layer.kind in _MOVES or _factor(step) is not None:
        if not step.inputs:
            return None
        factor *= _factor(step) or 1.0
        chain.insert(0, step)
        step = draft.steps[step.inputs[0]]
    shape = draft.shapes[step.name]
    indices = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    moves = [part.layer for part in chain if part.layer.kind in _MOVES]
    return _Moved(step, _moved(indices, moves).astype(np.int64), factor)


def _factor(step: Step) -> float | None:
    layer: Any = step.layer
    return float(layer.value) if layer.kind == "scale" and not layer.learn else None


def _moved(array: Array, moves: Sequence[Layer]) -> Array:
    """Return an array moved as layers move it."""
    if not moves:
        return array
    builder = GraphBuilder("moves")
    name = builder.input(array.shape).name
    for i, layer in enumerate(moves):
        name = builder.add(f"move{i}", layer, [name]).name
    model = build(builder.graph(), weights={}, dtype="float64", numerics="strict")
    (found,) = model.run({model.graph.inputs[0]: array[None]}).values()
    moved: Array = found[0]
    return moved


def _is_as_it_was(moved: _Moved) -> bool:
    return np.array_equal(moved.indices.ravel(), np.arange(moved.indices.size))


def _is_projection(draft: Draft, step: Step) -> bool:
    """Whether a layer is x · Wᵀ + b over the channels, with arrays of its own."""
    layer: Any = step.layer
    if layer.kind != "conv" or set(step.arrays.values()) & draft.shared():
        return False
    weight = draft.arrays[step.arrays["weight"]]
    plain = weight.shape[2:] == (1,) * (weight.ndim - 2) and layer.groups == 1
    return plain and draft.shapes[step.name][1:] == draft.shapes[step.inputs[0]][1:]


def _is_over_keys(draft: Draft, softmax: Step) -> bool:
    layer: Any = softmax.layer
    return bool(layer.axis == axes_of(draft.shapes[softmax.name])[-1])


def _rows(draft: Draft, name: str, transposed: bool) -> tuple[_Rows, float] | None:
    """Return the rows of a projection that a tensor [h, t, d] (or [h, d, t]) consists of, and its factor."""
    moved = _traced(draft, name)
    if moved is None or moved.indices.ndim not in (2, 3) or not _is_projection(draft, moved.source):
        return None
    indices = moved.indices if moved.indices.ndim == 3 else moved.indices[None]
    indices = indices.swapaxes(1, 2) if transposed else indices
    tokens = math.prod(draft.shapes[moved.source.name][1:])
    rows, positions = np.divmod(indices, tokens)
    if (rows != rows[:, :1]).any() or (positions != positions[:1, :, :1]).any():
        return None
    found = positions[0, :, 0]
    if not np.array_equal(np.sort(found), np.arange(tokens)):
        return None
    return _Rows(moved.source, rows[:, 0], found), moved.factor


def _columns(draft: Draft, joined: _Moved, positions: Array) -> Array | None:
    """Return which input of the last projection each number (h, d) of the heads is, [h·d]."""
    shape: Shape = draft.shapes[joined.source.name]
    heads, tokens, size = shape if len(shape) == 3 else (1, *shape)
    indices = joined.indices.reshape(joined.indices.shape[0], -1)
    h, rest = np.divmod(indices, tokens * size)
    t, i = np.divmod(rest, size)
    place = h * size + i
    if indices.shape != (heads * size, tokens) or (place != place[:, :1]).any():
        return None
    if (positions[t] != np.arange(tokens)).any():
        return None
    return np.argsort(place[:, 0])


def within_positions(draft: Draft, step: Step) -> None:
    """An attention between a reshape of the positions and one back is over the positions as they are."""
    if step.layer.kind != "reshape":
        return
    inner = draft.steps[step.inputs[0]]
    if inner.layer.kind != "attention" or draft.readers()[inner.name] > 1:
        return
    before = draft.steps[inner.inputs[0]]
    if before.layer.kind != "reshape":
        return
    x = before.inputs[0]
    if draft.shapes[x] == draft.shapes[step.name] and draft.shapes[x][0] == draft.shapes[inner.name][0]:
        step.layer, step.inputs, step.arrays = inner.layer, [x], inner.arrays
        del draft.steps[inner.name]
