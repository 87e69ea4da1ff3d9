"""Networks as TorchScript files and as programs of torch.export, through the module of the Torch backend."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec import atomic
from cnnspec.arrays import Arrays
from cnnspec.data.inputs import random_inputs
from cnnspec.diagnostics import Source
from cnnspec.errors import ExportError
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.interop.comparison import BATCHES, TOLERANCE, Difference, largest, worst
from cnnspec.interop.exported import Exported, spec_around
from cnnspec.interop.requirements import require
from cnnspec.language.render import render
from cnnspec.runtime.build import Weights, prepare, to_torch, weights_of
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.model import Model
from cnnspec.runtime.options import Execution
from cnnspec.wording import one_of

SPEC_FILE = "spec.yaml"
"""The name of the spec's text among the extra files of an archive."""
TRACED = 2
"""Samples of the batch that is traced: torch.export takes a batch of one for a constant."""


def export_torch(
    spec: str | Path | Source | Spec | Graph,
    path: str | Path,
    format: str,
    weights: Weights = None,
    seed: int = Execution.seed,
    memory_limit: int | None = Execution.memory_limit,
    verify: bool = True,
) -> Exported:
    """Write the network of a spec or a graph as `torchscript` or `pt2`, for inference on batches of any size.

    The file is loaded again and its outputs compared with those of NumPy. Several inputs are positional, in the order
    of the graph, and several outputs a dict by name. Raises ExportError where Torch cannot write the network, or where
    the file computes something else.
    """
    return write_torch(spec, path, format, Execution(seed=seed, memory_limit=memory_limit), weights, verify)


def write_torch(
    spec: str | Path | Source | Spec | Graph,
    path: str | Path,
    format: str,
    execution: Execution,
    weights: Weights,
    verify: bool,
) -> Exported:
    """Write a file as `export_torch` does, with seed and memory limit in one object."""
    if format not in _FORMATS:
        raise ExportError(f"a module of Torch is written as {one_of(list(_FORMATS))}, not as {format!r}")
    require("torch", extra="torch")
    import torch

    spec = spec_around(spec)
    graph, target = spec.graph, Path(path)
    check_memory(graph, max(BATCHES) if verify else 1, 4, execution.memory_limit)
    arrays = weights_of(graph, weights, execution.seed)
    write, load = _FORMATS[format]
    with atomic.folder_beside(target) as folder, torch.no_grad():
        file = folder / f"{target.stem}.pt2"  # the ending that torch.export asks for
        given = _tensors(_samples(graph, TRACED, execution.seed))
        try:
            with warnings.catch_warnings(action="ignore"):
                write(to_torch(graph, arrays).eval(), given, file, {SPEC_FILE: render(spec, defaults=False)})
        except Exception as error:
            raise ExportError(f"torch {torch.__version__} cannot write `{graph.name}` as {format}: {error}") from error
        difference = (
            _compared(load(file), graph, prepare(graph, execution, arrays), format, execution.seed) if verify else None
        )
        atomic.move(file, target)
    return Exported(
        spec.name,
        format,
        (target,),
        {"torch": torch.__version__},
        f"torch {torch.__version__}" if verify else None,
        difference,
    )


def _compared(run: Callable[..., Any], graph: Graph, model: Model, format: str, seed: int) -> Difference:
    """Return the difference of a loaded file's outputs; raise ExportError where it exceeds `TOLERANCE`."""
    found = []
    for n in BATCHES:
        inputs = _samples(graph, n, seed)
        try:
            outputs = run(*_tensors(inputs))
        except Exception as error:
            raise ExportError(f"the {format} file does not run on a batch of {n}: {error}") from error
        by_name = outputs if isinstance(outputs, Mapping) else {graph.output_names[0]: outputs}
        found.append(largest(model.run(inputs), {name: y.numpy() for name, y in by_name.items()}))
    difference = worst(found)
    if not difference.relative <= TOLERANCE:
        raise ExportError(
            f"the {format} file computes something else than the network: its outputs differ by {difference}, "
            f"more than {TOLERANCE:g} relative"
        )
    return difference


def _samples(graph: Graph, n: int, seed: int) -> Arrays:
    return {name: x.astype(np.float32) for name, x in random_inputs(graph, n, seed).items()}


def _tensors(inputs: Arrays) -> tuple[Any, ...]:
    import torch

    return tuple(map(torch.from_numpy, inputs.values()))


def _write_torchscript(module: Any, inputs: tuple[Any, ...], file: Path, extra: dict[str, str]) -> None:
    import torch

    # Not strict: several outputs are a dict. The file is compared afterwards, so it need not be traced again.
    traced: Any = torch.jit.trace(module, inputs, strict=False, check_trace=False)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, str(file), _extra_files=extra)


def _load_torchscript(file: Path) -> Callable[..., Any]:
    import torch

    with warnings.catch_warnings(action="ignore"):
        loaded: Callable[..., Any] = torch.jit.load(str(file))  # type: ignore[no-untyped-call]
    return loaded


def _write_pt2(module: Any, inputs: tuple[Any, ...], file: Path, extra: dict[str, str]) -> None:
    import torch

    batch = {0: torch.export.Dim("batch", min=1)}
    others = {"others": (batch,) * (len(inputs) - 1)} if len(inputs) > 1 else {}
    dynamic: dict[str, Any] = {"x": batch, **others}
    program = torch.export.export(module, inputs, dynamic_shapes=dynamic)
    torch.export.save(program, file, extra_files=extra)


def _load_pt2(file: Path) -> Callable[..., Any]:
    import torch

    return torch.export.load(file).module()


_FORMATS: dict[str, tuple[Callable[..., None], Callable[[Path], Callable[..., Any]]]] = {
    "torchscript": (_write_torchscript, _load_torchscript),
    "pt2": (_write_pt2, _load_pt2),
}
"""How each format is written and loaded."""
