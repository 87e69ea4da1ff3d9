"""The documentation of layers and settings as data, read from their classes: the one source of every reference."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from cnnspec.layers.base import Layer


def documentation(cls: type[BaseModel]) -> str:
    """Return the whole documentation of a class, without its indentation."""
    return inspect.cleandoc(cls.__doc__ or "")


def headline(cls: type[BaseModel]) -> str:
    """Return the first sentence of the documentation of a class."""
    return documentation(cls).split("\n\n")[0].replace("\n", " ")


def reference(cls: type[Layer]) -> dict[str, Any]:
    """Return the layer's documentation as data: its fields with their types, defaults and descriptions."""
    schemas = field_schemas(cls)
    defaults = default_values(cls)
    meanings = field_docs(cls)
    fields = {}
    for name in sorted(cls.field_names(), key=lambda name: not cls.model_fields[name].is_required()):
        fields[name] = {
            "about": meanings.get(name, ""),
            "required": cls.model_fields[name].is_required(),
            "default": defaults.get(name),
            "schema": schemas[name],
        }
    return {
        "kind": cls.kind,
        "about": documentation(cls),
        "main": cls.main,
        "merges": cls.arity is None,
        "fields": fields,
    }


@cache
def field_schemas(cls: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each field; {}, which accepts everything, for types that have none."""
    try:
        properties = cls.model_json_schema().get("properties", {})
    except PydanticInvalidForJsonSchema:
        properties = {}
    return {
        name: {key: value for key, value in properties.get(name, {}).items() if key not in ("title", "default")}
        for name in cls.model_fields
    }


@cache
def default_values(cls: type[BaseModel]) -> dict[str, Any]:
    """Return the default of each field that has one, as a spec writes it."""
    values = cls.model_construct().model_dump(mode="json", warnings=False)
    return {name: values[name] for name, field in cls.model_fields.items() if not field.is_required()}


@cache
def field_docs(cls: type[BaseModel]) -> dict[str, str]:
    """Return the docstring of each field, of the class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, BaseModel) and base not in (BaseModel, Layer):
            found.update(_own_docs(base))
    return found


@cache
def _own_docs(cls: type[BaseModel]) -> dict[str, str]:
    body = _classes(cls.__module__).get(cls.__qualname__, [])
    return {
        before.target.id: str(after.value.value)
        for before, after in pairwise(body)
        if isinstance(before, ast.AnnAssign)
        and isinstance(before.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }


@cache
def _classes(module: str) -> dict[str, list[ast.stmt]]:
    """Return the bodies of a module's classes; {} for a module of another package whose source is not installed."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):
        return {}
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}
