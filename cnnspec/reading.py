"""From nodes of the text to typed values: references put in, fields checked, every fault at its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cnnspec.diagnostics import CODES, Diagnostic, Label, Span, nearest
from cnnspec.expressions import ExpressionError, evaluate, has_reference
from cnnspec.layers.fields import says
from cnnspec.settings import Choice
from cnnspec.source import Node

Model = TypeVar("Model", bound=BaseModel)


class Faulty(Exception):
    """A value that cannot be had; what is wrong with it has been said."""


@dataclass
class Findings:
    """The diagnostics of one check; a fault that is met again in the same place is said once."""

    found: list[Diagnostic] = field(default_factory=list)
    seen: set[tuple[str, Span]] = field(default_factory=set)

    def add(self, diagnostic: Diagnostic) -> None:
        """Takes a diagnostic in."""
        place = (diagnostic.code, diagnostic.label.span)
        if place not in self.seen:
            self.seen.add(place)
            self.found.append(diagnostic)


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
        diagnostic = Diagnostic(
            code, message, Label(span, label), severity, (*others, *self.frames), tuple(notes), help
        )
        self.findings.add(diagnostic)

    def inside(self, **changes: Any) -> Scope:
        """This scope with something changed."""
        return replace(self, **changes)

    def value(self, node: Node) -> Any:
        """The node's value as plain Python, with its references put in; Faulty where one fails."""
        if isinstance(node.value, str):
            return self._text(node, node.value) if has_reference(node.value) else node.value
        if isinstance(node.value, tuple):
            return [self.value(item) for item in node.value]
        if isinstance(node.value, dict):
            return {key: self.value(item) for key, item in node.value.items()}
        return node.value

    def _text(self, node: Node, text: str) -> Any:
        try:
            return evaluate(text, self.values)
        except ExpressionError as error:
            known = nearest(error.unknown, self.values) if error.unknown else None
            remedy = f"did you mean `${known}`?" if known else ""
            if error.unknown and not known:
                names = ", ".join(f"`{name}`" for name in self.values)
                remedy = f"the parameters here are {names}" if names else "declare it under `params:`"
            self.fault(error.code, error.message, _within(node.span, error.start, error.end), help=remedy)
            raise Faulty from None


def _within(span: Span, start: int, end: int) -> Span:
    """A stretch of a scalar's text, as a place in the source."""
    line = span.source.lines[span.line - 1]
    if span.end_line != span.line:
        return span
    quoted = line[span.column - 1 : span.column] in ("'", '"')
    first = span.column + quoted
    return span._replace(column=first + start, end_column=first + end)


def read_model(
    cls: type[Model],
    scope: Scope,
    node: Node | None,
    owner: str,
    place: Span,
    *,
    main: str | None = None,
    given: Mapping[str, Any] | None = None,
    also: Iterable[str] = (),
) -> Model | None:
    """A model from a mapping, or from the value of its main field; None when something is wrong with it.

    `given` holds values that stand in for the node's, and `also` keys that somebody else reads.
    """
    also = tuple(also)
    mapping = node is not None and node.is_mapping
    values: dict[str, Any] = {}
    any_unknown = False
    try:
        if node is not None and mapping:
            any_unknown = unknown_keys(scope, node, (*cls.model_fields, *also), owner)
            values = {key: scope.value(item) for key, item in node.items() if key in cls.model_fields}
        elif node is not None and node.value is not None:
            if main is None:
                scope.fault("wrong-type", f"`{owner}` takes no value", node.span, help=_takes(cls, owner))
                return None
            values = {main: scope.value(node)}
    except Faulty:
        return None
    values.update(given or {})
    try:
        model = cls(**values)
        return None if any_unknown else model
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            _say(scope, cls, dict(fault), node, mapping, owner, place, main)
        return None


def _takes(cls: type[BaseModel], owner: str) -> str:
    names = list(cls.model_fields)
    return f"it takes the fields {', '.join(names)} in a mapping" if names else f"write `{owner}` alone"


def unknown_keys(scope: Scope, node: Node, known: Iterable[str], owner: str) -> bool:
    """Keys that nothing reads are faults, with the nearest one that something would; whether there are any."""
    known = tuple(known)
    any_unknown = False
    for key, place in node.keys.items():
        if key not in known:
            any_unknown = True
            near = nearest(key, known)
            remedy = f"did you mean `{near}`?" if near else f"it takes {', '.join(f'`{k}`' for k in known)}"
            scope.fault("unknown-key", f"`{owner}` has no `{key}`", place, help=remedy)
    return any_unknown


