"""A value of a YAML text and its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cnnspec.diagnostics import Span
from cnnspec.wording import describe

Plain = None | bool | int | float | str

_NO_KEYS: Mapping[str, Span] = MappingProxyType({})


@dataclass(slots=True, eq=False)
class YamlNode:
    """A value of the text and its place: a scalar, a tuple of nodes, or a mapping of text to nodes."""

    value: Plain | tuple[YamlNode, ...] | dict[str, YamlNode]
    span: Span
    keys: Mapping[str, Span] = field(default_factory=lambda: _NO_KEYS)
    """The places of a mapping's keys."""

    @classmethod
    def of(cls, value: Any, span: Span) -> YamlNode:
        """Return a plain Python value as a tree whose places are all `span`; raise TypeError for what YAML lacks."""
        match value:
            case None | bool() | int() | float() | str():
                return cls(value, span)
            case Mapping():
                if stray := [key for key in value if not isinstance(key, str)]:
                    raise TypeError(f"a key is text, not {describe(stray[0])}")
                return cls({key: cls.of(item, span) for key, item in value.items()}, span, dict.fromkeys(value, span))
            case list() | tuple():
                return cls(tuple(cls.of(item, span) for item in value), span)
        raise TypeError(f"a spec cannot hold a value of the type {type(value).__name__}")

    @property
    def is_mapping(self) -> bool:
        """Whether it has keys."""
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """Whether it has items."""
        return isinstance(self.value, tuple)

    def items(self) -> Iterator[tuple[str, YamlNode]]:
        """The keys and values of a mapping; nothing else has any."""
        return iter(self.value.items() if isinstance(self.value, dict) else ())

    def elements(self) -> tuple[YamlNode, ...]:
        """The items of a list; nothing else has any."""
        return self.value if isinstance(self.value, tuple) else ()

    def get(self, key: str) -> YamlNode | None:
        """The value of a key, if it is there."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def texts(self) -> Iterator[str]:
        """The texts among its values, and those inside of it."""
        if isinstance(self.value, str):
            yield self.value
        for item in (*self.elements(), *(item for _, item in self.items())):
            yield from item.texts()

    def plain(self) -> Any:
        """The value as Python's own lists, dicts and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def at(self, path: tuple[str | int, ...]) -> Span:
        """The place that a path of keys and indices leads to, as far as it leads."""
        node = self
        for step in path:
            match node.value:
                case dict() if isinstance(step, str) and step in node.value:
                    node = node.value[step]
                case tuple() if isinstance(step, int) and step < len(node.value):
                    node = node.value[step]
                case _:
                    break
        return node.span

    def key_at(self, path: tuple[str | int, ...]) -> Span:
        """The place of the key that a path ends in, or of the value where it ends in an index."""
        *way, last = path
        node: YamlNode | None = self
        for step in way:
            node = node.get(step) if node is not None and isinstance(step, str) else None
        return self.at(path) if node is None else node.keys.get(str(last), self.at(path))
