"""Proofs of a written model: it is valid ONNX, its shapes are the network's, and it computes the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

from cnnspec.arrays import Array, Arrays
from cnnspec.data.inputs import random_inputs, scaled
from cnnspec.errors import ExportError
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Input
from cnnspec.interop.comparison import BATCHES, TOLERANCE, Difference, difference, largest, worst
from cnnspec.interop.exported import Refined
from cnnspec.interop.onnx_export import files
from cnnspec.interop.onnx_export.model import BATCH, OnnxModel, value_info
from cnnspec.interop.requirements import is_installed
from cnnspec.rng import stream
from cnnspec.runtime.model import Model

Run = Callable[[Mapping[str, Array]], Arrays]


class Sample(NamedTuple):
    """A random batch as the exported model takes it and as the network does, and the network's outputs."""

    given: Arrays
    inputs: Arrays
    outputs: Arrays


@dataclass(frozen=True)
class Reference:
    """The network itself, on a backend, and the batches that it is compared on."""

    graph: Graph
    prepare: Callable[[], Model]
    """Makes the network's model, which is not kept: its weights take as much memory as those of what runs the file."""
    seed: int
    preprocessing: Mapping[str, Input] | None = None
    """Of the inputs that the exported model takes as pixels."""

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """A sample of each size of `BATCHES`."""
        model = self.prepare()
        batches = map(self._batch, BATCHES)
        return tuple(Sample(given, inputs, model.run(inputs)) for given, inputs in batches)

    def _batch(self, n: int) -> tuple[Arrays, Arrays]:
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
    try:
        names, call = (_runtime if is_installed("onnxruntime") else _evaluator)(str(path))
    except Exception as error:
        raise ExportError(f"{engine()} cannot load the model: {error}{_hint()}") from error

    def run(inputs: Mapping[str, Array]) -> Arrays:
        try:
            return dict(zip(names, call(None, dict(inputs)), strict=True))
        except Exception as error:
            raise ExportError(f"{engine()} cannot run the model: {error}{_hint()}") from error

    return run


def _runtime(path: str) -> tuple[list[str], Callable[..., Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [output.name for output in session.get_outputs()], session.run


def _evaluator(path: str) -> tuple[list[str], Callable[..., Any]]:
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(path)
    return evaluator.output_names, evaluator.run


def _hint() -> str:
    """Return what to do about an error that may be one of the evaluator, which has some, as in MaxPool and LRN."""
    if is_installed("onnxruntime"):
        return ""
    return '; the evaluator has faults of its own, and ONNX Runtime is the better judge: pip install "cnnspec[onnx]"'


def measured(path: Path, reference: Reference) -> Difference:
    """Return the difference of a written model's outputs from the network's, over random batches."""
    samples = reference.samples
    run = runner(path)
    return worst(largest(sample.outputs, run(sample.given)) for sample in samples)


def rounding(path: Path, reference: Reference, dtype: str) -> Difference:
    """Return the difference of a written model of another precision, whose structure is that of a verified one."""
    check_format(path)
    if dtype == "float16":
        _check_range(reference)
    return measured(path, reference)


def _check_range(reference: Reference) -> None:
    """Raise ExportError where the value of a layer exceeds the range of float16.

    ONNX Runtime does not tell: on CPUs it computes most operators of a float16 model in float32.
    """
    largest_number = float(np.finfo(np.float16).max)

    def check(name: str, value: Array) -> None:
        top = float(np.abs(value[np.isfinite(value)]).max(initial=0.0))
        if top > largest_number:
            raise ExportError(
                f"`{name}` has values up to {top:g}, and the numbers of float16 end at {largest_number:g}: use float32"
            )

    reference.prepare().run_with_hook(reference.samples[-1].inputs, check)


def verify(model: OnnxModel, path: Path, reference: Reference) -> tuple[Difference, Refined | None]:
    """Return the largest difference of a written float32 model, and that of a layer by itself where it decides.

    Where the outputs differ by more than `TOLERANCE`, each layer is computed from the network's own values of its
    inputs: either a layer is wrong, and an ExportError names the first, or the network amplifies the rounding of one
    layer in the next ones.
    """
    check_format(path)
    check_shapes(model, reference.graph)
    found = measured(path, reference)
    if found.relative <= TOLERANCE:
        return found, None
    by_layer = layer_differences(model, path.with_name("layers.onnx"), reference)
    for node, own in by_layer.items():
        if not own.relative <= TOLERANCE:
            raise ExportError(
                f"the exported model computes something else than the network under {engine()}: `{node}` "
                f"({reference.graph.by_name[node].kind}) differs by {own} on the same inputs, and the outputs by "
                f"{found}; {TOLERANCE:g} relative is allowed{_hint()}"
            )
    return found, Refined("layer by layer", worst(by_layer.values()))


def layer_differences(model: OnnxModel, path: Path, reference: Reference) -> dict[str, Difference]:
    """Return the difference of each layer by itself, computed from the network's own values of its inputs.

    Writes a model with all values as outputs, in which every layer reads further inputs in place of the values.
    """
    graph = reference.graph
    layers = {node: value for node, value in model.values.items() if graph.by_name[node].inputs}
    proto = onnx.ModelProto()
    proto.CopyFrom(model.skeleton)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))
    handed_out = {output.name for output in proto.graph.output}
    places = {value: f"{value}/given" for value in layers.values()}
    read = set()
    for operator in proto.graph.node:
        for i, name in enumerate(operator.input):
            if name in places:
                operator.input[i] = places[name]
                read.add(name)
    for node, value in layers.items():
        shape = graph.by_name[node].shape
        if value in read:
            proto.graph.input.append(value_info(places[value], element, shape))
        if value not in handed_out:
            proto.graph.output.append(value_info(value, element, shape))
    files.write(replace(model, skeleton=proto), path)
    given, inputs, _ = reference.samples[-1]
    expected = reference.prepare().trace(inputs)
    own = {places[value]: expected[node] for node, value in layers.items() if value in read}
    actual = runner(path)({**given, **own})
    pairs = [*layers.items(), *((node.name, name) for name, node in graph.output_nodes.items())]
    found: dict[str, list[Difference]] = {}
    for node, value in pairs:
        found.setdefault(node, []).append(difference(expected[node], actual[value]))
    return {node: worst(differences) for node, differences in found.items()}
