"""Networks as TorchScript files and as programs of torch.export, through the module of the Torch backend."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
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
from cnnspec.interop.exported import Exported, Refined, spec_around
from cnnspec.interop.requirements import require
from cnnspec.language.render import render
from cnnspec.runtime.build import Weights, prepare, to_torch, weights_of
from cnnspec.runtime.memory import check_memory
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
    arrays = {name: a.astype(np.float32) for name, a in weights_of(graph, weights, execution.seed).items()}
    extra = {SPEC_FILE: render(spec, defaults=False)}
    difference = refined = None
    with atomic.folder_beside(target) as folder, torch.no_grad():
        file = folder / f"{target.stem}.pt2"  # the ending that torch.export asks for
        _write(graph, arrays, file, format, execution, extra)
        if verify:
            difference = _compared(graph, arrays, file, format, execution)
            if not difference.relative <= TOLERANCE:
                refined = _in_float64(graph, arrays, folder / "float64.pt2", format, execution)
                if not refined.difference.relative <= TOLERANCE:
                    raise ExportError(
                        f"the {format} file computes something else than the network: its outputs differ by "
                        f"{difference}, and in float64 by {refined.difference}; {TOLERANCE:g} relative is allowed"
                    )
        atomic.move(file, target)
    engine = f"torch {torch.__version__}"
    details = {"torch": torch.__version__}
    return Exported(spec.name, format, (target,), details, engine if verify else None, difference, refined)


def _write(
    graph: Graph, arrays: Arrays, file: Path, format: str, execution: Execution, extra: dict[str, str] | None = None
) -> None:
    """Write a file in the execution's data type; raise ExportError where Torch cannot."""
    import torch

    module = to_torch(graph, arrays).eval().to(getattr(torch, execution.dtype))
    try:
        with warnings.catch_warnings(action="ignore"):
            _FORMATS[format][0](module, _tensors(_samples(graph, TRACED, execution)), file, extra or {})
    except Exception as error:
        raise ExportError(f"torch {torch.__version__} cannot write `{graph.name}` as {format}: {error}") from error


def _compared(graph: Graph, arrays: Arrays, file: Path, format: str, execution: Execution) -> Difference:
    """Return the difference of a file's outputs from those of NumPy; raise ExportError where it does not run."""
    run, model, found = _FORMATS[format][1](file), prepare(graph, execution, arrays), []
    for n in BATCHES:
        inputs = _samples(graph, n, execution)
        try:
            outputs = run(*_tensors(inputs))
        except Exception as error:
            raise ExportError(f"the {format} file does not run on a batch of {n}: {error}") from error
        by_name = outputs if isinstance(outputs, Mapping) else {graph.output_names[0]: outputs}
        found.append(largest(model.run(inputs), {name: y.numpy() for name, y in by_name.items()}))
    return worst(found)


def _in_float64(graph: Graph, arrays: Arrays, file: Path, format: str, execution: Execution) -> Refined:
    """Return the difference of a file of the same network in float64, whose rounding is far below the tolerance."""
    double = replace(execution, dtype="float64")
    _write(graph, arrays, file, format, double)
    return Refined("in float64", _compared(graph, arrays, file, format, double))


def _samples(graph: Graph, n: int, execution: Execution) -> Arrays:
    return {name: x.astype(execution.dtype) for name, x in random_inputs(graph, n, execution.seed).items()}


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
