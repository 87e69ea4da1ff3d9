"""ONNX files: the model, and its numbers in a file beside it where they are too many for one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import helper, numpy_helper

from cnnspec.arrays import Array
from cnnspec.interop.onnx_export.model import OnnxModel

LIMIT = 2**31 - 2**26
"""Bytes of initializers that are stored in the model itself: protobuf refuses a message of 2 GiB."""
ALIGNMENT = 4096
"""Where arrays begin in the file beside the model, as ONNX recommends, so that they can be mapped into memory."""
SMALL = 1024
"""Bytes below which an array stays in the model, such as a shape, which the inference of shapes reads."""


def data_file(path: Path) -> Path:
    """Return the file that holds the numbers of a model that has them beside it."""
    return path.with_name(f"{path.name}.data")


def write(model: OnnxModel, path: Path) -> list[Path]:
    """Write a model, and return the files: itself, and that of its numbers where they exceed `LIMIT`."""
    if sum(array.nbytes for array in model.initializers.values()) <= LIMIT:
        path.write_bytes(model.proto().SerializeToString())
        return [path]
    path.write_bytes(without_numbers(model, data_file(path).name).SerializeToString())
    with data_file(path).open("wb") as file:
        for _, array, offset in _placed(model):
            file.write(bytes(offset - file.tell()))
            file.write(_little_endian(array).data)
    return [path, data_file(path)]


def without_numbers(model: OnnxModel, location: str) -> onnx.ModelProto:
    """Return the model with references to a file in place of all arrays but small ones."""
    placed = {name: offset for name, _, offset in _placed(model)}
    return model.with_initializers(
        _reference(name, array, location, placed[name]) if name in placed else numpy_helper.from_array(array, name)
        for name, array in model.initializers.items()
    )


def _placed(model: OnnxModel) -> Iterator[tuple[str, Array, int]]:
    """Yield the arrays that are stored beside the model, each with its offset in the file."""
    end = 0
    for name, array in model.initializers.items():
        if array.nbytes >= SMALL:
            offset = math.ceil(end / ALIGNMENT) * ALIGNMENT
            yield name, array, offset
            end = offset + array.nbytes


def _reference(name: str, array: Array, location: str, offset: int) -> onnx.TensorProto:
    tensor = onnx.TensorProto(
        name=name,
        data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
        dims=array.shape,
        data_location=onnx.TensorProto.EXTERNAL,
    )
    for key, value in {"location": location, "offset": offset, "length": array.nbytes}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _little_endian(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
