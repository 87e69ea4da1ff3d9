"""The scope in which a value of the text is read: the parameters that are bound there, and the expansion stack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict, Unpack

from cnnspec.diagnostics import Diagnostic, Fix, Label, Severity, Span
from cnnspec.language.collector import DiagnosticCollector
from cnnspec.language.expressions import (
    ARRIVING,
    ARRIVING_SIZES,
    ExpressionError,
    UnresolvedValue,
    evaluate,
    has_reference,
)
from cnnspec.language.repairs import for_name, replaced
from cnnspec.language.yaml_tree import MAX_DEPTH, MAX_NODES, YamlNode
from cnnspec.wording import nearest, quoted


class InvalidValue(Exception):
    """A value that cannot be evaluated; the reason is among the diagnostics."""


@dataclass
class ValueCounter:
    """How many values of lists the references of one check have inserted."""

    count: int = 0


class More(TypedDict, total=False):
    """What a diagnostic has beside its message and its places."""

    notes: Iterable[str]
    help: str
    fixes: Iterable[Fix]


class SharedBlock(NamedTuple):
    """A use of a block whose layers have the weights of another use: the prefixes of the names of both."""

    own: str
    other: str
    span: Span
    """The place that says so."""


@dataclass(frozen=True)
class Scope:
    """The values of `$name` at a place, the uses of blocks and rounds of repeats around it, and the diagnostics."""

    collector: DiagnosticCollector
    values: Mapping[str, Any] = field(default_factory=dict)
    stack: tuple[Label, ...] = ()
    """The uses of blocks and the rounds of repeats that are being expanded, innermost first."""
    open_blocks: tuple[str, ...] = ()
    """The names of the blocks that are being expanded, innermost first."""
    in_branch: bool = False
    """Whether it is that of a branch of a merge."""
    begins_branch: bool = False
    """Whether it is that of the first item of a branch, or of what this item expands to first."""
    prefix: str = ""
    """The prefix of the names of layers, `stage2.`."""
    arriving: Mapping[str, Any] | None = None
    """The values of `$in` and of the sizes that arrive here; None outside of layers."""
    shared: SharedBlock | None = None
    """The use of a block around it that shares weights, if there is one."""
    declared: Mapping[str, YamlNode] = field(default_factory=dict)
    """The parameters of the spec as the text has them."""
    inserted: ValueCounter = field(default_factory=ValueCounter)

    def error(self, code: str, message: str, span: Span, label: str = "", *others: Label, **more: Unpack[More]) -> None:
        """Report an error at a place; `others` are further places that explain it."""
        self.report("error", code, message, span, label, *others, **more)

    def warning(
        self, code: str, message: str, span: Span, label: str = "", *others: Label, **more: Unpack[More]
    ) -> None:
        """Report a warning at a place; `others` are further places that explain it."""
        self.report("warning", code, message, span, label, *others, **more)

    def report(
        self,
        severity: Severity,
        code: str,
        message: str,
        span: Span,
        label: str = "",
        *others: Label,
        notes: Iterable[str] = (),
        help: str = "",
        fixes: Iterable[Fix] = (),
    ) -> None:
        """Report a diagnostic at a place; `others` are further places that explain it, `fixes` may remove it."""
        places = (*others, *self.stack)
        candidates = tuple(fixes) if self.collector.proposes_fixes else ()
        found = Diagnostic(code, message, Label(span, label), severity, places, tuple(notes), help, candidates)
        self.collector.add(found, self.stack)

    def replace(self, **changes: Any) -> Scope:
        """Return this scope with some of its fields replaced."""
        found = object.__new__(Scope)
        found.__dict__.update(self.__dict__, **changes)  # takes a third of the time of `dataclasses.replace`
        return found

    def value(self, node: YamlNode) -> Any:
        """Return a node's value as plain Python, with expressions evaluated; raise InvalidValue where one fails."""
        if isinstance(node.value, str):
            return self._evaluate(node, node.value) if has_reference(node.value) else node.value
        if isinstance(node.value, tuple):
            return [self.value(item) for item in node.value]
        if isinstance(node.value, dict):
            return {key: self.value(item) for key, item in node.value.items()}
        return node.value

    def _evaluate(self, node: YamlNode, text: str) -> Any:
        try:
            value = evaluate(text, self._all_values)
        except UnresolvedValue:
            raise InvalidValue from None
        except ExpressionError as error:
            remedy = self._known(error.unknown) if error.unknown else ""
            span = within(node.span, text, error.start, error.end)
            unknown = error.unknown or ""
            fixes = for_name(unknown, span, self._all_values)[1] if unknown else self._rewritten(text, node.span)
            self.error(error.code, error.message, span, help=remedy, fixes=fixes)
            raise InvalidValue from None
        if isinstance(value, list | dict):
            self._count(value, node)
        return value

    def source_of(self, text: object) -> YamlNode | None:
        """Return the node that a reference `$name` stands for, where the text has its value as it is."""
        if not isinstance(text, str) or not text.startswith("$"):
            return None
        node = self.declared.get(text[1:])
        is_it = node is not None and text[1:] in self.values and node.plain() == self.values[text[1:]]
        return node if is_it else None

    def _rewritten(self, text: str, span: Span) -> list[Fix]:
        """Return the fix of an expression with signs of another language."""
        from cnnspec.language.value_repairs import as_expression

        meant = as_expression(text, self._all_values)
        return [replaced(span, meant, certain=True)] if meant is not None and meant != text == span.text else []

    @property
    def _all_values(self) -> Mapping[str, Any]:
        return self.values if self.arriving is None else {**self.arriving, **self.values}

    def _known(self, name: str) -> str:
        if name == ARRIVING:
            return f"`${ARRIVING}` is the number of channels that arrive at a layer, and is there in `layers:` alone"
        if axis := ARRIVING_SIZES.get(name):
            where = "is there in `layers:` alone" if self.arriving is None else "nothing that has one arrives here"
            return f"`${name}` is the {axis} that arrives at a layer, and {where}"
        near = nearest(name, self._all_values)
        if near:
            return f"did you mean `${near}`?"
        names = ", ".join(f"`{name}`" for name in self.values)
        return f"the parameters here are {names}" if names else "declare it under `params:`"

    def _count(self, value: list[Any] | dict[str, Any], node: YamlNode) -> None:
        """Count the values that a reference inserts: lists of references to lists grow exponentially."""
        depth, level = 1, _items(value)
        while level and self.inserted.count <= MAX_NODES and depth <= MAX_DEPTH:
            self.inserted.count += len(level)
            depth += 1
            level = [item for inner in level for item in _items(inner)[:MAX_NODES]]
        if level:
            message = f"{quoted(str(node.value))} is nested too deep, or put in too often"
            limits = f"at most {MAX_DEPTH} levels, and {MAX_NODES:,} values in all"
            self.error("bad-expression", message, node.span, help=limits)
            raise InvalidValue


def _items(value: Any) -> list[Any]:
    """Return the items of a list, or the values of a mapping; nothing else has any."""
    return value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []


def within(span: Span, text: str, start: int, end: int) -> Span:
    """Return the span of a part of a scalar's text; that of the whole scalar where the source spells it differently."""
    line = span.source.lines[span.line - 1]
    quote = line[span.column - 1 : span.column] in ("'", '"')
    first = span.column + quote
    if span.end_line != span.line or line[first - 1 : first - 1 + len(text)] != text:
        return span
    return span._replace(column=first + start, end_column=first + end)
