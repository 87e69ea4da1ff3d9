"""Proofs of a written model: it is valid ONNX, its shapes are the network's, and it computes the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from cnnspec.arrays import Array, Arrays
from cnnspec.data.inputs import random_inputs, scaled
from cnnspec.errors import ExportError
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Input
from cnnspec.interop.comparison import BATCHES, TOLERANCE, Difference, difference, largest, worst
from cnnspec.interop.onnx_export import files
from cnnspec.interop.onnx_export.model import BATCH, OnnxModel
from cnnspec.interop.requirements import is_installed
from cnnspec.rng import stream
from cnnspec.runtime.model import Model

Run = Callable[[Mapping[str, Array]], Arrays]


@dataclass(frozen=True)
class Reference:
    """The network itself, on a backend, with the inputs that it is compared on."""

    model: Model
    seed: int
    preprocessing: Mapping[str, Input] | None = None
    """Of the inputs that the exported model takes as pixels."""

    @property
    def graph(self) -> Graph:
        """The network."""
        return self.model.graph

    def samples(self, n: int) -> tuple[Arrays, Arrays]:
        """Return a random batch as the exported model takes it, and as the network does."""
        if self.preprocessing is None:
            inputs = random_inputs(self.graph, n, self.seed)
            return {name: x.astype(np.float32) for name, x in inputs.items()}, inputs
        pixels = {
            name: stream(self.seed, "pixels", name).integers(0, 256, (n, *settings.shape)).astype(np.float32)
            for name, settings in self.preprocessing.items()
        }
        return pixels, {name: scaled(x, self.preprocessing[name]) for name, x in pixels.items()}


def check_format(path: Path) -> None:
    """Raise ExportError where the file is not valid ONNX, or a shape that it states is not the inferred one."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # of types that differ between versions
        raise ExportError(f"the written model is not valid ONNX, which is a fault of cnnspec: {error}") from error


def check_shapes(model: OnnxModel, graph: Graph) -> None:
    """Raise ExportError where ONNX infers other shapes than the network has, for the value of any layer."""
    bare = files.without_numbers(model, "numbers")
    del bare.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True)
    known = {info.name: info.type.tensor_type.shape for info in [*inferred.graph.value_info, *inferred.graph.output]}
    for node, value in model.values.items():
        if value in graph.inputs:
            continue
        batch, *sizes = known[value].dim if value in known else (None,)
        found = [size.dim_value for size in sizes]
        if batch is None or batch.HasField("dim_value") or found != list(graph.by_name[node].shape):
            shown = [size.dim_param or size.dim_value for size in known[value].dim] if value in known else "unknown"
            expected = [BATCH, *graph.by_name[node].shape]
            raise ExportError(f"ONNX infers the shape {shown} of `{node}`, and the network has {expected}")


def engine() -> str:
    """Return the name and the version of what runs ONNX models here."""
    if is_installed("onnxruntime"):
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"
    return f"onnx {onnx.__version__}'s reference evaluator"


def runner(path: Path) -> Run:
    """Return a function that runs a written model, by ONNX Runtime or else by ONNX's reference evaluator."""
    if not is_installed("onnxruntime"):
        from onnx.reference import ReferenceEvaluator

        evaluator: Any = ReferenceEvaluator(str(path))
        return lambda inputs: dict(zip(evaluator.output_names, evaluator.run(None, dict(inputs)), strict=True))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"ONNX Runtime cannot load the model: {error}") from error
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, dict(inputs)), strict=True))


def measured(path: Path, reference: Reference) -> Difference:
    """Return the difference of a written model's outputs from the network's, over random batches."""
    run = runner(path)
    found = []
    for n in BATCHES:
        given, inputs = reference.samples(n)
        try:
            actual = run(given)
        except Exception as error:
            raise ExportError(f"{engine()} cannot run the model: {error}") from error
        found.append(largest(reference.model.run(inputs), actual))
    return worst(found)


def verify(model: OnnxModel, path: Path, reference: Reference) -> Difference:
    """Return the difference of a written float32 model; raise ExportError where it exceeds `TOLERANCE`.

    The message names the first layer that differs.
    """
    check_format(path)
    check_shapes(model, reference.graph)
    found = measured(path, reference)
    if not found.relative <= TOLERANCE:
        where = _first_difference(model, path.with_name("layers.onnx"), reference)
        raise ExportError(
            f"the exported model computes something else than the network under {engine()}: its outputs differ by "
            f"{found}, more than {TOLERANCE:g} relative; {where}"
        )
    return found


def _first_difference(model: OnnxModel, path: Path, reference: Reference) -> str:
    """Return which layer is the first to differ, with all values as outputs."""
    every = replace(model, skeleton=onnx.ModelProto())
    every.skeleton.CopyFrom(model.skeleton)
    handed_out = {output.name for output in every.skeleton.graph.output}
    element = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))
    for node, value in model.values.items():
        if value not in handed_out and reference.graph.by_name[node].inputs:
            every.skeleton.graph.output.append(helper.make_tensor_value_info(value, element, None))
    files.write(every, path)
    given, inputs = reference.samples(BATCHES[-1])
    actual, expected = runner(path)(given), reference.model.trace(inputs)
    for node, value in model.values.items():
        if value in actual:
            found = difference(expected[node], actual[value])
            if not found.relative <= TOLERANCE:
                layer = reference.graph.by_name[node]
                return f"the first layer to differ is `{node}` ({layer.kind}), by {found}"
    return "no layer by itself differs by as much"
