"""A PyTorch module as a spec with weights, and the proof that both compute the same."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.inputs import random_inputs
from cnnspec.errors import ImportingError
from cnnspec.graph.graph import Graph
from cnnspec.interop.comparison import Difference, difference, worst
from cnnspec.interop.imported import ImportedNetwork, accepted
from cnnspec.interop.importer.conversion import check_complete
from cnnspec.interop.importer.finish import finished, identifier
from cnnspec.interop.requirements import require
from cnnspec.interop.torch_import.convert import convert
from cnnspec.interop.torch_import.export import exported, for_inference
from cnnspec.layers import Shape
from cnnspec.runtime.build import build

BATCH = 2
"""How many samples are compared."""

LEAST_SPREAD = 1e-10
"""How far outputs of two samples lie apart, relative to their size, where they depend on the input at all."""

Example = Any
"""A tensor [n, c, ...], a shape [c, ...], or a sequence of either, one for each argument of the module."""


class Measured(NamedTuple):
    """The difference of a network's outputs from a module's, and whether these depend on the input."""

    difference: Difference
    varies: bool


def from_torch(
    module: Any,
    example: Example,
    *,
    name: str | None = None,
    partial: bool = False,
    verify: bool = True,
    module_names: bool = True,
    source: str | None = None,
    memory_limit: int | None = None,
) -> ImportedNetwork:
    """Return the network of a PyTorch module in evaluation mode, with its weights.

    `example` has the inputs: a tensor [n, c, ...] or the shape of a sample, (c, ...), or a list with one for each
    argument. The module is traced by `torch.export`; the batch is free. Layers with weights have the names of their
    modules, so that a state_dict fits by name. Operations without counterpart are an ImportingError that lists all of
    them; of a `partial` import, they are left out, and the outputs are the tensors that they read. With `verify`, the
    outputs are compared on random inputs, and an ImportingError says where they differ; a MemoryLimitError where that
    takes more than `memory_limit` bytes (see `build`). Without `module_names`, layers are called by kind and ordinal,
    so that more of them can be one block. `source` is what messages call the module, by default its class.
    """
    require("torch", extra="torch")
    import torch

    source = source or type(module).__name__
    if not isinstance(module, torch.nn.Module):
        raise ImportingError(f"`{source}` is no torch.nn.Module")
    shapes, dtypes = _inputs(example)
    names = _argument_names(module, len(shapes), source)
    program = exported(module, shapes, dtypes, source)
    called = name or identifier(type(module).__name__.lower(), "model")
    found = convert(module, program, dict(zip(names, shapes, strict=True)), called)
    if not module_names:
        found.network.paths.clear()
        found.network.places.clear()
    check_complete(source, found, partial)
    spec, arrays = finished(found.network, found.outputs, source)
    measured, varies = None, True
    if verify and not found.missing:
        measured, varies = difference_from(module, spec.graph, arrays, source, memory_limit)
        accepted(source, measured)
    return ImportedNetwork(spec, arrays, len(program.nodes), tuple(found.missing), measured, module_names, varies)


def in_order(module: Any, shapes: Sequence[tuple[str, Shape]], source: str) -> list[Shape]:
    """Return shapes in the order of a module's arguments; those without a name are in order already."""
    names = _argument_names(module, len(shapes), source)
    if not any(name for name, _ in shapes):
        return [shape for _, shape in shapes]
    found = dict(shapes)
    if set(found) != set(names):
        raise ImportingError(f"`{source}` takes {', '.join(f'`{name}`' for name in names)}: name each input")
    return [found[name] for name in names]


def _inputs(example: Example) -> tuple[list[tuple[int, ...]], list[Any]]:
    """Return the shape of a sample and the data type of each input."""
    import torch

    def is_shape(value: Any) -> bool:
        return isinstance(value, list | tuple) and bool(value) and all(isinstance(n, int) for n in value)

    given = list(example) if isinstance(example, list | tuple) and not is_shape(example) else [example]
    shapes, dtypes = [], []
    for x in given:
        if is_shape(x):
            shapes.append(tuple(x))
            dtypes.append(torch.get_default_dtype())
        elif isinstance(x, torch.Tensor) and x.ndim > 1 and x.is_floating_point():
            shapes.append(tuple(x.shape[1:]))
            dtypes.append(x.dtype)
        else:
            said = f"a tensor [{', '.join(map(str, x.shape))}] of {x.dtype}" if isinstance(x, torch.Tensor) else repr(x)
            raise ImportingError(f"an example is a tensor of floats [n, c, ...] or a shape (c, ...), not {said}")
    return shapes, dtypes


