"""From nodes of the text to typed values: references put in, fields checked, every fault at its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cnnspec.diagnostics import CODES, Span
from cnnspec.graph.settings import Choice
from cnnspec.language.expressions import has_reference
from cnnspec.language.scope import Faulty, Scope
from cnnspec.language.yaml_tree import YamlNode, resolve
from cnnspec.wording import names, one_of, quoted, says, truth

Model = TypeVar("Model", bound=BaseModel)


def read_model(
    cls: type[Model],
    scope: Scope,
    node: YamlNode | None,
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
    mapping = node is not None and node.is_mapping
    values: dict[str, Any] = {}
    lost: set[str] = set()  # fields whose value stands there, and cannot be had
    if node is not None and mapping:
        lost = unknown_keys(scope, node, (*cls.model_fields, *also), f"`{owner}`", _required(cls))
        for key, item in node.items():
            if key in cls.model_fields:
                try:
                    values[key] = scope.value(item)
                except Faulty:
                    lost.add(key)
    elif node is not None and node.value is not None:
        if main is None:
            takes = "fields by name" if cls.model_fields else "nothing"
            message = f"`{owner}` takes {takes}, not {says(node.plain())}"
            scope.fault("wrong-type", message, node.span, help=_takes(cls, owner))
            return None
        try:
            values = {main: scope.value(node)}
        except Faulty:
            return None
    values.update(given or {})
    try:
        model = cls(**values)
        return None if lost else model
    except ValidationError as error:
        faults = [fault for fault in error.errors(include_url=False) if fault["loc"][0] not in lost]
    missing = [str(fault["loc"][0]) for fault in faults if fault["type"] == "missing"]
    if missing and "" not in lost:
        remedy = f"`{owner}: …`" if missing == [main] and not mapping else example(owner, missing, node)
        scope.fault("missing-key", f"`{owner}` needs {names(missing)}", place, help=remedy)
    for fault in faults:
        if fault["type"] != "missing":
            _say(scope, dict(fault), node, mapping, owner, place)
    return None


def example(owner: str, fields: Sequence[str], node: YamlNode | None = None) -> str:
    """How fields are written, or added to those that a mapping has; the values are left open."""
    open_ = [f"{name}: …" for name in fields]
    return f"add `{', '.join(open_)}`" if node is not None and node.is_mapping else f"`{owner}: {{{', '.join(open_)}}}`"


def _takes(cls: type[BaseModel], owner: str) -> str:
    if required := _required(cls):
        return example(owner, required)
    return f"a mapping may hold {names(list(cls.model_fields))}" if cls.model_fields else f"write `{owner}` alone"


def _required(cls: type[BaseModel]) -> list[str]:
    return [name for name, field in cls.model_fields.items() if field.is_required()]


def unknown_keys(
    scope: Scope, node: YamlNode, known: Iterable[str], owner: str, required: Iterable[str] = ()
) -> set[str]:
    """Says which keys nothing reads; returns the ones that were meant by them, "" for what is unclear."""
    known = tuple(known)
    meant: set[str] = set()
    for key, place in node.keys.items():
        if key not in known:
            from cnnspec.language.suggestions import advice, suggest

            meant.add(suggest(key, known) or "")
            remedy = advice(key, known, f"it takes {names(tuple(dict.fromkeys((*required, *known))))}")
            scope.fault("unknown-key", f"{owner} has no {quoted(key)}", place, help=remedy)
    return meant


def _say(scope: Scope, fault: dict[str, Any], node: YamlNode | None, mapping: bool, owner: str, place: Span) -> None:
    """One error of pydantic's as a diagnostic."""
    context = fault.get("ctx") or {}
    name = str(fault["loc"][0]) if mapping or node is None else owner
    path = (*fault["loc"], *context.get("at", ()))
    code, message, remedy = _wording(fault, context)
    inner = path if mapping else path[1:]
    span = node.at(inner) if node is not None else place
    if code == "unknown-key" and node is not None:
        span = node.key_at(inner)
    text = _text_at(node, inner) if node is not None else None
    value = fault["input"]
    for step in context.get("at", ()):
        value = value[step]
    referred = text is not None and has_reference(text)
    label = f"is {says(value)}" if referred else ""
    if not remedy and code == "wrong-type":
        remedy = _as_number(value, referred)
    scope.fault(code, f"`{name}` {message}", span, label, help=remedy)


