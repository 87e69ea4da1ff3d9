"""Weights for a network that is written in Keras: what `model.load_weights` reads.

The layout of such a file follows from the order in which Keras keeps the layers of a model, so Keras itself writes it:
the source is executed, the layers get their arrays, and the model is saved.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.errors import BackendError
from cnnspec.graph.spec import Spec
from cnnspec.interop.comparison import BATCHES
from cnnspec.interop.exported import Exported, write_file
from cnnspec.interop.requirements import is_installed, require
from cnnspec.interop.source.keras_source import WEIGHTS, keras_source, model_name
from cnnspec.interop.source.verification import compared
from cnnspec.runtime.build import Weights, weights_of
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.options import Execution
from cnnspec.weights.keras_layouts import keras_name, layouts

BACKENDS = ("tensorflow", "jax", "torch")
"""The backends of Keras, in the order of its own preference."""


def write_keras(spec: Spec, path: Path, execution: Execution, weights: Weights = None, verify: bool = True) -> Exported:
    """Write the source, and the weights beside it where some are given: for `net.py`, `net.weights.h5`.

    A model of the source that has loaded the weights is compared with NumPy. The source alone needs no Keras. Raises
    ExportError where the network cannot be written, or where Keras computes something else.
    """
    beside = path.with_suffix(WEIGHTS)
    source = keras_source(spec, beside.name if weights else "")
    details = {"lines": source.count("\n")}
    if weights is None:
        write_file(path, source.encode())
        return Exported(spec.name, "keras", (path,), details)
    check_memory(spec.graph, max(BATCHES) if verify else 1, 4, execution.memory_limit)
    arrays = {name: a.astype(np.float32) for name, a in weights_of(spec.graph, weights, execution.seed).items()}
    keras, found = imported_keras(), None
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"model{WEIGHTS}"
        keras_model(spec, arrays, source).save_weights(file)
        if verify:
            loaded = _new_model(spec, source)
            loaded.load_weights(file)
            names = spec.graph.output_names
            found = compared(spec.graph, arrays, execution, lambda x: keras_outputs(loaded, x, names), "Keras")
        write_file(beside, file.read_bytes())
    write_file(path, source.encode())
    engine = f"keras {keras.__version__} on {keras.backend.backend()}"
    return Exported(spec.name, "keras", (path, beside), details, engine if verify else None, found)


def keras_model(spec: Spec, arrays: Arrays, source: str = "") -> Any:
    """Return the network as a Keras model with these arrays.

    Needs Keras and one of its backends: that of KERAS_BACKEND or of Keras' configuration, or else one that is
    installed. Raises BackendError where there is none.
    """
    held: dict[str, list[Array]] = {}
    for array in layouts(spec.graph):
        held.setdefault(array.layer, []).append(array.to_keras(arrays[array.name]))
    model = _new_model(spec, source or keras_source(spec))
    for layer in model.layers:
        if layer.name in held:
            layer.set_weights(held[layer.name])
    return model


def _new_model(spec: Spec, source: str) -> Any:
    """Return a model with initial weights; its data is channels last, whatever the user's configuration says."""
    keras = imported_keras()
    names: dict[str, Any] = {}
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        exec(compile(source, f"{spec.name}.py", "exec"), names)
        return names[model_name(spec)]()
    finally:
        keras.config.set_image_data_format(before)


def keras_outputs(model: Any, inputs: Arrays, names: Sequence[str]) -> Arrays:
    """Return the outputs of a model by name, for inputs with their channels first, as the outputs then are."""
    given = {keras_name(name): np.moveaxis(x, 1, -1).astype(np.float32) for name, x in inputs.items()}
    found = model(given if len(given) > 1 else next(iter(given.values())), training=False)
    outputs = found if len(names) > 1 else {names[0]: found}
    to_numpy = imported_keras().ops.convert_to_numpy
    return {name: np.moveaxis(to_numpy(outputs[name]), -1, 1) for name in names}


def imported_keras() -> Any:
    """Return the module `keras`, imported with a backend that is installed."""
    require("keras", extra="keras")
    environment, added = os.environ, False
    if "keras" not in sys.modules and "KERAS_BACKEND" not in environment and not is_installed(_configured()):
        installed = [name for name in BACKENDS if is_installed(name)]
        if not installed:
            raise BackendError(
                'Keras runs on PyTorch, TensorFlow or JAX, of which none is installed: pip install "cnnspec[torch]"'
            )
        environment["KERAS_BACKEND"], added = installed[0], True
    try:
        import keras
    except (ImportError, ValueError) as error:  # a ValueError where it does not know the backend
        raise BackendError(f"Keras cannot be imported: {error}") from error
    finally:
        if added:
            del environment["KERAS_BACKEND"]
    return keras


def _configured() -> str:
    """Return the backend that Keras' configuration names."""
    folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return str(json.loads((folder / "keras.json").read_text("utf-8")).get("backend", BACKENDS[0]))
    except (OSError, ValueError, AttributeError):
        return BACKENDS[0]
