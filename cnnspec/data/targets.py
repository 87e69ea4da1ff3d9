"""Targets: the classes, labels or numbers of a dataset, checked against the network and its losses."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.data.inputs import finite
from cnnspec.errors import DataError
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Loss
from cnnspec.layers import Shape
from cnnspec.wording import format_shape


def are_classes(spec: Spec) -> bool:
    """Return whether the losses of the spec take classes, not labels or numbers."""
    return all(loss.targets == "classes" for loss in spec.losses.values())


def class_names(spec: Spec) -> tuple[str, ...]:
    """Return the names of the classes of the outputs that are trained, () where these differ or have none."""
    found = {spec.classes_of.get(name, ()) for name in spec.losses}
    return found.pop() if len(found) == 1 else ()


def compare_classes(name: str, classes: tuple[str, ...], spec: Spec) -> tuple[str, ...]:
    """Return notes on class names that differ from the network's; raise DataError where their number differs."""
    if not are_classes(spec) or not classes:
        return ()
    notes = []
    for output, loss in spec.losses.items():
        shape = _shape(spec, output)
        if len(classes) != loss.classes(shape):
            layer = f"dense: {len(classes)}" if len(shape) == 1 else f"conv: {{channels: {len(classes)}, kernel: 1}}"
            raise DataError(
                f"`{name}` has {len(classes)} classes, and {_of(spec, output)} has {loss.classes(shape)} outputs: "
                f"end it with `{layer}`, or whatever makes as many outputs"
            )
        for i, (theirs, ours) in enumerate(zip(classes, spec.classes_of.get(output, ()), strict=False)):
            if not _alike(theirs, ours):
                whole = _of(spec, output)
                notes.append(f"class {i} of `{name}` is `{theirs}`, and {whole} calls its output {i} `{ours}`")
                break
    return tuple(notes)


def _alike(one: str, other: str) -> bool:
    """Return whether two names agree but for case, or one abbreviates the other (`t-shirt`, `T-shirt/top`)."""
    one, other = one.casefold(), other.casefold()
    return one.startswith(other) or other.startswith(one)


def checked(y: Array | Arrays, name: str, spec: Spec) -> Array | Arrays:
    """Return the targets of the outputs that are trained; raise DataError where they do not fit losses and outputs.

    Targets are classes (int64 [n], or integers [n, ...] of a map), or labels or numbers in the shape of the output.
    They are given by output, or as one array for every output.
    """
    if isinstance(y, dict):
        return {output: _checked(y[output], f"{name}[{output}]", spec, output) for output in spec.losses}
    found = {output: _checked(y, name, spec, output) for output in spec.losses}
    first, *others = found.values()
    alike = all((other.shape, other.dtype) == (first.shape, first.dtype) for other in others)
    return first if alike else found


def _checked(y: Array, name: str, spec: Spec, output: str) -> Array:
    loss, shape, whole = spec.losses[output], _shape(spec, output), _of(spec, output)
    return CHECKS[loss.targets](y, name, loss, shape, whole)


def _shape(spec: Spec, output: str) -> Shape:
    """Return the shape of an output; raise DataError where it cannot have its loss."""
    shape, loss = spec.graph.output_nodes[output].shape, spec.losses[output]
    if misfit := loss.misfit(shape, output if len(spec.graph.outputs) > 1 else ""):
        raise DataError(f"{misfit}: {loss.remedy(shape)}")
    return shape


def _of(spec: Spec, output: str) -> str:
    """Return what has an output, for a message: the network, or one of several outputs of it."""
    return f"`{spec.name}`" if len(spec.graph.outputs) == 1 else f"`{output}` of `{spec.name}`"


def _classes(y: Array, name: str, loss: Loss, shape: Shape, whole: str) -> Array:
    """Return the class of each sample, or of each position of a map: [n, ...]."""
    wanted = loss.target_shape(shape)
    if y.shape[1:] == (1, *wanted):
        y = y[:, 0]
    if y.dtype.kind not in "iub" or y.shape[1:] != wanted:
        each = f"position of {format_shape(wanted)}" if wanted else "sample"
        raise DataError(
            f"`{name}` has {y.dtype} targets {list(y.shape)}, and {loss.title} takes a class for each {each}: "
            f"{_remedy_for_classes(y, loss, shape)}"
        )
    y = y.astype(np.uint8) if y.dtype.kind == "b" else y
    count = loss.classes(shape)
    wrong = (y < 0) | (y >= count)
    if loss.ignored is not None:
        wrong &= y != loss.ignored
    if wrong.any():
        first = np.unravel_index(int(wrong.argmax()), wrong.shape)
        where = f"sample {first[0]:,}" + (f" at {list(map(int, first[1:]))}" if wanted else "")
        raise DataError(
            f"`{name}` has {int(wrong.sum()):,} labels that are none of the {count} classes of {whole} "
            f"(0 to {count - 1}); the first is {y[first]}, of {where}{_hint_for_classes(y, y[wrong], loss)}"
        )
    return y if wanted else y.astype(np.int64)


