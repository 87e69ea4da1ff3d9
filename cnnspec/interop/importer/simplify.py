"""Layers that together are another layer, put in its place; each rule is exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cnnspec.interop.importer.attention import attention, same_layers, within_positions
from cnnspec.interop.importer.draft import Draft, Step
from cnnspec.interop.importer.operations import padding
from cnnspec.layers import Layer
from cnnspec.layers.activation import HardSigmoid, HardSwish, Mish, Silu
from cnnspec.layers.axes import along_axes, padding_along, short_form
from cnnspec.layers.pool import AdaptiveAvgPool, GlobalAvgPool, GlobalMaxPool


def simplified(draft: Draft) -> Draft:
    """Apply the rules, and drop layers that nothing reads."""
    _drop_unread(draft)
    for rule in RULES:
        for name in list(draft.steps):
            if name in draft.steps and draft.steps[name].inputs:
                rule(draft, draft.steps[name])
        _drop_unread(draft)
    return draft


def _drop_unread(draft: Draft) -> None:
    readers = draft.readers()
    for name in reversed(list(draft.steps)):
        if not readers[name] and draft.steps[name].inputs:
            readers.subtract(draft.steps.pop(name).inputs)


def _flattened_pool(draft: Draft, step: Step) -> None:
    """adaptive_avg_pool: 1 and flatten are global_avg_pool: both are the mean of each channel."""
    before = draft.steps[step.inputs[0]]
    pools: dict[str, Layer] = {"adaptive_avg_pool": GlobalAvgPool(), "adaptive_max_pool": GlobalMaxPool()}
    if step.layer.kind != "flatten" or before.layer.kind not in pools or draft.readers()[before.name] > 1:
        return
    if getattr(before.layer, "size", None) in (1, (1, 1), (1, 1, 1)):
        step.layer, step.inputs = pools[before.layer.kind], before.inputs
        del draft.steps[before.name]


def _pools(draft: Draft, step: Step) -> None:
    """The means of windows along one axis, and then along another, are those of the windows along both."""
    before = draft.steps[step.inputs[0]]
    if {step.layer.kind, before.layer.kind} != {"adaptive_avg_pool"} or draft.readers()[before.name] > 1:
        return
    first, between, last = (draft.shapes[name][1:] for name in (before.inputs[0], before.name, step.name))
    if all(a == b or b == c for a, b, c in zip(first, between, last, strict=True)):
        step.layer, step.inputs = AdaptiveAvgPool(size=short_form(last)), before.inputs
        del draft.steps[before.name]


def _bias(draft: Draft, step: Step) -> None:
    """A shift of each channel behind a layer without bias is its bias."""
    before = draft.steps[step.inputs[0]]
    if step.layer.kind != "shift" or "bias" not in step.arrays or not before.layer.folds_affine:
        return
    if draft.readers()[before.name] > 1 or "bias" in before.arrays or before.arrays["weight"] in draft.shared():
        return
    before.layer = before.layer.model_copy(update={"bias": True})
    before.arrays["bias"] = step.arrays["bias"]
    draft.replace(step.name, before.name)


def _padded(draft: Draft, step: Step) -> None:
    """A border before a convolution without padding is its padding, if it is of zeros or copies numbers."""
    before = draft.steps[step.inputs[0]]
    layer: Any = step.layer
    border: Any = before.layer
    if layer.kind != "conv" or border.kind != "pad" or layer.padding != "valid" or draft.readers()[before.name] > 1:
        return
    if border.mode == "constant" and border.value != 0:
        return
    rank = draft.arrays[step.arrays["weight"]].ndim - 2
    pads = [pad for pad in padding_along(border.padding, rank) if not isinstance(pad, str)]
    kernel, dilation = along_axes(layer.kernel, rank, "kernel"), along_axes(layer.dilation, rank, "dilation")
    mode = "zeros" if border.mode == "constant" else border.mode
    step.layer = layer.model_copy(update={"padding": padding(pads, kernel, dilation), "padding_mode": mode})
    step.inputs = before.inputs
    del draft.steps[before.name]


def _nested_concat(draft: Draft, step: Step) -> None:
    """A concatenation that begins with all the inputs of an earlier one begins with that one."""
    if step.layer.kind != "concat":
        return
    best: Step | None = None
    parts, most = _parts(draft, step), 1
    for other in draft.steps.values():
        if other is step:
            break
        if other.layer == step.layer:
            found = _parts(draft, other)
            if most < len(found) < len(parts) and parts[: len(found)] == found:
                best, most = other, len(found)
    if best is not None:
        step.inputs = [best.name, *parts[most:]]
        step.branches = step.branches[: len(step.inputs)]


def _parts(draft: Draft, concat: Step) -> list[str]:
    """Return what a concatenation consists of, where it begins with another one the parts of that, too."""
    found, step = concat.inputs, draft.steps[concat.inputs[0]]
    while step.layer == concat.layer:
        found, step = step.inputs + found[1:], draft.steps[step.inputs[0]]
    return found


def _positions(draft: Draft, step: Step) -> None:
    """Two position embeddings, one after the other, are one: x + a + b is x + (a + b), but for rounding."""
    before = draft.steps[step.inputs[0]]
    if step.layer.kind != "position_embedding" or before.layer.kind != "position_embedding":
        return
    if draft.readers()[before.name] > 1 or {before.arrays["weight"], step.arrays["weight"]} & draft.shared():
        return
    first, second = (draft.arrays[part.arrays["weight"]] for part in (before, step))
    total = draft.arrays[step.arrays["weight"]] = first + second
    draft.paths.add(total, draft.paths.of(second))
    step.inputs = before.inputs
    del draft.steps[before.name]


# Activations that are written as several operations


def _gated(draft: Draft, step: Step) -> None:
    """x · sigmoid(x) is silu, x · tanh(softplus(x)) mish, x · hard_sigmoid(x) hard_swish."""
    if step.layer.kind != "multiply" or len(step.inputs) != 2:
        return
    for x, gate in (step.inputs, step.inputs[::-1]):
        found = draft.steps[gate]
        chain = [found]
        while chain[-1].inputs and chain[-1].inputs[0] != x and len(chain[-1].inputs) == 1 and len(chain) < 5:
            chain.append(draft.steps[chain[-1].inputs[0]])
        if chain[-1].inputs != [x]:
            continue
        kinds = tuple(part.layer.kind for part in reversed(chain))
        layer = _of_gate(kinds, [part.layer for part in reversed(chain)])
        if layer is not None:
            step.layer, step.inputs, step.branches = layer, [x], ()
            return


def _of_gate(kinds: tuple[str, ...], layers: list[Any]) -> Layer | None:
    if kinds == ("sigmoid",):
        return Silu()
    if kinds == ("softplus", "tanh") and layers[0].beta == 1:
        return Mish()
    if kinds == ("hard_sigmoid",) and (layers[0].slope, layers[0].offset) == (1 / 6, 0.5):
        return HardSwish()
    return None


def _hard_sigmoid(draft: Draft, step: Step) -> None:
    """min(max(x + 3, 0), 6) / 6 is hard_sigmoid, and x · min(max(x + 3, 0), 6) / 6 hard_swish."""
    layer: Any = step.layer
    if layer.kind != "scale" or layer.learn or not math.isclose(layer.value, 1 / 6, rel_tol=1e-6):
        return
    before = draft.steps[step.inputs[0]]
    if (x := _clipped_shift(draft, before)) is not None:
        step.layer, step.inputs = HardSigmoid(), [x]
    elif before.layer.kind == "multiply" and len(before.inputs) == 2:
        for x, gate in (before.inputs, before.inputs[::-1]):
            if _clipped_shift(draft, draft.steps[gate]) == x:
                step.layer, step.inputs = HardSwish(), [x]
                return


def _clipped_shift(draft: Draft, step: Step) -> str | None:
    """Return x of min(max(x + 3, 0), 6); None for other layers."""
    if step.layer.kind != "relu6":
        return None
    shift = draft.steps[step.inputs[0]]
    layer: Any = shift.layer
    return shift.inputs[0] if layer.kind == "shift" and not layer.learn and layer.value == 3 else None


Rule = Callable[[Draft, Step], None]
RULES: tuple[Rule, ...] = (
    same_layers,
    _pools,
    _flattened_pool,
    _bias,
    _padded,
    attention,
    within_positions,
    _hard_sigmoid,
    _gated,
    _nested_concat,
    _positions,
)
"""The rules in the order in which they are applied."""
