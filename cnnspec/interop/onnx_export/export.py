"""From a spec to an ONNX file that is proven to compute the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cnnspec import atomic
from cnnspec.arrays import Arrays
from cnnspec.diagnostics import Source
from cnnspec.errors import ExportError
from cnnspec.graph.graph import Graph
from cnnspec.graph.rewrites import Rewritten, with_folded_affine_layers, without_identities
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.interop.comparison import BATCHES
from cnnspec.interop.exported import Exported, spec_around
from cnnspec.interop.requirements import require
from cnnspec.language.render import render
from cnnspec.runtime.build import Weights, prepare, weights_of
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.options import Execution
from cnnspec.version import __version__
from cnnspec.wording import one_of

DTYPES = ("float32", "float16")
"""The data types of the numbers in a model."""
QUANTIZED = ("int8",)
"""The data types that weights are quantized to."""


@dataclass(frozen=True)
class OnnxOptions:
    """How a network is written as an ONNX model."""

    opset: int | None = None
    """The version of the operators; None for the lowest that the network needs."""
    training: bool = False
    """Whether batch normalization and dropout stay as nodes of their own, for tools that train."""
    preprocess: bool = False
    """Whether the model takes pixels, from 0 to 255, and scales them itself."""
    dtype: str = "float32"
    """The data type that it computes in; inputs and outputs are float32."""
    quantize: str | None = None
    """The data type of the weights of products, if they are quantized."""
    verify: bool = True
    """Whether the file is checked, and its outputs compared with the network's."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ExportError(f"ONNX models are written in {one_of(DTYPES)}, not in {self.dtype!r}")
        if self.quantize not in (None, *QUANTIZED):
            raise ExportError(f"weights are quantized to {one_of(QUANTIZED)}, not to {self.quantize!r}")
        if self.quantize and self.dtype != "float32":
            raise ExportError(f"a model is quantized from float32, not from {self.dtype}: leave one of the two out")


def export_onnx(
    spec: str | Path | Source | Spec | Graph,
    path: str | Path,
    weights: Weights = None,
    seed: int = Execution.seed,
    memory_limit: int | None = Execution.memory_limit,
    **options: Any,
) -> Exported:
    """Write the network of a spec or a graph as an ONNX model, and return what was written and how it was verified.

    `weights` are those of `build`; the further arguments are the fields of `OnnxOptions`. A file that exists is
    replaced, once the new one is verified. Raises ExportError where the network has no ONNX form, or where the model
    computes something else.
    """
    execution = Execution(seed=seed, memory_limit=memory_limit)
    return write_onnx(spec, path, execution, weights, OnnxOptions(**options))


def write_onnx(
    spec: str | Path | Source | Spec | Graph,
    path: str | Path,
    execution: Execution,
    weights: Weights,
    options: OnnxOptions,
) -> Exported:
    """Write an ONNX model as `export_onnx` does, with its options in one object."""
    require("onnx", extra="onnx")
    if options.quantize:
        require("onnxruntime", extra="onnx")
    from cnnspec.interop.onnx_export import files, verification
    from cnnspec.interop.onnx_export.model import to_onnx
    from cnnspec.interop.onnx_export.precision import quantize
    from cnnspec.interop.onnx_export.verification import Reference

    spec = spec_around(spec)
    graph, target = spec.graph, Path(path)
    check_memory(graph, max(BATCHES) if options.verify else 1, 4, execution.memory_limit)
    arrays = {name: a.astype("float32", copy=False) for name, a in weights_of(graph, weights, execution.seed).items()}
    preprocessing = spec.inputs if options.preprocess else None
    written = Rewritten(graph) if options.training else with_folded_affine_layers(without_identities(Rewritten(graph)))
    model = partial(
        to_onnx,
        written.graph,
        arrays_of(written, arrays),
        opset=options.opset,
        training=options.training,
        preprocessing=preprocessing,
        metadata=metadata(spec, written, options.preprocess),
    )
    exact = model()
    precision = options.quantize or options.dtype
    with atomic.folder_beside(target) as folder:
        final = folder / target.name
        source = final if precision == "float32" else folder / f"float32-{target.name}"
        ready = files.write(exact, source)
        difference = refined = rounding = None
        if options.verify:
            reference = Reference(graph, lambda: prepare(graph, execution, arrays), execution.seed, preprocessing)
            difference, refined = verification.verify(exact, source, reference)
        if options.quantize:
            ready = quantize(source, final)
        elif options.dtype != "float32":
            ready = files.write(model(options.dtype), final)
        if options.verify and final != source:
            rounding = verification.rounding(final, reference, options.dtype)
        about = _about(final)
        placed = tuple(target.with_name(file.name) for file in ready)
        for file, place in [*zip(ready, placed, strict=True)][::-1]:  # the model last, which refers to the numbers
            atomic.move(file, place)
    engine = verification.engine() if options.verify else None
    return Exported(spec.name, "onnx", placed, about, engine, difference, refined, precision, rounding)


def arrays_of(written: Rewritten, arrays: Arrays) -> Arrays:
    """Return the arrays of a rewritten graph, of which the new ones are computed in float64."""
    computed = {
        name: recipe.compute(lambda source: arrays[source].astype("float64"))
        for name, recipe in written.recipes.items()
    }
    return {name: computed[name] if name in computed else arrays[name] for name in written.graph.parameters}


def metadata(spec: Spec, written: Rewritten, preprocessed: bool) -> dict[str, str]:
    """Return what the model says of its origin: the spec, its classes and preprocessing, and computed arrays."""
    found = {"cnnspec.version": __version__, "cnnspec.spec": render(spec, defaults=False)}
    if spec.classes_of:
        found["cnnspec.classes"] = _json({name: list(classes) for name, classes in spec.classes_of.items()})
    if not preprocessed:
        found["cnnspec.preprocessing"] = _json({name: _preprocessing(given) for name, given in spec.inputs.items()})
    if written.recipes:
        found["cnnspec.folded"] = _json({name: list(recipe.sources) for name, recipe in written.recipes.items()})
    return found


def _preprocessing(settings: Input) -> dict[str, Any]:
    return {"scale": settings.scale, "mean": list(settings.mean), "std": list(settings.std), "fit": settings.fit}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _about(path: Path) -> dict[str, Any]:
    import onnx

    proto = onnx.load(path, load_external_data=False)
    return {
        "opset": next(each.version for each in proto.opset_import if not each.domain),
        "ir_version": proto.ir_version,
        "nodes": len(proto.graph.node),
        "initializers": len(proto.graph.initializer),
    }
