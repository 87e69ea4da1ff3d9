"""The JSON Schema of a value: as its field has it, with `$name` and `$(…)` wherever a value may stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter

from cnnspec.layers import Layer
from cnnspec.layers.fields import PaddingField, Size
from cnnspec.layers.reference import default_values, field_docs, field_schemas

Schema = dict[str, Any]

NAME = "[A-Za-z_][A-Za-z0-9_-]*"
_PART = "[A-Za-z0-9_][A-Za-z0-9_-]*"
PARAM = "^(?!in$)[A-Za-z_][A-Za-z0-9_]*$"


def ref(name: str) -> Schema:
    """Return a reference to a definition."""
    return {"$ref": f"#/definitions/{name}"}


EXPRESSION = ref("expression")
NUMBERS = ref("numbers")


def expression(names: Iterable[str] | None = None) -> Schema:
    """Return the schema of a text with references; of the parameters `names` alone, where these are given."""
    known = "[A-Za-z_]" if names is None else rf"(?:{'|'.join(sorted(names))})(?!\w)"
    return {"type": "string", "pattern": r"\$", "not": {"pattern": rf"\$(?!\(|{known})"}}


def numbers() -> Schema:
    """Return the schema of nested lists of numbers, whose rows have equal lengths."""
    rows: Schema = {"type": "array", "items": {"anyOf": [NUMBERS, EXPRESSION]}, "minItems": 1}
    return {"description": "A number, or nested lists of numbers.", "anyOf": [{"type": "number"}, rows]}


def either(*alternatives: Schema) -> Schema:
    """Return the schema of a value that one of the alternatives accepts; the alternatives of these are taken over."""
    found: list[Schema] = []
    for schema in alternatives:
        found += [part for part in (schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]) if part not in found]
    return found[0] if len(found) == 1 else {"anyOf": found}


def with_references(schema: Schema) -> Schema:
    """Return the schema of a field of which every value, and those within it, may be an expression."""
    if not schema:
        return schema
    if (name := next((name for name, form in _forms().items() if form == schema), None)) is not None:
        return ref(name)
    return _with_references(schema)


@cache
def _forms() -> Mapping[str, Schema]:
    """Return the forms of values that many fields have, each of which is a definition."""
    types: Mapping[str, Any] = {"size": Size, "padding": PaddingField}
    return {name: TypeAdapter(type_).json_schema() for name, type_ in types.items()}


def forms() -> dict[str, Schema]:
    """Return the definitions that fields and layers refer to."""
    found = {name: _with_references(form) for name, form in _forms().items()}
    return {**found, "numbers": numbers(), **{key: described(*form) for key, form in _COMMON.items()}}


def _with_references(schema: Schema) -> Schema:
    parts = [_inner(part) for part in schema.get("anyOf", [schema])]
    return either(*parts, EXPRESSION)


def _inner(part: Schema) -> Schema:
    match part.get("type"):
        case "array" if "items" not in part:  # whose items no field describes: they are numbers, or lists of them
            return {**part, "items": either(NUMBERS, EXPRESSION)}
        case "array" if isinstance(part["items"], list):
            return {**part, "items": [with_references(item) for item in part["items"]]}
        case "array":
            return {**part, "items": with_references(part["items"])}
        case "object":
            found = dict(part)
            if "properties" in part:
                found["properties"] = {key: with_references(item) for key, item in part["properties"].items()}
            if part.get("additionalProperties"):
                found["additionalProperties"] = with_references(part["additionalProperties"])
            return found
    return part


def described(schema: Schema, about: str, default: Any = None) -> Schema:
    """Return a schema with a description, and a default where there is one."""
    own = {"allOf": [schema]} if "$ref" in schema else schema  # what stands beside `$ref` does not count
    found = {"description": about, **own} if about else dict(own)
    return found if default is None else {**found, "default": default}


def fields_of(cls: type[BaseModel], replaced: Mapping[str, Schema] | None = None) -> dict[str, Schema]:
    """Return the schema of each field of a class; `replaced` holds those that the language reads itself."""
    schemas, docs, defaults = field_schemas(cls), field_docs(cls), default_values(cls)
    given = replaced or {}
    return {
        name: described(
            given.get(name) or with_references(schemas[name]), docs.get(name, "").replace("\n", " "), defaults.get(name)
        )
        for name in (cls.field_names() if issubclass(cls, Layer) else cls.model_fields)
    }


def mapping(properties: Mapping[str, Schema], required: Iterable[str] = (), **more: Any) -> Schema:
    """Return the schema of a mapping with these keys and no others, unless `more` says otherwise."""
    found: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    needed = list(required)
    return found | ({"required": needed} if needed else {}) | more


def required(cls: type[BaseModel]) -> list[str]:
    """Return the fields of a class that have no default."""
    return [name for name, field in cls.model_fields.items() if field.is_required()]


def listed(items: Schema, least: int = 0) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items} | ({"minItems": least} if least else {})


WHOLE = with_references({"type": "integer", "minimum": 0})
TEXT: Schema = {"type": "string"}
SHAPE = either(listed(with_references({"type": "integer", "minimum": 1}), 1), EXPRESSION)
_LAYER_NAME = either(
    {"type": "string", "pattern": rf"^{_PART}(\.{_PART})*$", "not": {"const": "input"}},
    {"type": "integer", "minimum": 0},
    EXPRESSION,
)

_COMMON: Mapping[str, tuple[Schema, str]] = {
    "name": (_LAYER_NAME, "The name, by which `from`, `share` and `outputs` refer to it."),
    "expect": (SHAPE, "The output shape that the author expects; any other is an error."),
    "share": (TEXT, "The earlier layer (or use of a block) whose weights this one uses."),
}
COMMON = {name: ref(name) for name in _COMMON}
"""The keys that every layer and every use of a block takes."""
