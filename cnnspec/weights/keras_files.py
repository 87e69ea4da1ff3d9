"""Weights files of Keras: `.keras`, `.weights.h5`, and the older `.h5`, read without Keras.

A `.weights.h5` file has the variables of a layer at `layers/conv2d_1/vars/0`, by the layer's class and its ordinal; the
layer's name is an attribute of `vars`. A `.keras` file is an archive of one, with the names of the layers in
`config.json`. A `.h5` file of older versions has them by name. Nothing in a file is executed.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.errors import WeightsError
from cnnspec.layers import Shape
from cnnspec.weights import hub

SUFFIXES = (".keras", ".h5", ".hdf5")
DEEPEST = 100
"""How deep groups are nested at most; a group that contains itself has no end."""
_INSIDE = "model.weights.h5"
_CONFIG = "config.json"


class Variable(NamedTuple):
    """An array of a Keras layer in an open file."""

    path: str
    """Its place in the layer: `0`, or `query_dense/0`; empty in a file of older versions, which only has an order."""
    data: Any

    @property
    def shape(self) -> Shape:
        """The shape of the array."""
        return tuple(self.data.shape)

    def read(self) -> Array:
        """Return the array; half precision as float32."""
        array = np.asarray(self.data[()])
        return array.astype(np.float32) if array.dtype == np.float16 else array


Variables = dict[str, list[Variable]]
"""The arrays of each layer by its name."""


def is_keras(path: str | Path) -> bool:
    """Whether the file's name is that of a weights file of Keras."""
    return Path(str(path).partition("#")[0]).suffix.lower() in SUFFIXES


@contextmanager
def opened(path: str | Path) -> Iterator[Variables]:
    """Open a weights file of Keras; raise WeightsError where it is none, or cannot be read."""
    try:
        import h5py
    except ImportError as error:
        raise WeightsError(
            f"reading `{path}` takes h5py: install the extra `keras` (pip install 'cnnspec[keras]')"
        ) from error
    path = hub.local(path, SUFFIXES)
    if not Path(path).is_file():
        what = "is a directory" if Path(path).is_dir() else "is no regular file"
        raise WeightsError(f"`{path}` {what}" if Path(path).exists() else f"there is no file `{path}`")
    source: Any = path
    names: dict[str, str] = {}
    if Path(path).suffix.lower() == ".keras":
        source, names = _unpacked(path)
    try:
        with h5py.File(source, "r") as file:
            yield _variables(path, file, names)
    except (OSError, RuntimeError, KeyError) as error:  # h5py raises these for a file that is cut short
        raise WeightsError(f"`{path}` is cut short, or no weights file of Keras: {error}") from error


def _unpacked(path: str | Path) -> tuple[BytesIO, dict[str, str]]:
    """Return the weights in an archive, and the layers' names by their place in the weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            if _INSIDE not in archive.namelist():
                raise WeightsError(f"`{path}` is no file of Keras: it has no `{_INSIDE}`")
            config = json.loads(archive.read(_CONFIG)) if _CONFIG in archive.namelist() else {}
            return BytesIO(archive.read(_INSIDE)), dict(_layer_names(config, ""))
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"`{path}` is cut short, or no file of Keras: {error}") from error
    except OSError as error:
        raise WeightsError(f"`{path}` cannot be read: {error.strerror or error}") from error


def _layer_names(config: Any, inside: str) -> Iterator[tuple[str, str]]:
    """Yield the place of each layer in the weights, and its name, from a model's configuration."""
    own = config.get("config") if isinstance(config, dict) else None
    layers = own.get("layers") if isinstance(own, dict) else None
    counts: dict[str, int] = {}
    for entry in layers if isinstance(layers, list) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
            continue
        word = _snake(str(entry.get("class_name", "")))
        counts[word] = counts.get(word, -1) + 1
        place = f"{inside}layers/{word}{f'_{counts[word]}' if counts[word] else ''}"
        yield place, str(entry["config"].get("name", ""))
        yield from _layer_names(entry, f"{place}/")


def _snake(name: str) -> str:
    """Return the name of a class as Keras writes it in weights files: `conv2d` for `Conv2D`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


# Inside of a file


def _variables(path: str | Path, file: Any, names: Mapping[str, str]) -> Variables:
    held = file.get("model_weights", file)
    if "layer_names" in held.attrs:
        return _by_name(path, held)
    found: Variables = {}
    unnamed = []
    for place, data in _datasets(path, file, ""):
        layer, inside = _split(place)
        if layer is None:  # of the optimizer, or no variable
            continue
        name = (
            file[f"{layer}/vars"].attrs.get("name", names.get(layer)) if f"{layer}/vars" in file else names.get(layer)
        )
        if name is None:
            unnamed.append(layer)
            continue
        found.setdefault(_text(name), []).append(Variable(inside, data))
    if unnamed:
        raise WeightsError(
            f"`{path}` does not say what its layers are called (`{unnamed[0]}`): an older version of Keras wrote it; "
            "save the whole model as `.keras`"
        )
    if not found:
        raise WeightsError(f"`{path}` holds no layers with weights: it is no weights file of Keras")
    return found


def _split(place: str) -> tuple[str | None, str]:
    """Return the layer that a variable is of, and its place in it: `0` for `layers/conv2d/vars/0`."""
    found = re.fullmatch(r"((?:.*/)?layers/[^/]+)/((?:.*/)?)vars/(\d+)", place)
    if found is None or found[1].startswith("optimizer") or "seed_generator" in found[2]:
        return None, ""
    return found[1], f"{found[2]}{found[3]}"


def _by_name(path: str | Path, held: Any) -> Variables:
    """Return the variables of a file in the form of Keras 2, where each layer lists its own in order."""
    found: Variables = {}
    for name in map(_text, held.attrs["layer_names"]):
        if name not in held:
            raise WeightsError(f"`{path}` lists the layer `{name}` and does not hold it: it is cut short")
        group = held[name]
        for weight in map(_text, group.attrs.get("weight_names", ())):
            if weight not in group:
                raise WeightsError(f"`{path}` lists `{weight}` and does not hold it: it is cut short")
            found.setdefault(name, []).append(Variable("", _plain(path, weight, group, weight)))
    return found


def _datasets(path: str | Path, group: Any, inside: str) -> Iterator[tuple[str, Any]]:
    """Yield the arrays in a group by their place, the links to other files and places left out."""
    import h5py

    if inside.count("/") > DEEPEST:
        raise WeightsError(f"`{path}` is no weights file of Keras: its groups are more than {DEEPEST} deep")
    for key in group:
        place = f"{inside}{key}"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            continue
        if isinstance(group[key], h5py.Group):
            yield from _datasets(path, group[key], f"{place}/")
        elif isinstance(group[key], h5py.Dataset):
            yield place, _plain(path, place, group, key)


def _plain(path: str | Path, place: str, group: Any, key: str) -> Any:
    """Return an array that stands in the file itself."""
    import h5py

    data = group[key]
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
        raise WeightsError(f"`{path}`: the numbers of `{place}` are not in the file itself")
    return data


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