def _argument_names(module: Any, count: int, source: str) -> list[str]:
    """Return the names of the first arguments of a module's `forward`."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [parameter.name for parameter in parameters if parameter.kind in kinds][:count]
    needed = [p.name for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]
    several = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    if len(needed) > count or (len(names) < count and not several and parameters):
        raise ImportingError(
            f"`{source}` takes {', '.join(f'`{n}`' for n in needed or names) or 'no argument'}, and {count} "
            f"example{'s' * (count != 1)} {'were' if count != 1 else 'was'} given: give one for each"
        )
    return names + [f"input{i + 1}" for i in range(len(names), count)]


def _largest(array: Array) -> float:
    """Return the largest of the numbers that are finite, without their signs."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0))


def difference_from(
    module: Any, graph: Graph, arrays: Mapping[str, Array], source: str, memory_limit: int | None = None
) -> Measured:
    """Return the difference of a network's outputs from a module's.

    Both compute in float64, and the difference is relative to how far the outputs of two random samples lie apart:
    outputs of untrained networks can be nearly the same for all inputs, whatever the layers do. A module that cannot
    compute in float64 computes in its own data type, and the difference is relative to the largest number. Raises
    ImportingError where the module cannot be run.
    """
    return ModuleOutputs(module, graph, source).difference(graph, arrays, memory_limit)


class ModuleOutputs:
    """What a module computes of two random samples."""

    def __init__(self, module: Any, graph: Graph, source: str) -> None:
        import torch

        self.inputs = random_inputs(graph, BATCH, 0)
        self.dtype = "float64"
        try:
            self.outputs = _outputs(
                copy.deepcopy(module).double().cpu(), self.inputs, torch.zeros((), dtype=torch.float64)
            )
        except (RuntimeError, TypeError):  # it cannot be copied, or has numbers of another type in its code
            self.dtype = "float32"
            try:
                own = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
                self.outputs = _outputs(module, self.inputs, own)
            except Exception as error:  # whatever the code of the module raises
                raise ImportingError(
                    f"`{source}` cannot be run to compare it: {type(error).__name__}: {error}; `--no-verify` imports "
                    "it nevertheless"
                ) from error

    def difference(self, graph: Graph, arrays: Mapping[str, Array], memory_limit: int | None = None) -> Measured:
        """Return the difference of a network's outputs from these."""
        weights = {name: array.astype(self.dtype) for name, array in arrays.items()}
        inputs = {name: x.astype(self.dtype) for name, x in self.inputs.items()}
        actual = build(graph, weights=weights, dtype=self.dtype, memory_limit=memory_limit).run(inputs)
        found, varies = [], False
        for wanted, y in zip(self.outputs, actual.values(), strict=True):
            absolute = difference(wanted, y).absolute
            spread, scale = _largest(wanted - wanted[:1]), _largest(wanted)
            varies = varies or spread > LEAST_SPREAD * scale
            unit = spread or scale if self.dtype == "float64" else scale
            found.append(Difference(absolute, absolute / (unit or 1.0)))
        return Measured(worst(found), varies)


def _outputs(module: Any, inputs: Mapping[str, Array], like: Any) -> list[Array]:
    """Return the outputs of a module in evaluation mode, for inputs of the data type and device of another tensor."""
    import torch
    from torch.utils._pytree import tree_leaves

    with for_inference(module), torch.no_grad():
        result = module(*(torch.from_numpy(x).to(like) for x in inputs.values()))
    leaves = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
    return [np.asarray((leaf if leaf.dtype == torch.float64 else leaf.float()).cpu().numpy()) for leaf in leaves]