def _remedy_for_classes(y: Array, loss: Loss, shape: Shape) -> str:
    """Return what to do about targets of another shape or type than classes have."""
    wanted, count = loss.target_shape(shape), loss.classes(shape)
    if y.shape[1:] == (count, *wanted):
        return "for classes in one-hot form, save y.argmax(axis=1)"
    if wanted and y.shape[1:] == (*wanted, count):
        return "for classes in one-hot form, save y.argmax(axis=-1)"
    if wanted and y.ndim == 1:
        return f"give a mask for each, or let the network end in a vector of {count} scores (`global_avg_pool`)"
    if wanted and y.ndim == len(wanted) + 1:
        if y.shape[1:] == wanted:
            return "save class indices as integers"
        return f"the network makes maps of {format_shape(wanted)}, and masks have the same size"
    if not wanted and y.ndim > 2:
        return f"for a class at each position, let the network end in a map [{count}, …]"
    return "save class indices as integers, or use `loss: mean_squared_error`"


def _hint_for_classes(y: Array, wrong: Array, loss: Loss) -> str:
    """Return what values that are no classes may mean, "" where there is no guess."""
    if y.ndim == 1 or (wrong != 255).any():
        return ""
    if ((y == 0) | (y == 255)).all():
        return ": for a mask of 0 and 255, save y // 255"
    return f": if 255 marks what does not count, `loss: {{{loss.kind}: {{ignore: 255}}}}`"


def _labels(y: Array, name: str, loss: Loss, shape: Shape, whole: str) -> Array:
    """Return labels from 0 to 1 in the shape of the output: [n, ...]."""
    if shape[0] == 1 and y.shape[1:] == shape[1:]:
        y = y[:, None]
    if y.shape[1:] != shape:
        remedy = "give 0 or 1 for each"
        if y.ndim == 1 and y.dtype.kind in "iu":
            remedy = "for the class of each sample use `loss: cross_entropy`, or save a row of 0 and 1 for each"
        raise DataError(
            f"`{name}` has {y.dtype} targets {list(y.shape)}, and {loss.title} compares labels with the output "
            f"{list(shape)} of {whole}, one by one: {remedy}"
        )
    if y.dtype.kind == "f":
        finite(y, f"{name}, targets")
    elif y.dtype.kind == "b":
        return y.astype(np.uint8)
    wrong = (y < 0) | (y > 1)
    if wrong.any():
        first = int(wrong.reshape(len(y), -1).any(axis=1).argmax())
        hint = ": for 0 and 255, save y // 255" if ((y == 0) | (y == 255)).all() else ""
        raise DataError(
            f"`{name}` has {int(wrong.sum()):,} labels that are not from 0 to 1, which {loss.title} takes; "
            f"the first is {y[wrong][0]}, of sample {first:,}{hint}"
        )
    return y


def _numbers(y: Array, name: str, loss: Loss, shape: Shape, whole: str) -> Array:
    """Return numbers in the shape of the output: float64 [n, ...]."""
    if y.ndim == 1 and y.dtype.kind in "iub" and shape != (1,):
        raise DataError(
            f"`{name}` has classes as targets ({y.dtype}), and {loss.title} compares numbers: "
            "use `loss: cross_entropy`, or save them as floating-point numbers"
        )
    if shape[0] == 1 and y.shape[1:] == shape[1:]:
        y = y[:, None]
    if y.shape[1:] != shape:
        raise DataError(
            f"`{name}` has targets of {list(y.shape[1:])}, and {whole} has the output {list(shape)}; "
            f"{loss.title} compares them number by number"
        )
    return finite(y.astype(np.float64), f"{name}, targets")


CHECKS = {"classes": _classes, "labels": _labels, "numbers": _numbers}
"""The checks of targets by what a loss takes."""
