"""An ONNX model as a network: each operation in turn, constants computed, and what has no counterpart listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.errors import ImportingError
from cnnspec.interop.importer.conversion import FREE_BATCH, UNKNOWN, Converted, Missing, Unknown, converted
from cnnspec.interop.importer.network import Network, Operand, Unsupported, Value
from cnnspec.interop.onnx_import import functions, norms, resizing, shapes, windows
from cnnspec.interop.onnx_import.call import Call, Convert
from cnnspec.interop.onnx_import.constants import computed, of_one_sample
from cnnspec.interop.onnx_import.patterns import Patterns, Recognised, recognised
from cnnspec.interop.onnx_import.read import inputs_of, onnx_library

OPERATORS: dict[str, Convert] = {
    **functions.OPERATORS,
    **norms.OPERATORS,
    **shapes.OPERATORS,
    **resizing.OPERATORS,
    **windows.OPERATORS,
}
"""The operators that have counterparts."""


def convert(model: Any, name: str, sizes: dict[str, Sequence[int]] | None = None, *, batched: bool = True) -> Converted:
    """Return the network of a model; `sizes` are shapes of inputs, [c, ...], that take the place of those in the model.

    The first axis of each tensor is the batch; a model that is not `batched` computes one sample.

    Operations that have no counterpart are in `missing`; where there are any, `outputs` are those tensors that could
    be computed and that an operation without counterpart reads, or that are outputs of the model.
    """
    as_written: set[str] = set()
    while True:
        conversion = _Conversion(model, name, sizes or {}, batched, frozenset(as_written))
        conversion.run()
        if not conversion.unfit:
            return conversion.result()
        as_written |= conversion.unfit


class _Conversion:
    def __init__(
        self, model: Any, name: str, sizes: dict[str, Sequence[int]], batched: bool, as_written: frozenset[str]
    ) -> None:
        self.batched = batched
        self.as_written = as_written
        """What is made by several operations that are not to be taken as one."""
        self.unfit: set[str] = set()
        """What is made by several operations that were taken as one layer, which does not fit."""
        self.onnx = onnx_library()
        self.graph = model.graph
        self.opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
        self.env: dict[str, Operand | Unknown | None] = {"": None}
        self.missing: list[Missing] = []
        self.readers: Counter[str] = Counter()
        """How often each tensor is read."""
        self.ends: dict[str, Value] = {}
        """The tensors that operations without counterpart read."""
        for tensor in self.graph.initializer:
            self.env[tensor.name] = self._array(tensor)
        for sparse in self.graph.sparse_initializer:
            self.env[sparse.values.name] = UNKNOWN
            self.missing.append(Missing(sparse.values.name, "initializer", "it is sparse"))
        inputs = inputs_of(model)
        shapes_of = {info.name: self._shape(info, sizes) for info in inputs}
        batches = {shape[0] for shape in shapes_of.values()}
        self.network = Network(name, batches.pop() if len(batches) == 1 else FREE_BATCH)
        for info in inputs:
            batch, *shape = shapes_of[info.name]
            if batch != self.network.batch:
                raise ImportingError(f"the inputs of the model have batches of different sizes ({info.name}: {batch})")
            try:
                value = self.network.input(info.name, tuple(shape), batched)
            except Unsupported as error:
                raise ImportingError(f"the input `{info.name}` of the model cannot be said: {error}") from None
            self.env[info.name] = value

    def _array(self, tensor: Any) -> Array:
        try:
            array: Array = self.onnx.numpy_helper.to_array(tensor)
        except (TypeError, ValueError) as error:
            raise ImportingError(f"the constant `{tensor.name}` of the model is not valid: {error}") from None
        return array.astype(np.float32) if array.dtype.name in ("float16", "bfloat16") else array

    def _shape(self, info: Any, sizes: dict[str, Sequence[int]]) -> tuple[int, ...]:
        """Return the shape of an input of the model, [n, c, ...]."""
        dims = info.type.tensor_type.shape.dim if info.type.HasField("tensor_type") else []
        if info.name in sizes:
            if not self.batched:
                return (1, *sizes[info.name])
            batch = dims[0].dim_value if len(dims) and dims[0].dim_value > 0 else FREE_BATCH
            return (batch, *sizes[info.name])
        found = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
        if not self.batched:
            found = [1, *found]
        if len(found) < 2:
            raise ImportingError(
                f"the input `{info.name}` of the model has {'no axis for' if found else 'no known'} samples: "
                "it takes [n, c, ...]; say the shape of a sample with `--input`"
            )
        if None in found[1:]:
            shown = ", ".join(dim.dim_param or str(dim.dim_value or "?") for dim in dims)
            raise ImportingError(
                f"the input `{info.name}` of the model is [{shown}]: only the batch can be free; "
                "say the shape of a sample with `--input`"
            )
        return (found[0] or FREE_BATCH, *(n for n in found[1:] if n is not None))

    # The operations

    def run(self) -> None:
        """Convert the operations that an output depends on, in their order."""
        known = self._recognised()
        needed = self._needed(known)
        self.readers = Counter(info.name for info in self.graph.output)
        for node in needed:
            self.readers.update(node.input)
        for node in needed:
            self._convert(node, known.get(node.output[0]))

    def _recognised(self) -> dict[str, Recognised]:
        """Return the operators that stand for several operations, by what they make."""
        constants = {name: value for name, value in self.env.items() if isinstance(value, np.ndarray)}
        for node in self.graph.node:
            if node.op_type == "Constant":
                with suppress(Unsupported):
                    (constants[node.output[0]],) = computed(node, [], self.opset)
        patterns = Patterns(self.graph.node, constants)
        found = (one for node in self.graph.node for one in recognised(patterns, node))
        return {one.output: one for one in found if one.output not in self.as_written}

    def _needed(self, known: dict[str, Recognised]) -> list[Any]:
        """Return the operations that an output depends on, where those that are recognised read their inputs alone."""
        wanted = {info.name for info in self.graph.output}
        needed = []
        for node in reversed(self.graph.node):
            if wanted & set(node.output):
                needed.append(node)
                one = known.get(node.output[0])
                wanted.update(one.inputs if one else node.input)
        return needed[::-1]

    def _convert(self, node: Any, known: Recognised | None) -> None:
        op, names, outputs = node.op_type, list(node.input), tuple(node.output)
        attributes = {a.name: self._attribute(a) for a in node.attribute} if known is None else known.attributes
        if known is not None:
            op, names = known.op, known.inputs
        name = node.name or f"the {op} that makes `{outputs[0]}`"
        given = [self.env.get(read, UNKNOWN) for read in names]
        try:
            if node.domain not in ("", "ai.onnx"):
                raise Unsupported(f"its domain is {node.domain}")
            if any(x is UNKNOWN for x in given):
                results: Sequence[Operand | Unknown] = [UNKNOWN] * len(outputs)
            else:
                operands: list[Operand | None] = [x for x in given if not isinstance(x, Unknown)]
                results = self._result(
                    Call(op, name, tuple(operands), attributes, outputs, self.opset, self.readers), node
                )
        except Unsupported as error:
            self.missing.append(Missing(name, op, str(error)))
            self.unfit |= {outputs[0]} if known is not None else set()
            self.ends |= {read: x for read, x in zip(names, given, strict=True) if isinstance(x, Value)}
            results = [UNKNOWN] * len(outputs)
        for output, result in zip(outputs, results, strict=False):
            self.env[output] = result

    def _result(self, call: Call, node: Any) -> Sequence[Operand]:
        if not any(isinstance(x, Value) for x in call.inputs):
            return computed(node, [x for x in call.inputs if not isinstance(x, Value)], self.opset)
        if call.op == "Shape":
            start, end = call.get("start", 0), call.get("end", None)
            return [np.array(call.value().shape, np.int64)[start:end]]
        if call.op == "Size":
            return [np.array(np.prod(call.value().shape), np.int64)]
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            raise Unsupported("it has graphs of its own: control flow cannot be said")
        if call.op not in OPERATORS:
            raise Unsupported("no layer stands for it")
        try:
            inputs = tuple(of_one_sample(x) if isinstance(x, np.ndarray) else x for x in call.inputs)
            result = OPERATORS[call.op](self.network, replace(call, inputs=inputs))
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
            # Of a model whose attributes or constants are not what the operator takes.
            first = str(error).strip().splitlines()
            raise Unsupported(f"it is not valid: {first[0] if first else type(error).__name__}") from error
        return [result] if isinstance(result, Value | np.ndarray) else list(result)

    def _attribute(self, attribute: Any) -> Any:
        value = self.onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, list) and value and isinstance(value[0], bytes):
            return [text.decode("utf-8", "replace") for text in value]
        return value

    def result(self) -> Converted:
        """Return the network and its outputs."""
        wanted = {info.name: self.env.get(info.name, UNKNOWN) for info in self.graph.output}
        return converted(self.network, wanted, self.ends, self.missing)