def _as_number(value: Any, referred: bool) -> str:
    """Help for a number that is written in another way than it must be."""
    if isinstance(value, str) and not isinstance(resolve(value), str | None):
        return f"without quotes: `{value}`"
    if isinstance(value, float) and value.is_integer():
        return "`//` divides whole numbers" if referred else f"`{int(value)}`"
    return ""


def _text_at(node: YamlNode, path: tuple[str | int, ...]) -> str | None:
    """The text that a path leads to, as far as it leads."""
    for step in path:
        child = node.get(step) if isinstance(step, str) else None
        if isinstance(step, int) and step < len(node.elements()):
            child = node.elements()[step]
        if child is None:
            break
        node = child
    return node.value if isinstance(node.value, str) else None


def _wording(fault: dict[str, Any], context: dict[str, Any]) -> tuple[str, str, str]:
    """Code, message and help for an error of pydantic's."""
    kind, value = fault["type"], says(fault["input"])
    if kind in CODES:
        help, known = context.get("help", ""), context.get("known")
        return kind, fault["msg"], meant(context["at"][-1], known, help) if known else help
    match kind:
        case "int_type" | "int_from_float":
            return "wrong-type", f"takes a whole number, not {value}", ""
        case "float_type":
            return "wrong-type", f"takes a number, not {value}", ""
        case "bool_type":
            return "wrong-type", f"takes true or false, not {value}", truth(fault["input"])
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
            known = options.replace(" or ", ", ").split(", ")
            return "invalid-value", f"takes {options}, not {value}", meant(fault["input"], known)
    return "invalid-value", f"takes no {value}: {fault['msg']}", ""


def meant(value: Any, known: Iterable[str], otherwise: str = "") -> str:
    """Help for a word that is not one of those known."""
    from cnnspec.language.suggestions import advice

    return advice(value, known, otherwise) if isinstance(value, str) else otherwise


def read_choice(scope: Scope, options: Mapping[str, type[Choice]], node: YamlNode, what: str) -> Choice | None:
    """One of several kinds: the kind alone, or a mapping of the kind to its main field or its fields."""
    entry = kind_and_config(scope, node, what)
    if entry is None:
        return None
    kind, place, config = entry
    cls = options.get(kind)
    if cls is None:
        from cnnspec.language.suggestions import suggest

        message = f"`{what}` takes {one_of(list(options))}, not {quoted(kind)}"
        scope.fault("invalid-value", message, place, help=meant(kind, options))
        certain = suggest(kind, options, certain=True)
        if certain is not None:
            read_model(options[certain], scope, config, certain, place, main=options[certain].main)
        return None
    return read_model(cls, scope, config, kind, place, main=cls.main)


def kind_and_config(scope: Scope, node: YamlNode, what: str) -> tuple[str, Span, YamlNode | None] | None:
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
        message = f"{what} is a kind, or a mapping of a kind to its fields; here is {shown}"
        remedy = "`- relu`, or `- conv: {channels: 6, kernel: 5}`" if what == "a layer" else ""
        scope.fault("wrong-type", message, node.span, help=remedy)
        return None
    if has_reference(kind):
        try:
            value = scope.value(YamlNode(kind, place))
        except Faulty:
            return None
        if not isinstance(value, str):
            scope.fault("wrong-type", f"`{kind}` is {says(value)}, and a kind is text", place)
            return None
        kind = value
    return kind, place, config
