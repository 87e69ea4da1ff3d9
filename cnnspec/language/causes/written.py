"""The entries of the text, and the layers that each stands for."""

from __future__ import annotations

from collections.abc import Mapping

from cnnspec.diagnostics import Span
from cnnspec.language.causes.fault import Placed
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find


class Written:
    """One entry of the text, and the layers that it stands for: several where a block or a repeat holds it."""

    def __init__(self, placed: Placed) -> None:
        self.entry = placed.entry
        self.kind = placed.layer.kind
        self.names: list[str] = []

    @property
    def span(self) -> Span:
        """The place of its kind."""
        return self.entry.span

    def written(self, field: str) -> YamlNode | None:
        """Return the value of a field as the text has it, if it does."""
        config = self.entry.config
        if config is None or config.is_mapping:
            return self.entry.get(field)
        cls = find(self.kind)
        return config if cls is not None and cls.main == field else None

    @property
    def title(self) -> str:
        """What a message calls it."""
        name = self.names[0]
        if len(self.names) == 1 or not self.entry.scope.open_blocks:
            return f"`{name}`"
        return f"`{name.rsplit('.', 1)[-1]}` of the block `{self.entry.scope.open_blocks[0]}`"


def entries(placed: Mapping[str, Placed]) -> dict[Span, Written]:
    """Return the entries of the text by their places."""
    found: dict[Span, Written] = {}
    for name, one in placed.items():
        span = one.entry.span
        if span not in found:
            found[span] = Written(one)
        found[span].names.append(name)
    return found
