"""Where a value is read: the names that are bound there, and how one came to be there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cnnspec.diagnostics import CODES, Diagnostic, Label, Span
from cnnspec.language.collector import Findings
from cnnspec.language.expressions import ExpressionError, Lost, evaluate, has_reference
from cnnspec.language.yaml_tree import MAX_DEPTH, MAX_NODES, YamlNode
from cnnspec.wording import nearest, quoted


class Faulty(Exception):
    """A value that cannot be had; what is wrong with it has been said."""


@dataclass(frozen=True)
class Scope:
    """Where something is read: what `$name` means there, and how one came to be there."""

    findings: Findings
    values: Mapping[str, Any] = field(default_factory=dict)
    frames: tuple[Label, ...] = ()
    """The uses of blocks that lead here, innermost first."""
    blocks: tuple[str, ...] = ()
    """The names of those blocks."""
    prefix: str = ""
    """What names are prefixed with, `stage2.`."""

    def fault(
        self,
        code: str,
        message: str,
        span: Span,
        label: str = "",
        *others: Label,
        notes: Iterable[str] = (),
        help: str = "",
        severity: Any = "error",
    ) -> None:
        """Says what is wrong at a place."""
        assert code in CODES, code
        if code in self.findings.excused:
            return
        diagnostic = Diagnostic(
            code, message, Label(span, label), severity, (*others, *self.frames), tuple(notes), help
        )
        self.findings.add(diagnostic, self.frames)

    def inside(self, **changes: Any) -> Scope:
        """This scope with something changed."""
        return replace(self, **changes)

    def value(self, node: YamlNode) -> Any:
        """The node's value as plain Python, with its references put in; Faulty where one fails."""
        if isinstance(node.value, str):
            return self._text(node, node.value) if has_reference(node.value) else node.value
        if isinstance(node.value, tuple):
            return [self.value(item) for item in node.value]
        if isinstance(node.value, dict):
            return {key: self.value(item) for key, item in node.value.items()}
        return node.value

    def _text(self, node: YamlNode, text: str) -> Any:
        try:
            value = evaluate(text, self.values)
        except Lost:
            raise Faulty from None
        except ExpressionError as error:
            remedy = self._known(error.unknown) if error.unknown else ""
            self.fault(error.code, error.message, _within(node.span, text, error.start, error.end), help=remedy)
            raise Faulty from None
        if isinstance(value, list):
            self._count(value, node)
        return value

    def _known(self, name: str) -> str:
        near = nearest(name, self.values)
        if near:
            return f"did you mean `${near}`?"
        names = ", ".join(f"`{name}`" for name in self.values)
        return f"the parameters here are {names}" if names else "declare it under `params:`"

    def _count(self, value: list[Any], node: YamlNode) -> None:
        """Lists that hold lists that hold lists may grow as no text does."""
        depth, level = 1, value
        while level and self.findings.values <= MAX_NODES and depth <= MAX_DEPTH:
            self.findings.values += len(level)
            depth += 1
            level = [item for inner in level if isinstance(inner, list) for item in inner[:MAX_NODES]]
        if level:
            message = f"{quoted(str(node.value))} is nested too deep, or put in too often"
            limits = f"at most {MAX_DEPTH} levels, and {MAX_NODES:,} values in all"
            self.fault("bad-expression", message, node.span, help=limits)
            raise Faulty


def _within(span: Span, text: str, start: int, end: int) -> Span:
    """A stretch of a scalar's text, as a place in the source; the whole scalar where it is written in another way."""
    line = span.source.lines[span.line - 1]
    quote = line[span.column - 1 : span.column] in ("'", '"')
    first = span.column + quote
    if span.end_line != span.line or line[first - 1 : first - 1 + len(text)] != text:
        return span
    return span._replace(column=first + start, end_column=first + end)
