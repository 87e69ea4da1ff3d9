"""How the rest of a spec is written: which values its layers share, and whether its convolutions keep the size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from cnnspec.graph.graph import Node
from cnnspec.language.causes.written import Written
from cnnspec.language.yaml_tree import YamlNode


class Value(NamedTuple):
    """A value as the text has it: `text` is written, and `node` is read where it stands."""

    text: str
    node: YamlNode


class Conventions:
    """What the entries of a spec have in common."""

    def __init__(self, written: Iterable[Written], nodes: Mapping[str, Node]) -> None:
        self._written = [*written]
        self._nodes = nodes

    def values(self, kind: str, field: str, without: Written, most: int = 3) -> list[Value]:
        """Return the values of a field in other layers of a kind, the most common first."""
        counts: Counter[str] = Counter()
        found: dict[str, Value] = {}
        for one in self._written:
            if one.kind == kind and one is not without and (node := one.entry.get(field)) is not None:
                text = node.span.text
                if node.span.line == node.span.end_line and node.span != one.span:
                    counts[text] += 1
                    found.setdefault(text, Value(text, node))
        return [found[text] for text, _ in counts.most_common(most)]

    def node(self, one: Written) -> Node | None:
        """Return the first layer of an entry that fits, if there is one."""
        return next((self._nodes[name] for name in one.names if name in self._nodes), None)

    def preserving(self, without: Written | None) -> float:
        """Return how many of the other windows of stride 1 keep the size, from 0 to 1; a half where there is none."""
        kept = []
        for one in self._written:
            found = (self._nodes[name] for name in one.names if name in self._nodes) if one is not without else ()
            same = [node.shape[1:] == node.in_shapes[0][1:] for node in found if slides(node)]
            if same:
                kept.append(sum(same) / len(same))
        return sum(kept) / len(kept) if kept else 0.5

    def same_window(self, layer: Any, without: Collection[Written]) -> bool:
        """Return whether another layer of the kind has the same kernel, stride and padding."""
        wanted = window_of(layer)
        return any(
            one.kind == layer.kind and one not in without and wanted == window_of(node.layer)
            for one in self._written
            if (node := self.node(one)) is not None
        )

    def has(self, kind: str) -> bool:
        """Return whether the spec has a layer of a kind."""
        return any(one.kind == kind for one in self._written)

    def count(self, kind: str, field: str, value: object) -> int:
        """Return how many layers have a value in a field."""
        found = (self.node(one) for one in self._written)
        return sum(node is not None and getattr(node.layer, field, None) == value for node in found)


def window_of(layer: Any) -> tuple[object, ...]:
    """Return the fields of a layer that place its window."""
    return tuple(getattr(layer, field, None) for field in ("kernel", "stride", "padding", "dilation"))


def slides(node: Node) -> bool:
    """Return whether a layer has a window of more than one element that moves by one."""
    return bool(node.windows) and all(w.stride == 1 and w.span > 1 and not w.bounds for w in node.windows)
