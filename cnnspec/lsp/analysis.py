"""What is known of the text of one document: its tree, its diagnostics, its expansion and the costs of its layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

from cnnspec.diagnostics import Diagnostic, Source, Span
from cnnspec.graph.graph import Node
from cnnspec.graph.spec import Spec
from cnnspec.language.document import Document, Opener
from cnnspec.language.expand import Expansion
from cnnspec.language.files import open_base
from cnnspec.language.load import checked
from cnnspec.language.schema.document import schema, schema_of_document
from cnnspec.language.yaml_tree import YamlNode, parse
from cnnspec.layers import known_kinds


class Analysis:
    """The analysis of a text; what only some requests need is computed when it is asked for.

    `earlier` is the last analysis of the document whose text could be read: while a text cannot, the names of that one
    are offered.
    """

    def __init__(self, source: Source, opener: Opener = open_base, earlier: Analysis | None = None) -> None:
        self.source = source
        self.opener = opener
        built = checked(source, opener)
        self.diagnostics: Sequence[Diagnostic] = built.diagnostics
        self.expansion: Expansion | None = built.expansion
        self._spec = built.spec
        root, _ = parse(source)
        self.root: YamlNode | None = root if root is not None and root.is_mapping else None
        self._earlier = earlier.readable if earlier is not None else None

    @property
    def readable(self) -> Analysis | None:
        """This analysis if its text holds declarations, or the last earlier one whose text did."""
        return self if self.expansion is not None else self._earlier

    @property
    def document(self) -> Document | None:
        """The declarations: parameters, blocks and inputs."""
        return self.expansion.document if self.expansion is not None else None

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes of the network, up to an error."""
        return self.expansion.placer.builder.nodes if self.expansion is not None else ()

    @cached_property
    def spec(self) -> Spec | None:
        """The spec; where it has errors, one of the layers that are not behind them; None where there are none."""
        if self._spec is not None or self.expansion is None or not self.nodes:
            return self._spec
        return Spec(self.expansion.document.name, self.expansion.placer.builder.graph(), {})

    @cached_property
    def nodes_at(self) -> dict[Span, list[Node]]:
        """The nodes by their place: several where a block is used or a repeat has rounds."""
        found: dict[Span, list[Node]] = {}
        for node in self.nodes:
            if node.span is not None:
                found.setdefault(node.span, []).append(node)
        return found

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the text, with its blocks; that of every spec where there are no declarations."""
        if self.document is None or self.root is None:
            return any_schema()
        return schema_of_document(self.document, self.root, known_kinds())


@cache
def any_schema() -> dict[str, Any]:
    """Return the JSON Schema of every spec."""
    return schema(known_kinds())


_SIGN = re.compile(r"^(?:cnnspec:|layers:|# yaml-language-server: .*\bcnnspec\b)", re.MULTILINE)
_EXTENDS = re.compile(r"^extends:", re.MULTILINE)
_OTHER_KEY = re.compile(r"^(?:params|input|train|blocks):", re.MULTILINE)


def is_spec(text: str) -> bool:
    """Return whether a YAML text is a spec, by its top-level keys or its modeline: an editor opens others, too."""
    return bool(_SIGN.search(text) or (_EXTENDS.search(text) and _OTHER_KEY.search(text)))
