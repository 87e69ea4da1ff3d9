"""What lints look at: a spec without errors, with the text that each layer comes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from cnnspec.diagnostics import Edit, Fix, Label, Severity
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.spec import Spec
from cnnspec.language.causes.fault import Placed
from cnnspec.language.document import Document
from cnnspec.language.edits import with_field
from cnnspec.language.removal import removal


@dataclass(frozen=True)
class Subject:
    """A spec without errors, its declarations, and each layer as the text has it."""

    document: Document
    spec: Spec
    placed: Mapping[str, Placed]
    used_blocks: Collection[str]

    @property
    def graph(self) -> Graph:
        """The network."""
        return self.spec.graph

    @cached_property
    def readers(self) -> Mapping[str, list[Node]]:
        """The nodes that read each node."""
        found: defaultdict[str, list[Node]] = defaultdict(list)
        for node in self.graph.nodes:
            for name in node.inputs:
                found[name].append(node)
        return found

    def producer(self, node: Node) -> Node | None:
        """Return the layer that makes the one input of a node; None for a merge, and where an input is read."""
        if len(node.inputs) != 1:
            return None
        before = self.graph.by_name[node.inputs[0]]
        return before if before.inputs else None

    def is_private(self, node: Node) -> bool:
        """Return whether a node's value is read by one layer, and is no output."""
        return len(self.readers[node.name]) == 1 and node.name not in self.graph.outputs

    def before(self, node: Node) -> Iterator[Node]:
        """Yield the chain of layers before a node, nearest first, each of which is read by the next one alone."""
        current = self.producer(node)
        while current is not None and self.is_private(current):
            yield current
            current = self.producer(current)

    def label(self, node: Node, text: str) -> Label:
        """Return a label at a layer."""
        return Label(self.placed[node.name].entry.span, text)

    def report(
        self,
        severity: Severity,
        code: str,
        message: str,
        node: Node,
        *others: Label,
        field: str = "",
        help: str = "",
        fix: Fix | None = None,
        removable: bool = False,
    ) -> None:
        """Report a warning or a note at a layer, or at one of its fields; one that is removable may be left out."""
        entry = self.placed[node.name].entry
        span = entry.span_of(field) if field else entry.span
        fixes = [fix] if fix else []
        if removable and entry.scope.collector.proposes_fixes:
            fixes += removal(self.document.levels, entry.span)
        entry.scope.report(severity, code, message, span, "", *others, help=help, fixes=fixes)

    def setting(self, node: Node, field: str, value: str) -> Fix | None:
        """Return the fix that sets a field of a layer; None where the text does not hold its fields."""
        edit = with_field(self.placed[node.name].entry, node.layer.main, field, value)
        return None if edit is None else Fix(f"set `{field}: {value}` on `{node.name}`", (edit,))

    def renaming(self, node: Node, kind: str) -> Fix | None:
        """Return the fix that puts another kind in place of a layer that is its kind alone."""
        entry = self.placed[node.name].entry
        if entry.config is not None or entry.span.text != entry.kind:
            return None
        return Fix(f"replace `{entry.kind}` with `{kind}`", (Edit(entry.span, kind),))
