"""Targets: the classes or numbers of a dataset, checked against the network and its losses."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.data.inputs import finite
from cnnspec.errors import DataError
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import MISFIT_REMEDY


def are_classes(spec: Spec) -> bool:
    """Return whether the losses of the spec take classes, not numbers."""
    return all(loss.targets == "classes" for loss in spec.losses.values())


def class_names(spec: Spec) -> tuple[str, ...]:
    """Return the names of the classes of the outputs that are trained, () where these differ or have none."""
    found = {spec.classes_of.get(name, ()) for name in spec.losses}
    return found.pop() if len(found) == 1 else ()


def checked(y: Array | Arrays, name: str, spec: Spec) -> Array | Arrays:
    """Return targets as int64 [n] or float [n, ...]; raise DataError where they do not fit the losses and the outputs.

    One array is the target of every output that is trained.
    """
    if isinstance(y, dict):
        return {output: _checked(y[output], f"{name}[{output}]", spec, output) for output in spec.losses}
    found = [_checked(y, name, spec, output) for output in spec.losses]
    return found[0]


def _checked(y: Array, name: str, spec: Spec, output: str) -> Array:
    classifies = spec.losses[output].targets == "classes"
    return _classes(y, name, spec, output) if classifies else _numbers(y, name, spec, output)


def compare_classes(name: str, classes: tuple[str, ...], spec: Spec) -> tuple[str, ...]:
    """Return notes on class names that differ from the network's; raise DataError where their number differs."""
    if not are_classes(spec) or not classes:
        return ()
    notes = []
    for output in spec.losses:
        outputs = _outputs(spec, output)
        if len(classes) != outputs:
            raise DataError(
                f"`{name}` has {len(classes)} classes, and {_of(spec, output)} has {outputs} outputs: "
                f"end it with `dense: {len(classes)}`, or whatever makes as many outputs"
            )
        for i, (theirs, ours) in enumerate(zip(classes, spec.classes_of.get(output, ()), strict=False)):
            if not _alike(theirs, ours):
                whole = _of(spec, output)
                notes.append(f"class {i} of `{name}` is `{theirs}`, and {whole} calls its output {i} `{ours}`")
                break
    return tuple(notes)


def _of(spec: Spec, output: str) -> str:
    """Return what has an output, for a message: the network, or one of several outputs of it."""
    return f"`{spec.name}`" if len(spec.graph.outputs) == 1 else f"`{output}` of `{spec.name}`"


def _alike(one: str, other: str) -> bool:
    """Return whether two names agree but for case, or one abbreviates the other (`t-shirt`, `T-shirt/top`)."""
    one, other = one.casefold(), other.casefold()
    return one.startswith(other) or other.startswith(one)


def _outputs(spec: Spec, output: str) -> int:
    """Return the number of classes of an output; raise DataError where it cannot have its loss."""
    shape = spec.graph.output_nodes[output].shape
    if misfit := spec.losses[output].misfit(shape, output if len(spec.graph.outputs) > 1 else ""):
        raise DataError(f"{misfit}: {MISFIT_REMEDY}")
    return shape[0]


def _classes(y: Array, name: str, spec: Spec, output: str) -> Array:
    outputs = _outputs(spec, output)
    wanted = spec.losses[output].target_shape(spec.graph.output_nodes[output].shape)
    if y.dtype.kind not in "iub" or y.shape[1:] != wanted:
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
            f"`{name}` has {len(wrong):,} labels that are none of the {outputs} classes of {_of(spec, output)} "
            f"(0 to {outputs - 1}); the first is {y[wrong[0]]}, of sample {wrong[0]:,}"
        )
    return y.astype(np.int64)


def _numbers(y: Array, name: str, spec: Spec, output: str) -> Array:
    shape = spec.graph.output_nodes[output].shape
    if y.ndim == 1 and y.dtype.kind in "iub":
        raise DataError(
            f"`{name}` has classes as targets ({y.dtype}), and mean squared error compares numbers: "
            "use `loss: cross_entropy`, or save them as floating-point numbers"
        )
    if y.ndim == 1 and shape == (1,):
        y = y[:, None]
    if y.shape[1:] != shape:
        raise DataError(
            f"`{name}` has targets of {list(y.shape[1:])}, and {_of(spec, output)} has the output {list(shape)}; "
            "mean squared error compares them number by number"
        )
    return finite(y.astype(np.float64), f"{name}, targets")
