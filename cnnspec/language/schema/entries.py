"""The JSON Schema of entries: one of several kinds, alone, with its main field, or with a mapping of its fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from cnnspec.language.schema.values import (
    EXPRESSION,
    Schema,
    described,
    either,
    fields_of,
    mapping,
    ref,
    required,
    with_references,
)
from cnnspec.layers.reference import documentation, field_schemas


def configuration(
    cls: type[BaseModel],
    main: str | None,
    common: Mapping[str, Schema] | None = None,
    replaced: Mapping[str, Schema] | None = None,
    *,
    like: str | None = None,
) -> Schema:
    """Return what may stand behind `kind:`: the fields, the value of the main field, an expression, or nothing.

    `common` are keys beside the fields, and the key `like` may stand in place of the field that is called so.
    """
    needed = required(cls)
    properties = {**fields_of(cls, replaced), **(common or {})}
    rules: dict[str, Any] = {}
    if like is not None:
        about = f"A layer whose spatial sizes are taken, in place of `{like}`."
        properties["like"] = described({"type": "string"}, about)
        rules["not"] = {"required": [like, "like"]}
        if like in needed:
            rules["anyOf"] = [{"required": [like]}, {"required": ["like"]}]
    alternatives = [mapping(properties, [name for name in needed if name != like], **rules)]
    if main is not None:
        alternatives += [(replaced or {}).get(main) or with_references(field_schemas(cls)[main])]
    alternatives += [EXPRESSION] if set(needed) else [EXPRESSION, {"type": "null"}]
    return described(either(*alternatives), documentation(cls))


def entry(alone: Iterable[str], kinds: Mapping[str, Schema], **more: Any) -> Schema:
    """Return the schema of an entry: a kind alone, a mapping of one kind to what stands behind it, or an expression.

    `more` are further rules for the mapping.
    """
    words = list(alone)
    one_key = mapping(kinds, patternProperties={r"\$": {}}, minProperties=1, maxProperties=1) | more
    return either(*([{"enum": words}] if words else []), one_key, EXPRESSION)


class Definitions(dict[str, Schema]):
    """The definitions of a schema by name."""

    def choice(
        self,
        family: str,
        options: Mapping[str, type[BaseModel]],
        common: Mapping[str, Schema] | None = None,
        replaced: Mapping[str, Schema] | None = None,
    ) -> Schema:
        """Define a family of kinds, and return a reference to what accepts one of them."""
        for kind, cls in options.items():
            own = {key: schema for key, schema in (replaced or {}).items() if key in cls.model_fields}
            self[f"{family}.{kind}"] = configuration(cls, getattr(cls, "main", None), common, own)
        kinds = {kind: ref(f"{family}.{kind}") for kind in options}
        self[family] = entry([kind for kind, cls in options.items() if not required(cls)], kinds)
        return ref(family)
