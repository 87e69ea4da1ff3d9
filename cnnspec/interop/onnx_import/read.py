"""ONNX files: read, and refused where they are cut short, too new, or lead outside of their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnnspec.errors import ImportingError
from cnnspec.interop.requirements import require


def onnx_library() -> Any:
    """Return the module onnx; raise BackendError where it is not installed."""
    require("onnx", extra="onnx")
    import onnx

    return onnx


def read(path: str | Path) -> Any:
    """Return the model of a file, with its external data and with its functions expanded."""
    onnx = onnx_library()
    from google.protobuf.message import DecodeError

    file = Path(path)
    if file.is_dir():
        raise ImportingError(f"`{path}` is a directory, not an ONNX file")
    if not file.exists():
        raise ImportingError(f"there is no file `{path}`")
    try:
        model = onnx.load(file)
    except DecodeError:
        raise ImportingError(f"`{path}` is not a complete ONNX file") from None
    except OSError as error:
        raise ImportingError(f"`{path}` cannot be read: {error.strerror or error}") from None
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ImportingError(f"the external data of `{path}` cannot be read: {error}") from None
    if not model.graph.node:
        raise ImportingError(f"`{path}` is not an ONNX model: its graph has no nodes")
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > newest:
            raise ImportingError(
                f"`{path}` is of opset {opset.version}, and the installed onnx knows those up to {newest}: "
                "update onnx, or export the model in an older opset"
            )
    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    return model


def inputs_of(model: Any) -> list[Any]:
    """Return the declarations of a model's inputs: older models list the initializers among them."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [info for info in model.graph.input if info.name not in constants]
