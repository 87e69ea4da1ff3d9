"""Targets: the classes or numbers of a dataset, checked against the network and its loss."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.inputs import finite
from cnnspec.errors import DataError
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.wording import format_shape


def are_classes(spec: Spec) -> bool:
    """Return whether the loss of the spec takes classes, not numbers."""
    return (spec.train or Train()).loss.targets == "classes"


def checked(y: Array, name: str, spec: Spec) -> Array:
    """Return targets as int64 [n] or float [n, ...]; raise DataError where they do not fit the loss and the output."""
    return _classes(y, name, spec) if are_classes(spec) else _numbers(y, name, spec)


def compare_classes(name: str, classes: tuple[str, ...], spec: Spec) -> tuple[str, ...]:
    """Return notes on class names that differ from the network's; raise DataError where their number differs."""
    if not are_classes(spec) or not classes:
        return ()
    outputs = _outputs(spec)
    if len(classes) != outputs:
        raise DataError(
            f"`{name}` has {len(classes)} classes, and `{spec.name}` has {outputs} outputs: "
            f"end it with `dense: {len(classes)}`, or whatever makes as many outputs"
        )
    notes = []
    for i, (theirs, ours) in enumerate(zip(classes, spec.classes, strict=False)):
        if not _alike(theirs, ours):
            notes.append(f"class {i} of `{name}` is `{theirs}`, and `{spec.name}` calls its output {i} `{ours}`")
            break
    return tuple(notes)


def _alike(one: str, other: str) -> bool:
    """Return whether two names agree but for case, or one abbreviates the other (`t-shirt`, `T-shirt/top`)."""
    one, other = one.casefold(), other.casefold()
    return one.startswith(other) or other.startswith(one)


def _outputs(spec: Spec) -> int:
    shape = spec.graph.output.shape
    if len(shape) != 1:
        raise DataError(
            f"`{spec.name}` has the output {format_shape(shape)}, and cross-entropy takes one number for each class: "
            "end it with `flatten` and a `dense`, or use `loss: mean_squared_error`"
        )
    return shape[0]


def _classes(y: Array, name: str, spec: Spec) -> Array:
    outputs = _outputs(spec)
    if y.dtype.kind not in "iub" or y.ndim != 1:
        remedy = "save class indices as integers"
        if y.ndim == 2 and y.shape[1] == outputs:
            remedy = "for classes in one-hot form, save y.argmax(axis=1)"
        raise DataError(
            f"`{name}` has {y.dtype} targets {list(y.shape)}, and cross-entropy takes a class for each sample: "
            f"{remedy}, or use `loss: mean_squared_error`"
        )
    wrong = np.flatnonzero((y < 0) | (y >= outputs))
    if len(wrong):
        raise DataError(
            f"`{name}` has {len(wrong):,} labels that are none of the {outputs} classes of `{spec.name}` "
            f"(0 to {outputs - 1}); the first is {y[wrong[0]]}, of sample {wrong[0]:,}"
        )
    return y.astype(np.int64)


def _numbers(y: Array, name: str, spec: Spec) -> Array:
    shape = spec.graph.output.shape
    if y.ndim == 1 and y.dtype.kind in "iub":
        raise DataError(
            f"`{name}` has classes as targets ({y.dtype}), and mean squared error compares numbers: "
            "use `loss: cross_entropy`, or save them as floating-point numbers"
        )
    if y.ndim == 1 and shape == (1,):
        y = y[:, None]
    if y.shape[1:] != shape:
        raise DataError(
            f"`{name}` has targets of {list(y.shape[1:])}, and `{spec.name}` has the output {list(shape)}; "
            "mean squared error compares them number by number"
        )
    return finite(y.astype(np.float64), f"{name}, targets")
