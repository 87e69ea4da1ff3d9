"""Operations of an ONNX graph that read constants alone, computed beforehand.

What is made in the size of a free batch, such as a class token that is expanded to all samples, has to be the same for
each sample. It is kept as a view of one sample, whose axis of the batch has the size that stands for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.conversion import FREE_BATCH
from cnnspec.interop.importer.network import Unsupported
from cnnspec.interop.onnx_import.read import onnx_library

MOST_ELEMENTS = 1 << 28
"""The largest constant that is computed."""

DIFFER = "it makes constants of the size of the batch that differ by sample"
"""Why a constant has no counterpart."""

_SIZES = {"ConstantOfShape": 0, "Expand": 1, "Reshape": 1, "Tile": 1}
"""Which input has the sizes of what an operator makes."""


def computed(node: Any, given: Sequence[Array | None], opset: int) -> list[Array]:
    """Return the results of an operation of constants; raise Unsupported where it cannot be computed."""
    if node.op_type == "Shape" and given and given[0] is not None:
        bounds = {attribute.name: attribute.i for attribute in node.attribute}
        return [np.array(given[0].shape, np.int64)[bounds.get("start", 0) : bounds.get("end")]]
    sizes = _SIZES.get(node.op_type)
    if any(x is not None and _depends_on_batch(x, i == sizes) for i, x in enumerate(given)):
        one, two = (
            _evaluated(node, [_for_samples(x, n, i == sizes) for i, x in enumerate(given)], opset) for n in (1, 2)
        )
        return [_for_each_sample(a, b) for a, b in zip(one, two, strict=True)]
    results = _evaluated(node, given, opset)
    if any(FREE_BATCH in result.shape for result in results):
        raise Unsupported(DIFFER)
    return results


def of_one_sample(constant: Array) -> Array:
    """Return a constant with size one in place of the free batch."""
    return _first(constant, 1)


def _depends_on_batch(x: Array, is_size: bool) -> bool:
    """Whether a constant is for each sample of a free batch, or has sizes with it."""
    return FREE_BATCH in x.shape or (is_size and x.dtype.kind == "i" and bool(_of_batch(x).any()))


def _of_batch(x: Array) -> Array:
    """Return which integers are the size of the free batch, or that of it joined with others."""
    return np.asarray((x != 0) & (x % FREE_BATCH == 0))


def _for_samples(x: Array | None, n: int, is_size: bool) -> Array | None:
    """Return a constant, which may be sizes, as it is for a batch of n samples."""
    if x is None:
        return None
    x = _first(x, n)
    return np.where(_of_batch(x), x // FREE_BATCH * n, x) if is_size and x.dtype.kind == "i" else x


def _first(x: Array, n: int) -> Array:
    """Return the numbers of the first n samples, of an array for each sample of a free batch."""
    if FREE_BATCH not in x.shape:
        return x
    return x[tuple(slice(n) if size == FREE_BATCH else slice(None) for size in x.shape)]


def _for_each_sample(one: Array, two: Array) -> Array:
    """Return a result for a free batch from those for one and for two samples."""
    axes = [i for i, (a, b) in enumerate(zip(one.shape, two.shape, strict=False)) if a != b]
    is_same = one.ndim == two.ndim and all((one.shape[i], two.shape[i]) == (1, 2) for i in axes)
    if len(axes) > 1 or not is_same or not np.array_equal(np.broadcast_to(one, two.shape), two, equal_nan=True):
        raise Unsupported(DIFFER)
    return np.broadcast_to(one, [FREE_BATCH if i in axes else n for i, n in enumerate(one.shape)])


def _evaluated(node: Any, given: Sequence[Array | None], opset: int) -> list[Array]:
    """Return what ONNX's reference evaluator computes."""
    from onnx.reference import ReferenceEvaluator

    fault = Unsupported("it is computed from constants alone, and cannot be computed beforehand")
    if node.op_type in (*_SIZES, "Range"):
        sizes = [x for x in given if x is not None and x.dtype.kind == "i"]
        if any(float(np.prod(x.astype(float))) > MOST_ELEMENTS for x in sizes):
            raise fault
    helper = onnx_library().helper
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in zip(node.input, given, strict=False)
        if x is not None
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "constant", inputs, outputs)
    try:
        evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]))
        feeds = {name: x for name, x in zip(node.input, given, strict=False) if name}
        return [np.asarray(result) for result in evaluator.run(None, feeds)]
    except Exception as error:  # whatever the operation lacks, it is reported as an operation without counterpart
        raise fault from error
