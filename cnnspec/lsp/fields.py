"""What the JSON Schema of a spec says of a place: the keys and the values that it takes, and what they mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cnnspec.lsp.context import ITEM, Path

Schema = Mapping[str, Any]


class Key(NamedTuple):
    """A key that a mapping takes."""

    about: str
    default: Any
    needs: tuple[str, ...]
    """The keys that a mapping behind it must have; () where it may have none."""
    alone: bool
    """Whether nothing needs to stand behind it."""


class Fields:
    """The schema of a spec, by the path of a place in it."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def at(self, path: Path) -> list[Schema]:
        """Return the alternatives of what may stand at a place."""
        found = [*self._alternatives(self.schema)]
        for step in path:
            inner = [child for schema in found for child in _children(schema, step)]
            found = [schema for child in inner for schema in self._alternatives(child)]
        return found

    def about(self, path: Path) -> str:
        """Return the documentation of a key, and "" where there is none."""
        described = [text for schema in self._of_key(path) if (text := schema.get("description"))]
        return str(described[0]) if described else ""

    def default(self, path: Path) -> Any:
        """Return the default of a key; None where it has none."""
        return next((schema["default"] for schema in self._of_key(path) if "default" in schema), None)

    def _of_key(self, path: Path) -> Iterator[Schema]:
        for schema in self.at(path[:-1]):
            for child in _children(schema, path[-1]):
                yield child
                yield from self._referred(child)

    def _referred(self, schema: Schema) -> Iterator[Schema]:
        """Yield what a schema is a reference to, alone or as its one rule."""
        for inner in (schema, *schema.get("allOf", ())):
            if "$ref" in inner:
                yield self._resolve(inner)

    def keys(self, path: Path) -> dict[str, Key]:
        """Return the keys that a mapping at a place takes."""
        found: dict[str, Key] = {}
        for schema in self.at(path):
            for name, child in schema.get("properties", {}).items():
                if name not in found:
                    found[name] = self._key((*path, name), child)
        return found

    def _key(self, path: Path, schema: Schema) -> Key:
        inner = [*self._alternatives(schema)]
        mappings = [part for part in inner if "properties" in part]
        needs = tuple(mappings[0].get("required", ())) if mappings and all(p.get("required") for p in mappings) else ()
        alone = any(part.get("type") == "null" for part in inner)
        return Key(self.about(path), self.default(path), needs, alone)

    def required(self, path: Path) -> set[str]:
        """Return the keys that a mapping at a place must have."""
        return {key for schema in self.at(path) if "properties" in schema for key in schema.get("required", ())}

    def is_entry(self, path: Path) -> bool:
        """Return whether a mapping at a place has one key, the kind of a layer or another entry."""
        return any(schema.get("maxProperties") == 1 for schema in self.at(path))

    def values(self, path: Path) -> list[str]:
        """Return the words that may stand at a place, as a spec writes them."""
        found: list[str] = []
        for schema in self.at(path):
            words = schema.get("enum", [schema["const"]] if "const" in schema else [])
            found += [word if isinstance(word, str) else json.dumps(word) for word in words]
            found += ["true", "false"] if schema.get("type") == "boolean" else []
        return list(dict.fromkeys(found))

    def _alternatives(self, schema: Schema) -> Iterator[Schema]:
        if "$ref" in schema:
            yield from self._alternatives(self._resolve(schema))
            return
        parts: Iterable[Schema] = (part for key in ("anyOf", "allOf", "oneOf") for part in schema.get(key, ()))
        yield schema
        for part in parts:
            if "if" not in part and part.keys() != {"not"}:
                yield from self._alternatives(part)

    def _resolve(self, schema: Schema) -> Schema:
        found: Schema = self.schema["definitions"][schema["$ref"].rpartition("/")[2]]
        return found


def _children(schema: Schema, step: str | None) -> Iterator[Schema]:
    """Yield what a schema says of an item, or of the value of a key."""
    if step is ITEM:
        items = schema.get("items", ())
        yield from items if isinstance(items, list) else (items,) if items else ()
        return
    if (child := schema.get("properties", {}).get(step)) is not None:
        yield child
        return
    matching = [child for pattern, child in schema.get("patternProperties", {}).items() if re.search(pattern, step)]
    other = schema.get("additionalProperties")
    yield from matching or ([other] if isinstance(other, Mapping) else [])
