"""An ONNX file as a spec with weights, and the proof that both compute the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.data.inputs import random_inputs
from cnnspec.errors import ExportError, ImportingError
from cnnspec.graph.graph import Graph
from cnnspec.interop.comparison import Difference, largest
from cnnspec.interop.imported import ImportedNetwork, accepted
from cnnspec.interop.importer.conversion import check_complete
from cnnspec.interop.importer.finish import finished, identifier
from cnnspec.interop.onnx_export.verification import runner
from cnnspec.interop.onnx_import.convert import convert
from cnnspec.interop.onnx_import.read import inputs_of, read
from cnnspec.runtime.build import build


def import_onnx(
    path: str | Path,
    *,
    name: str | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
    batched: bool = True,
    partial: bool = False,
    verify: bool = True,
    memory_limit: int | None = None,
) -> ImportedNetwork:
    """Return the network of an ONNX file, with its weights.

    `sizes` are the shapes of samples, [c, ...], of inputs whose shape the file leaves open, by name. The first axis of
    each tensor is the batch, unless the model is not `batched`: then it computes one sample. Operations without
    counterpart are an ImportingError that lists all of them; of a `partial` import, they are left out, and the outputs
    are the tensors that they read. With `verify`, the outputs are compared with those of ONNX Runtime (or of ONNX's
    reference evaluator) on random inputs, and an ImportingError says where they differ; a MemoryLimitError where that
    takes more than `memory_limit` bytes (see `build`).
    """
    model = read(path)
    found = convert(model, name or identifier(Path(path).stem, "model"), dict(sizes or {}), batched=batched)
    check_complete(str(path), found, partial)
    spec, arrays = finished(found.network, found.outputs, str(path))
    measured = None
    if verify and not found.missing:
        measured = compared(path, model, spec.graph, arrays, batched, memory_limit)
    return ImportedNetwork(spec, arrays, len(model.graph.node), tuple(found.missing), measured)


def compared(
    path: str | Path,
    model: Any,
    graph: Graph,
    arrays: Arrays,
    batched: bool = True,
    memory_limit: int | None = None,
) -> Difference:
    """Return the difference of a network's outputs from those of its model; raise ImportingError above the tolerance.

    The inputs are random, one sample where the model has a batch of its own size, else two.
    """
    own = build(graph, weights=arrays, memory_limit=memory_limit)
    given = inputs_of(model)
    dims = given[0].type.tensor_type.shape.dim
    n = (dims[0].dim_value or 2) if batched and len(dims) else 1
    inputs = {key: x.astype(np.float32) for key, x in random_inputs(graph, n, 0).items()}
    feeds = {info.name: x for info, x in zip(given, inputs.values(), strict=True)}
    if not batched:
        feeds = {key: x[0] for key, x in feeds.items()}
    expected = _evaluated(path, feeds)
    if not batched:
        expected = [y[None] for y in expected]
    actual = own.run(inputs)
    return accepted(str(path), largest(dict(zip(actual, expected, strict=True)), actual))


def _evaluated(path: str | Path, feeds: Mapping[str, Array]) -> list[Array]:
    try:
        return list(runner(Path(path))(feeds).values())
    except ExportError as error:
        message = f"`{path}` cannot be run to compare it: {error}; `--no-verify` imports it nevertheless"
        raise ImportingError(message) from error
