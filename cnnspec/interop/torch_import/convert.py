"""A traced module as a network: each operation in turn, constants computed, and what has no counterpart listed."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.errors import ImportingError
from cnnspec.interop.importer.conversion import (
    FREE_BATCH,
    UNKNOWN,
    Converted,
    Missing,
    Unknown,
    converted,
)
from cnnspec.interop.importer.network import Network, Operand, Unsupported, Value
from cnnspec.interop.torch_import import functions, norms, shapes, windows
from cnnspec.interop.torch_import.call import Call, Convert
from cnnspec.interop.torch_import.export import Exported
from cnnspec.interop.torch_import.modules import Modules

OPERATORS: dict[str, Convert] = {
    **functions.OPERATORS,
    **norms.OPERATORS,
    **shapes.OPERATORS,
    **windows.OPERATORS,
}
"""The operators that have counterparts, by their names in ATen."""

Result = Operand | Unknown | list[Any]


def convert(module: Any, program: Exported, shapes_of: Mapping[str, Sequence[int]], name: str) -> Converted:
    """Return the network of a traced module, whose inputs are called and shaped [c, ...] like this.

    Operations that have no counterpart are in `missing`; where there are any, `outputs` are those tensors that could
    be computed and that an operation without counterpart reads, or that are outputs of the module.
    """
    conversion = _Conversion(module, program, name)
    for node, (given, shape) in zip(program.inputs, shapes_of.items(), strict=True):
        try:
            conversion.env[node] = conversion.network.input(given, tuple(shape))
        except Unsupported as error:
            raise ImportingError(f"the input `{given}` of `{name}` cannot be said: {error}") from None
    return conversion.run()


class _Conversion:
    def __init__(self, module: Any, program: Exported, name: str) -> None:
        self.program = program
        self.modules = Modules(module, program.nodes)
        self.network = Network(name, FREE_BATCH)
        self.env: dict[str, Result] = {}
        self.missing: list[Missing] = []
        self.ends: dict[str, Value] = {}
        """The tensors that operations without counterpart read."""
        self.borders: dict[str, list[tuple[int, int]]] = {}
        """Borders of −∞ before max pools, which are padding there, by the nodes that make them."""
        arrays: dict[int, Array] = {}
        for node, (path, tensor) in program.parameters.items():
            # Parameters that are one tensor are one array.
            array = arrays.setdefault(id(tensor), _array(tensor))
            self.env[node] = array
            self.network.paths.add(array, path)
        for node, tensor in program.constants.items():
            self.env[node] = _array(tensor)

    def run(self) -> Converted:
        """Convert the operations in their order."""
        for node in self.program.nodes:
            if node.name in self.env or not node.users:
                continue  # a part of a module that is one layer, or an assertion
            found = self.modules.layer_from(node)
            self.network.place = self.modules.place(node)
            try:
                if found is not None:
                    x = self.env[found.x]
                    self.env[found.y] = found.add(self.network, x) if isinstance(x, Value) else UNKNOWN
                    self.env |= {part: UNKNOWN for part in found.parts if part != found.y}
                else:
                    self.env[node.name] = self._result(node)
            except Unsupported as error:
                self.missing.append(Missing(self.modules.described(node), _name(node), str(error)))
                read = {x.name: self.env[x.name] for x in node.all_input_nodes if x.name in self.env}
                self.ends |= {key: x for key, x in read.items() if isinstance(x, Value)}
                self.env[node.name] = UNKNOWN
        return self._converted()

    def _converted(self) -> Converted:
        wanted: dict[str, Operand | Unknown | None] = {}
        for output, node in self.program.outputs.items():
            result = self.env[node]
            wanted[output] = None if isinstance(result, list) else result
        return converted(self.network, wanted, self.ends, self.missing)

    def _result(self, node: Any) -> Result:
        arguments = _map(node.args, self.env), {key: _map(value, self.env) for key, value in node.kwargs.items()}
        flat = [*_flat(arguments[0]), *_flat(list(arguments[1].values()))]
        if any(x is UNKNOWN for x in flat):
            return UNKNOWN
        if node.target is operator.getitem:
            values, i = arguments[0]
            if i >= len(values):
                raise Unsupported(f"the result {i} of `{node.args[0].name}` is used, and no layer has it")
            result: Result = values[i]
            return result
        if _is_broadcast(node):
            value: Value = flat[0]
            return value
        if (border := _border(node)) is not None:
            self.borders[node.name] = border
            padded: Value = flat[0]
            return padded
        if not hasattr(node.target, "_schema"):
            raise Unsupported("no layer stands for it")
        if not any(isinstance(x, Value) for x in flat):
            result = _folded(node, *arguments)
            if len(arrays := [x for x in flat if isinstance(x, np.ndarray)]) == 1:
                self._keep_path(arrays[0], result)
            return result
        return self._layer(node, *arguments)

    def _keep_path(self, array: Array, result: Result) -> None:
        """Let what has the same numbers as a parameter, in another shape, have its path."""
        if isinstance(result, np.ndarray) and np.array_equal(result.ravel(), array.ravel()):
            self.network.paths.add(result, self.network.paths.of(array))

    def _layer(self, node: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Result:
        schema = node.target._schema.arguments
        given = {argument.name: argument.default_value for argument in schema}
        given |= dict(zip(given, args, strict=False)) | dict(kwargs)
        op = _operator(node)
        if not _name(node).startswith("aten.") or op not in OPERATORS:
            raise Unsupported("no layer stands for it")
        made = node.meta.get("val")
        made = made if isinstance(made, list | tuple) else [made]
        sizes = [tuple(map(int, t.shape)) if hasattr(t, "shape") else None for t in made]
        call = Call(op, given, sizes, self.borders.get(node.args[0].name, ()) if op.startswith("max_pool") else ())
        try:
            result = OPERATORS[op](self.network, call)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
            first = str(error).strip().splitlines()
            raise Unsupported(f"it has no such layer: {first[0] if first else type(error).__name__}") from error
        results = [result] if isinstance(result, Value | np.ndarray) else list(result)
        for one, size in zip(results, sizes, strict=False):
            if size is not None and one.shape != size:
                described = self.network.described_shape
                raise Unsupported(f"it makes {described(size)}, and its layer {described(one.shape)}")
        return result if isinstance(result, Value | np.ndarray) else results


def _array(tensor: Any) -> Array:
    import torch

    if not tensor.is_floating_point():
        return np.asarray(tensor.detach().cpu().numpy())
    kept = tensor.dtype if tensor.dtype == torch.float64 else torch.float32
    return np.asarray(tensor.detach().to("cpu", kept).numpy())


def _name(node: Any) -> str:
    return str(node.target) if hasattr(node.target, "_schema") else getattr(node.target, "__name__", str(node.target))


def _operator(node: Any) -> str:
    """Return the name of an operator of ATen without its overload."""
    return _name(node).removeprefix("aten.").split(".")[0]


def _has_batch(value: Any) -> bool:
    """Whether the size of the batch is among the arguments."""
    if isinstance(value, list | tuple):
        return any(map(_has_batch, value))
    return isinstance(value, int) and value == FREE_BATCH


def _map(value: Any, env: Mapping[str, Result]) -> Any:
    """Return an argument with the results of nodes in their places."""
    import torch

    if isinstance(value, torch.fx.Node):
        return env.get(value.name, UNKNOWN)
    if isinstance(value, list | tuple):
        return [_map(item, env) for item in value]
    return value


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _border(node: Any) -> list[tuple[int, int]] | None:
    """Return the border of −∞ that a node puts around the positions before max pools; None for any other node."""
    if _operator(node) not in ("constant_pad_nd", "pad"):
        return None
    values = [x for x in (*node.args[2:], *node.kwargs.values()) if isinstance(x, float)]
    pools = [_operator(user) for user in node.users]
    if values != [-math.inf] or not all(op.startswith("max_pool") for op in pools):
        return None
    flat = list(node.args[1])
    sides = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)][::-1]
    rank = len(node.meta["val"].shape) - 2
    return None if len(sides) != rank or min(flat) < 0 else sides


_BROADCAST = frozenset(("add", "sub", "mul", "div", "maximum", "minimum"))
"""Operators that broadcast their operands."""


def _is_broadcast(node: Any) -> bool:
    """Whether an expansion is nothing but what the operations that read it would do themselves."""
    if _operator(node) != "expand":
        return False
    shape = node.meta["val"].shape
    return all(
        _operator(user) in _BROADCAST
        and any(x is not node and x.meta["val"].shape == shape for x in user.all_input_nodes)
        for user in node.users
    )


_FOR_EACH_SAMPLE = frozenset(
    ("zeros", "ones", "full", "new_zeros", "new_ones", "expand", "repeat", "view", "reshape", "_unsafe_view")
)
"""Operators that make the same numbers for each sample, where they are given the size of the batch."""


def _one_sample(value: Any) -> Any:
    """Return an argument with 1 in place of the size of the batch."""
    if isinstance(value, list | tuple):
        return [_one_sample(item) for item in value]
    return 1 if isinstance(value, int) and value == FREE_BATCH else value


def _folded(node: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Result:
    """Return the results of an operation of constants."""
    import torch

    def tensors(value: Any) -> Any:
        if isinstance(value, list):
            return [tensors(item) for item in value]
        return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value

    made = node.meta.get("val")
    made = made if isinstance(made, list | tuple) else [made]
    if any(FREE_BATCH in t.shape for t in made if hasattr(t, "shape")):
        if _operator(node) not in _FOR_EACH_SAMPLE and _has_batch(args):
            raise Unsupported("it makes a tensor of the size of the batch")
        args = _one_sample(args)
    keywords = {key: tensors(value) for key, value in kwargs.items() if key not in ("device", "pin_memory")}
    try:
        result = node.target(*tensors(list(args)), **keywords)
    except (RuntimeError, TypeError, ValueError) as error:
        raise Unsupported(f"it is computed from constants alone, and fails: {error}") from error
    if isinstance(result, list | tuple):
        return [None if part is None else _array(part) for part in result]
    return _array(result)
