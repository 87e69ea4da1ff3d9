"""cnnspec: a CNN is data, not code. Check it without a framework, run and train it on any backend.

import cnnspec
graph = cnnspec.load("lenet")
model = cnnspec.build(graph, backend="numpy")
y = model.predict(x)                  # x [n, 1, 28, 28] -> y [n, 10]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cnnspec.version import __version__ as __version__

if TYPE_CHECKING:
    from cnnspec.data import DataError, Dataset
    from cnnspec.diagnostics import Diagnostic, Source, SpecError
    from cnnspec.errors import (
        BackendError,
        ExportError,
        ImportingError,
        InputError,
        MemoryLimitError,
        TrainingError,
        WeightsError,
    )
    from cnnspec.graph.graph import Graph
    from cnnspec.graph.spec import Spec
    from cnnspec.graph.training import Train
    from cnnspec.interop.exported import Exported
    from cnnspec.interop.imported import ImportedNetwork
    from cnnspec.interop.onnx_export.export import export_onnx
    from cnnspec.interop.onnx_import.load import import_onnx
    from cnnspec.interop.torch_export import export_torch
    from cnnspec.interop.torch_import.load import from_torch
    from cnnspec.language.fixing import fix
    from cnnspec.language.load import Report, check, load, loads
    from cnnspec.language.render import render
    from cnnspec.runtime.build import build, to_torch
    from cnnspec.runtime.model import Model
    from cnnspec.testing.verification import verify
    from cnnspec.training.evaluation import Evaluation
    from cnnspec.training.evaluator import evaluate
    from cnnspec.training.prediction import Prediction, predict
    from cnnspec.training.result import Result
    from cnnspec.training.run import train

# Looked up on first use, so that `import cnnspec` costs nothing and `check` never imports numpy.
_HOMES = {
    "Report": "language.load",
    "check": "language.load",
    "fix": "language.fixing",
    "load": "language.load",
    "loads": "language.load",
    "BackendError": "errors",
    "InputError": "errors",
    "Model": "runtime.model",
    "Diagnostic": "diagnostics",
    "Source": "diagnostics",
    "SpecError": "diagnostics",
    "Graph": "graph.graph",
    "Spec": "graph.spec",
    "build": "runtime.build",
    "to_torch": "runtime.build",
    "train": "training.run",
    "evaluate": "training.evaluator",
    "predict": "training.prediction",
    "Prediction": "training.prediction",
    "verify": "testing.verification",
    "render": "language.render",
    "DataError": "errors",
    "ExportError": "errors",
    "Exported": "interop.exported",
    "ImportingError": "errors",
    "ImportedNetwork": "interop.imported",
    "import_onnx": "interop.onnx_import.load",
    "export_onnx": "interop.onnx_export.export",
    "export_torch": "interop.torch_export",
    "from_torch": "interop.torch_import.load",
    "Dataset": "data",
    "Evaluation": "training.evaluation",
    "MemoryLimitError": "errors",
    "Result": "training.result",
    "Train": "graph.training",
    "TrainingError": "errors",
    "WeightsError": "errors",
}

__all__ = [
    "BackendError",
    "DataError",
    "Dataset",
    "Diagnostic",
    "Evaluation",
    "ExportError",
    "Exported",
    "Graph",
    "ImportedNetwork",
    "ImportingError",
    "InputError",
    "MemoryLimitError",
    "Model",
    "Prediction",
    "Report",
    "Result",
    "Source",
    "Spec",
    "SpecError",
    "Train",
    "TrainingError",
    "WeightsError",
    "build",
    "check",
    "evaluate",
    "export_onnx",
    "export_torch",
    "fix",
    "from_torch",
    "import_onnx",
    "load",
    "loads",
    "predict",
    "render",
    "to_torch",
    "train",
    "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cnnspec' has no attribute {name!r}")
    value = getattr(import_module(f"cnnspec.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