def _say(
    scope: Scope,
    cls: type[BaseModel],
    fault: dict[str, Any],
    node: Node | None,
    mapping: bool,
    owner: str,
    place: Span,
    main: str | None,
) -> None:
    """One error of pydantic's as a diagnostic."""
    path = tuple(step for step in fault["loc"])
    context = fault.get("ctx") or {}
    name = str(path[0]) if path else owner
    if fault["type"] == "missing" and len(path) == 1:
        example = f"{owner}: {{{name}: …}}"
        scope.fault("missing-key", f"`{owner}` needs `{name}`", place, help=f"`{example}`")
        return
    path += tuple(context.get("at", ()))
    if node is None:
        span, text = place, None
    else:
        inner = path if mapping else path[1:]
        span, text = node.at(inner), _text_at(node, inner)
    label = f"is {says(fault['input'])}" if text and has_reference(text) else ""
    code, message, remedy = _wording(fault, context)
    scope.fault(code, f"`{name}` {message}", span, label, help=remedy)


def _text_at(node: Node, path: tuple[str | int, ...]) -> str | None:
    for step in path:
        children: Any = node.value
        try:
            node = children[step]
        except (TypeError, KeyError, IndexError):
            break
    return node.value if isinstance(node.value, str) else None


def _wording(fault: dict[str, Any], context: dict[str, Any]) -> tuple[str, str, str]:
    """Code, message and help for an error of pydantic's."""
    kind, value = fault["type"], says(fault["input"])
    if kind in CODES:
        return kind, fault["msg"], ""
    match kind:
        case "int_type" | "int_from_float":
            whole = isinstance(fault["input"], float) and fault["input"].is_integer()
            remedy = "`//` divides whole numbers" if whole else ""
            return "wrong-type", f"takes a whole number, not {value}", remedy
        case "float_type":
            return "wrong-type", f"takes a number, not {value}", ""
        case "bool_type":
            remedy = "`yes`, `no`, `on` and `off` are text in YAML 1.2" if isinstance(fault["input"], str) else ""
            return "wrong-type", f"takes true or false, not {value}", remedy
        case "string_type":
            return "wrong-type", f"takes text, not {value}", ""
        case "finite_number":
            return "invalid-value", f"takes a finite number, not {value}", ""
        case "greater_than_equal":
            return "invalid-value", f"takes {context['ge']:g} or more, not {value}", ""
        case "greater_than":
            return "invalid-value", f"takes more than {context['gt']:g}, not {value}", ""
        case "less_than_equal":
            return "invalid-value", f"takes {context['le']:g} or less, not {value}", ""
        case "less_than":
            return "invalid-value", f"takes less than {context['lt']:g}, not {value}", ""
        case "literal_error":
            options = str(context["expected"]).replace("'", "")
            near = nearest(str(fault["input"]), options.replace(" or ", ", ").split(", "))
            return "invalid-value", f"takes {options}, not {value}", f"did you mean `{near}`?" if near else ""
    return "invalid-value", f"takes no {value}: {fault['msg']}", ""


def read_choice(scope: Scope, options: Mapping[str, type[Choice]], node: Node, what: str) -> Choice | None:
    """One of several kinds: the kind alone, or a mapping of the kind to its main field or its fields."""
    entry = kind_and_config(scope, node, what)
    if entry is None:
        return None
    kind, place, config = entry
    cls = options.get(kind)
    if cls is None:
        near = nearest(kind, options)
        remedy = f"did you mean `{near}`?" if near else ""
        scope.fault("invalid-value", f"`{what}` takes {', '.join(options)}, not `{kind}`", place, help=remedy)
        return None
    return read_model(cls, scope, config, kind, place, main=cls.main)


def kind_and_config(scope: Scope, node: Node, what: str) -> tuple[str, Span, Node | None] | None:
    """The kind, its place and what it is given; None, and a fault, for anything else."""
    if isinstance(node.value, str):
        kind, place, config = node.value, node.span, None
    elif node.is_mapping and len(node.keys) == 1:
        ((kind, place),) = node.keys.items()
        config = node.get(kind)
    elif node.is_mapping and node.keys:
        kind, place = next(iter(node.keys.items()))
        second, where = list(node.keys.items())[1]
        scope.fault(
            "wrong-type",
            f"{what} is one kind, and here are {len(node.keys)} keys",
            where,
            f"beside `{kind}`",
            help=f"if `{second}` belongs to `{kind}`, indent it further or write `{kind}: {{{second}: …}}`",
        )
        return None
    else:
        shown = says(node.plain()) if not node.is_mapping else "an empty mapping"
        scope.fault("wrong-type", f"{what} is a kind, or a mapping of a kind to its fields; here is {shown}", node.span)
        return None
    if has_reference(kind):
        try:
            value = scope.value(Node(kind, place))
        except Faulty:
            return None
        if not isinstance(value, str):
            scope.fault("wrong-type", f"`{kind}` is {says(value)}, and a kind is text", place)
            return None
        kind = value
    return kind, place, config
