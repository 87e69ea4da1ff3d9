"""A network as an ONNX model whose first axis, the batch, is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cnnspec.arrays import Array, Arrays
from cnnspec.errors import ExportError
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.settings import Input
from cnnspec.interop.onnx_export import functions, norms, positions, rearranging, sampling, windows
from cnnspec.interop.onnx_export.emitter import BASELINE, Emit, Emitter
from cnnspec.layers import Shape
from cnnspec.version import __version__
from cnnspec.wording import names

BATCH = "batch"
"""The name of the free axis."""
NEWEST = min(28, onnx.defs.onnx_opset_version())
"""The highest version of ONNX's operators that is written."""

EMITTERS: dict[str, Emit] = {
    **windows.EMITTERS,
    **norms.EMITTERS,
    **rearranging.EMITTERS,
    **sampling.EMITTERS,
    **positions.EMITTERS,
    **functions.EMITTERS,
}
"""An emitter for each kind of layer."""


@dataclass(frozen=True)
class OnnxModel:
    """A network in ONNX's terms: the model without its initializers, these by name, and the name of each value."""

    skeleton: onnx.ModelProto
    initializers: Arrays
    values: Mapping[str, str]
    """The name of the value of each layer of the network."""

    @property
    def opset(self) -> int:
        """The version of the operators."""
        return int(self.skeleton.opset_import[0].version)

    def proto(self) -> onnx.ModelProto:
        """Return the model with its initializers in it; at most 2 GB of them can be serialized."""
        return self.with_initializers(numpy_helper.from_array(a, name) for name, a in self.initializers.items())

    def with_initializers(self, tensors: Any) -> onnx.ModelProto:
        """Return the model with the given tensors as its initializers."""
        model = onnx.ModelProto()
        model.CopyFrom(self.skeleton)
        model.graph.initializer.extend(tensors)
        return model


def to_onnx(
    graph: Graph,
    arrays: Mapping[str, Array],
    dtype: str = "float32",
    *,
    opset: int | None = None,
    training: bool = False,
    preprocessing: Mapping[str, Input] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> OnnxModel:
    """Return the network as an ONNX model.

    A layer's value and its last operator have the layer's name, initializers those of the arrays. `opset` is the
    lowest that the operators need, and at least `BASELINE`, unless it is given; `training` keeps layers that drop
    numbers in training; `preprocessing` is computed from the inputs by the first operators. Inputs and outputs of a
    model in float16 are float32. Raises ExportError for an unknown opset, and for layers without an emitter.
    """
    if opset is not None and not BASELINE <= opset <= NEWEST:
        raise ExportError(f"the opset {opset} is not written: it is a number from {BASELINE} to {NEWEST}")
    missing = [f"`{node.name}` ({node.kind})" for node in graph.nodes if node.inputs and node.kind not in EMITTERS]
    if missing:
        raise ExportError(f"no operator of ONNX stands for layers of other packages: {', '.join(missing)}")
    if both := [name for name in graph.output_names if name in graph.inputs and name not in graph.outputs]:
        raise ExportError(f"an input and an output are both called {names(both)}, and ONNX has one name for each value")
    values = _value_names(graph, dtype)
    e = Emitter(np.dtype(dtype), arrays, opset, {*values.values(), *graph.output_names}, training)
    edge = helper.np_dtype_to_tensor_dtype(np.dtype("float32" if dtype == "float16" else dtype))
    named = dict(values)
    for node in graph.nodes:
        e.begin(node.name)
        if node.inputs:
            read = [values[name] for name in node.inputs]
            e.end(EMITTERS[node.kind](e, node, read, node.arrays), values[node.name])
        elif (value := _prepared(e, node, (preprocessing or {}).get(node.name))) != node.name:
            values[node.name] = value
            del named[node.name]
    for name, node in graph.output_nodes.items():
        if values[node.name] != name:
            e.begin(f"{name}/output")
            cast = {"to": edge} if dtype == "float16" else {}
            e.end(e.add("Cast" if cast else "Identity", [values[node.name]], **cast), name)
    inside = helper.np_dtype_to_tensor_dtype(e.dtype)
    at_edge = {*graph.inputs, *graph.output_names}
    proto = helper.make_graph(
        e.nodes,
        graph.name,
        [value_info(name, edge, graph.by_name[name].shape) for name in graph.inputs],
        [value_info(name, edge, node.shape) for name, node in graph.output_nodes.items()],
        value_info=[
            value_info(value, inside, graph.by_name[name].shape)
            for name, value in named.items()
            if value not in at_edge
        ],
    )
    versions = [helper.make_opsetid("", e.opset)]
    model = helper.make_model(
        proto,
        opset_imports=versions,
        ir_version=helper.find_min_ir_version_for(versions),
        producer_name="cnnspec",
        producer_version=__version__,
    )
    helper.set_model_props(model, dict(metadata or {}))
    return OnnxModel(model, e.initializers, named)


def _value_names(graph: Graph, dtype: str) -> dict[str, str]:
    """Return the name of each node's value: its own, but where an output has that name.

    The output is another node's, or in float16 a cast of this one's.
    """
    outputs = graph.output_nodes
    found = {}
    for node in graph.nodes:
        is_taken = node.name in outputs and (outputs[node.name] is not node or dtype == "float16")
        found[node.name] = f"{node.name}/value" if is_taken and node.inputs else node.name
    return found


def value_info(name: str, element: int, shape: Shape) -> onnx.ValueInfoProto:
    """Return the declaration of a value: its name, its type, and the shape of a batch of it."""
    return helper.make_tensor_value_info(name, element, [BATCH, *shape])


def _prepared(e: Emitter, node: Node, settings: Input | None) -> str:
    """Append what is computed from an input before the first layer: (pixel · scale − mean) / std, and a cast."""
    x = node.name
    edge = np.float32 if e.dtype == np.float16 else e.dtype
    if settings is not None:
        x = e.add("Mul", [x, e.constant(settings.scale, edge)])
        for op, numbers, neutral in (("Sub", settings.mean, 0), ("Div", settings.std, 1)):
            if any(number != neutral for number in numbers):
                shape = (-1, *[1] * (len(node.shape) - 1))
                x = e.add(op, [x, e.constant(np.reshape(numbers, shape), edge)])
    return e.add("Cast", [x], to=onnx.TensorProto.FLOAT16) if e.dtype == np.float16 else x
