"""Weights files: safetensors with the names `<layer>.<parameter>`, read, and written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import save

from cnnspec import atomic, bundled
from cnnspec.arrays import Array, Arrays
from cnnspec.errors import WeightsError
from cnnspec.weights import hub
from cnnspec.wording import nearest

SUFFIX = ".safetensors"

_DTYPES: dict[str, str] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


PRIVATE = "@"
"""The prefix of the arrays in a checkpoint that are not weights."""


# Files


def find(name_or_path: str | Path) -> Path:
    """Return the weights file of a path, a bundled name (`lenet`) or `hf://…`; a file of a path takes precedence."""
    if hub.is_reference(name_or_path):
        return hub.local(name_or_path, (SUFFIX,))
    path = Path(name_or_path)
    if path.is_file():
        return path
    inside = bundled.find(str(name_or_path), SUFFIX)
    if inside is not None:
        return inside
    if path.exists():
        return path  # reading it reports the error
    known = bundled.names(SUFFIX)
    near = nearest(str(name_or_path), known)
    hint = f"did you mean `{near}`?" if near else f"bundled are: {', '.join(known) or 'none'}"
    raise WeightsError(f"there are no weights `{name_or_path}`, neither as a file nor bundled; {hint}")


def read(path: str | Path, *, private: bool = False, called: str | Path = "") -> Arrays:
    """Return all tensors of a safetensors file by name; half precision (F16, BF16) is converted to float32.

    Names that begin with `@` are the training state of a checkpoint, and are left out unless `private`. Messages call
    the file by its path, or as `called`.
    """
    called = called or path
    _checked_file(path)
    try:
        tensors = deserialize(Path(path).read_bytes())  # type: ignore[no-untyped-call]
    except (OSError, SafetensorError) as error:
        raise _unreadable(called, error) from error
    arrays = {}
    for name, tensor in tensors:
        if name.startswith(PRIVATE) and not private:
            continue
        dtype, shape, data = tensor["dtype"], tensor["shape"], tensor["data"]
        if dtype == "BF16":  # the upper half of a float32
            arrays[name] = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
        elif dtype in _DTYPES:
            array = np.frombuffer(data, _DTYPES[dtype]).reshape(shape)
            arrays[name] = array.astype(np.float32) if dtype == "F16" else array
        else:
            known = ", ".join([*_DTYPES, "BF16"])
            raise WeightsError(
                f"`{called}`: the tensor `{name}` has the dtype {dtype}; those that are read are {known}"
            )
    return arrays


def metadata(path: str | Path, *, called: str | Path = "") -> dict[str, str]:
    """Return the metadata of a safetensors file, which messages call by its path, or as `called`."""
    _checked_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise _unreadable(called or path, error) from error


def write(path: str | Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file atomically."""
    ready = {}
    for name, array in arrays.items():
        # Not ascontiguousarray, which turns a single number into a list of one.
        ready[name] = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        if ready[name].dtype not in map(np.dtype, _DTYPES.values()):
            raise WeightsError(f"`{path}`: the tensor `{name}` holds {array.dtype}, which safetensors does not")
    try:
        atomic.write(path, _in_order(save(ready, dict(metadata or {}))))
    except OSError as error:
        raise WeightsError(f"`{path}` cannot be written: {error.strerror or error}") from error


def _in_order(content: bytes) -> bytes:
    """Sort the metadata, which the library writes in random order, so that equal weights give equal files."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(-len(text) // 8 * -8)  # tensors are aligned to 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _checked_file(path: str | Path) -> None:
    found = Path(path)
    if found.is_dir():
        raise WeightsError(f"`{path}` is a directory, not a safetensors file")
    if not found.exists():
        raise WeightsError(f"there is no file `{path}`")
    if not found.is_file():  # a device might never end
        raise WeightsError(f"`{path}` is not a regular file")


def _unreadable(path: str | Path, error: Exception) -> WeightsError:
    if isinstance(error, OSError):
        return WeightsError(f"`{path}` cannot be read: {error.strerror or error}")
    return WeightsError(f"`{path}` is not a complete safetensors file: {error}")


# Against a network
