"""Weights for a network that is written in Keras: what `model.load_weights` reads.

The layout of such a file follows from the order in which Keras keeps the layers of a model, so Keras itself writes it:
the source is executed, the layers get their arrays, and the model is saved.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cnnspec import atomic
from cnnspec.arrays import Array, Arrays
from cnnspec.errors import ExportError
from cnnspec.graph.spec import Spec
from cnnspec.interop.exported import Exported
from cnnspec.interop.source.keras_source import WEIGHTS, keras_source, model_name
from cnnspec.runtime.build import Weights, weights_of
from cnnspec.runtime.options import Execution
from cnnspec.weights.keras_layouts import layouts

BACKENDS = ("tensorflow", "jax", "torch")
"""The backends of Keras, in the order of its own preference."""


def write_keras(spec: Spec, path: Path, execution: Execution, weights: Weights = None) -> Exported:
    """Write the source, and the weights beside it where some are given: for `net.py`, `net.weights.h5`.

    The source alone needs no Keras. Raises ExportError where the network cannot be written.
    """
    beside = path.with_suffix(WEIGHTS)
    source = keras_source(spec, beside.name if weights else "")
    content = _weights_file(spec, source, weights_of(spec.graph, weights, execution.seed)) if weights else None
    try:
        atomic.write(path, source.encode())
        if content is not None:
            atomic.write(beside, content)
    except OSError as error:
        raise ExportError(f"`{error.filename or path}` cannot be written: {error.strerror or error}") from error
    files = (path,) if content is None else (path, beside)
    return Exported(spec.name, "keras", files, {"lines": source.count("\n")})


def keras_model(spec: Spec, arrays: Arrays, source: str = "") -> Any:
    """Return the network as a Keras model with these arrays.

    Needs Keras and one of its backends: that of KERAS_BACKEND or of Keras' configuration, or else one that is
    installed. Raises ExportError where there is none.
    """
    keras = imported_keras()
    held: dict[str, list[Array]] = {}
    for array in layouts(spec.graph):
        held.setdefault(array.layer, []).append(array.to_keras(arrays[array.name]))
    names: dict[str, Any] = {}
    with _channels_last(keras):
        exec(compile(source or keras_source(spec), f"{spec.name}.py", "exec"), names)
        model = names[model_name(spec)]()
    for layer in model.layers:
        if layer.name in held:
            layer.set_weights(held[layer.name])
    return model


def imported_keras() -> Any:
    """Return the module `keras`, imported with a backend that is installed."""
    chosen = "KERAS_BACKEND" not in os.environ and "keras" not in sys.modules and find_spec(_configured()) is None
    installed = next((name for name in BACKENDS if find_spec(name)), None)
    if chosen and installed:
        os.environ["KERAS_BACKEND"] = installed
    try:
        import keras
    except ImportError as error:
        raise ExportError(
            "weights for Keras take Keras and one of its backends, such as the extras `keras` and `torch` "
            f"(pip install 'cnnspec[keras,torch]'): {error}"
        ) from error
    finally:
        if chosen and installed:
            del os.environ["KERAS_BACKEND"]
    return keras


def _configured() -> str:
    """Return the backend that Keras' configuration names."""
    folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return str(json.loads((folder / "keras.json").read_text("utf-8")).get("backend", BACKENDS[0]))
    except (OSError, ValueError, AttributeError):
        return BACKENDS[0]


@contextmanager
def _channels_last(keras: Any) -> Iterator[None]:
    """Make models with data in Keras' own layout, whatever the user's configuration says."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


def _weights_file(spec: Spec, source: str, arrays: Arrays) -> bytes:
    model = keras_model(spec, arrays, source)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"model{WEIGHTS}"
        model.save_weights(path)
        return path.read_bytes()
