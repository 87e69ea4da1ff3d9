"""Layers that are pasted from code: `nn.Conv2d(1, 6, 5)` as a layer of a spec."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from cnnspec.language.foreign import is_per_side, pairs_of
from cnnspec.language.suggestions import suggest
from cnnspec.layers import Layer, find, known_kinds
from cnnspec.layers.conv import Weighted

_CALL = re.compile(r"(?:self\.\w+ = )?((?:\w+\.)*\w+\(.*\)),?")

_TORCH = {
    "conv": "in_channels out_channels kernel_size stride padding dilation groups bias padding_mode",
    "conv_transpose": "in_channels out_channels kernel_size stride padding output_padding groups bias dilation",
    "dense": "in_features out_features bias",
    "max_pool": "kernel_size stride padding dilation",
    "avg_pool": "kernel_size stride padding ceil_mode count_include_pad",
    "adaptive_avg_pool": "output_size",
    "adaptive_max_pool": "output_size",
    "batch_norm": "num_features eps momentum",
    "instance_norm": "num_features eps",
    "group_norm": "num_groups num_channels eps",
    "local_response_norm": "size alpha beta k",
    "dropout": "p inplace",
    "spatial_dropout": "p inplace",
    "leaky_relu": "negative_slope inplace",
    "elu": "alpha inplace",
    "flatten": "start_dim end_dim",
    "depth_to_space": "upscale_factor",
    "space_to_depth": "downscale_factor",
    "channel_shuffle": "groups",
}
"""The arguments of PyTorch's modules by position."""
_KERAS = {
    "Conv1D Conv2D Conv3D": "filters kernel_size strides padding",
    "Conv1DTranspose Conv2DTranspose Conv3DTranspose": "filters kernel_size strides padding",
    "MaxPooling1D MaxPooling2D MaxPooling3D MaxPool1D MaxPool2D MaxPool3D": "pool_size strides padding",
    "AveragePooling1D AveragePooling2D AveragePooling3D": "pool_size strides padding",
    "Dense": "units activation use_bias",
    "Dropout": "rate",
}
_KERAS_NAMES = {name: fields for names, fields in _KERAS.items() for name in names.split()}


def is_call(text: str) -> bool:
    """Return whether a text is a call of Python."""
    return _CALL.fullmatch(text) is not None


def from_call(text: str) -> str | None:
    """Return the layer that a call is, as a spec writes it; None where that cannot be told for certain."""
    found = _CALL.fullmatch(text)
    if found is None:
        return None
    try:
        call = ast.parse(found[1], mode="eval").body
        assert isinstance(call, ast.Call)
        given = [ast.literal_eval(item) for item in call.args]
        named = {item.arg: ast.literal_eval(item.value) for item in call.keywords if item.arg is not None}
    except (SyntaxError, ValueError, AssertionError):
        return None
    name = found[1].partition("(")[0]
    cls = find(suggest(name, known_kinds(), certain=True) or "")
    if cls is None or len(named) < len(call.keywords):
        return None
    positions = _KERAS_NAMES.get(name.rsplit(".")[-1]) or _TORCH.get(cls.kind, "inplace")
    if len(given) > len(positions.split()):
        return None
    arguments = {**dict(zip(positions.split(), given, strict=False)), **named}
    try:
        fields = dict(_fields(cls, arguments, is_per_side(name)))
    except ValueError:
        return None
    return _written(cls, fields)


def _fields(cls: type[Layer], arguments: dict[str, Any], per_side: bool) -> Iterator[tuple[str, str]]:
    """Yield the fields of a layer for the arguments of a call; raise ValueError for one that is not known."""
    known = (*cls.model_fields, *(("norm", "activation") if issubclass(cls, Weighted) else ()), "name")
    for key, value in arguments.items():
        value = list(value) if isinstance(value, tuple) else value
        pairs = pairs_of(key, value, known)
        if pairs is not None:
            yield from pairs
            continue
        field = key if key in known else suggest(key, known, certain=True)
        if field is None or (isinstance(value, dict | list) and any(isinstance(n, list | tuple) for n in value)):
            raise ValueError(key)
        if field == "padding" and per_side and value != 0 and not isinstance(value, str):
            value = f"{{each_side: {value}}}"
        if field in cls.model_fields and cls.model_fields[field].default == value:
            continue
        yield field, str(value).lower() if isinstance(value, bool) else str(value)


def _written(cls: type[Layer], fields: dict[str, str]) -> str:
    if not fields:
        return cls.kind
    if cls.main is not None and [*fields] == [cls.main]:
        return f"{cls.kind}: {fields[cls.main]}"
    return f"{cls.kind}: {{{', '.join(f'{field}: {text}' for field, text in fields.items())}}}"
