"""From nodes of the text to typed values: expressions evaluated, fields checked, every error at its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cnnspec.diagnostics import Fix, Label
from cnnspec.graph.settings import Choice
from cnnspec.language.entry import Entry, read_entry
from cnnspec.language.expressions import has_reference
from cnnspec.language.key_edits import without_key
from cnnspec.language.repairs import for_word, replaced
from cnnspec.language.scope import InvalidValue, Scope
from cnnspec.language.value_repairs import axis_by_number, by_position, for_value, in_percent, last_of, whole_division
from cnnspec.language.yaml_tree import YamlNode, resolve
from cnnspec.wording import describe, names, one_of, quoted, yaml11_hint

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class UnknownKeys:
    """The unknown keys of a mapping, which may explain why known ones are missing."""

    likely: frozenset[str] = frozenset()
    """Known keys that the unknown ones probably stand for."""
    unclear: bool = False
    """Whether some unknown key resembles no known one."""

    def explain(self, *keys: str) -> bool:
        """Return whether one of these keys may be missing since it is misspelled."""
        return self.unclear or not self.likely.isdisjoint(keys)

    def __or__(self, other: UnknownKeys) -> UnknownKeys:
        return UnknownKeys(self.likely | other.likely, self.unclear or other.unclear)


NO_UNKNOWN_KEYS = UnknownKeys()


def unknown_keys(
    scope: Scope,
    node: YamlNode,
    known: Iterable[str],
    owner: str,
    required: Iterable[str] = (),
    whole: YamlNode | None = None,
    names_one: bool = False,
) -> UnknownKeys:
    """Report the keys of a mapping that are not known, and return what they may explain.

    `whole` is the section that the mapping is the rest of, whose parts may have such a key. With `names_one`, the only
    key that is unknown is certain to stand for the only required one that is missing.
    """
    known, required = tuple(known), tuple(required)
    if node.keys.keys() <= set(known):
        return NO_UNKNOWN_KEYS
    likely: set[str] = set()
    unclear = False
    for key, span in node.keys.items():
        if key not in known:
            from cnnspec.language.foreign import for_key
            from cnnspec.language.suggestions import advice, suggest

            suggested = suggest(key, known)
            unclear = unclear or suggested is None
            likely |= {suggested} if suggested else set()
            remedy = advice(key, known, f"it takes {names(tuple(dict.fromkeys((*required, *known))))}")
            fixes = for_key(node, key, known)
            if not fixes and whole is not None:
                from cnnspec.language.moved import into_training, to_part

                fixes = to_part(scope, whole, key) or into_training(scope, whole, key)
            if not fixes and names_one and suggested is None:
                fixes = _only_one(node, known, required)
                if not fixes and (edit := without_key(node, key)) is not None:
                    fixes = [Fix(f"leave out {quoted(key)}", (edit,))]
            if not fixes and suggested not in node.keys:
                fixes = for_word(key, span, known)
            scope.error("unknown-key", f"{owner} has no {quoted(key)}", span, help=remedy, fixes=fixes)
    return UnknownKeys(frozenset(likely), unclear)


def _only_one(node: YamlNode, known: Sequence[str], required: Sequence[str]) -> list[Fix]:
    """Return the fix that takes the only unknown key of a mapping for the only required one that it lacks."""
    stray = [span for key, span in node.keys.items() if key not in known]
    missing = [key for key in required if key not in node.keys]
    return [replaced(stray[0], missing[0], certain=True)] if len(stray) == len(missing) == 1 else []


def read_model(
    cls: type[Model],
    entry: Entry,
    *,
    main: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    extra_keys: Iterable[str] = (),
    instead: Mapping[str, str] | None = None,
    whole: YamlNode | None = None,
) -> Model | None:
    """Return a model of an entry's configuration, or None and report what is wrong with it.

    The configuration is a mapping, or the value of the field `main`. `overrides` replace fields of the mapping, and
    `extra_keys` are keys that the caller reads, of which `instead` holds those that may stand in place of a field.
    `whole` is the section that the configuration is the rest of, where its parts are read elsewhere.
    """
    scope, node, owner = entry.scope, entry.config, f"`{entry.kind}`"
    fields = cls.model_fields  # looked up once, since pydantic makes that slow
    mapping = node is not None and node.is_mapping
    values: dict[str, Any] = {}
    unknown = NO_UNKNOWN_KEYS
    invalid: set[str] = set()  # fields whose value cannot be evaluated
    if node is not None and mapping:
        unknown = unknown_keys(scope, node, (*fields, *extra_keys), owner, _required(fields), whole)
        for key, item in node.items():
            if key in fields:
                try:
                    values[key] = scope.value(item)
                except InvalidValue:
                    invalid.add(key)
    elif node is not None and node.value is not None:
        if main is None:
            takes = "fields by name" if fields else "nothing"
            message = f"{owner} takes {takes}, not {describe(node.plain())}"
            number = type(node.value) in (int, bool) and not any(field.is_required() for field in fields.values())
            span = entry.span._replace(end_line=node.span.end_line, end_column=node.span.end_column)
            fixes = [replaced(span, entry.kind, certain=node.value is True or "norm" in entry.kind)] if number else []
            fixes += by_position(node, [*_required(fields)])
            scope.error("wrong-type", message, node.span, help=_usage(fields, entry.kind), fixes=fixes)
            return None
        try:
            values = {main: scope.value(node)}
        except InvalidValue:
            return None
    values.update(overrides or {})
    try:
        model = cls(**values)
        return None if invalid or unknown is not NO_UNKNOWN_KEYS else model
    except ValidationError as error:
        explained = (
            unknown.likely | invalid | {field for key, field in (instead or {}).items() if key in unknown.likely}
        )
        errors = [found for found in error.errors(include_url=False) if found["loc"][0] not in explained]
    missing = [str(found["loc"][0]) for found in errors if found["type"] == "missing"]
    if missing and not unknown.unclear:
        remedy = f"`{entry.kind}: …`" if missing == [main] and not mapping else example(entry.kind, missing, node)
        scope.error("missing-key", f"{owner} needs {names(missing)}", entry.span, help=remedy)
    for found in errors:
        if found["type"] != "missing":
            _report(cls, entry, dict(found), mapping)
    return None


def example(owner: str, fields: Sequence[str], node: YamlNode | None = None) -> str:
    """Return how fields are written, or added to those that a mapping has; the values are left open."""
    open_ = [f"{name}: …" for name in fields]
    return f"add `{', '.join(open_)}`" if node is not None and node.is_mapping else f"`{owner}: {{{', '.join(open_)}}}`"


def _usage(fields: Mapping[str, FieldInfo], owner: str) -> str:
    if required := [*_required(fields)]:
        return example(owner, required)
    return f"a mapping may hold {names(list(fields))}" if fields else f"write `{owner}` alone"


def _required(fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    return (name for name, field in fields.items() if field.is_required())


def _report(cls: type[BaseModel], entry: Entry, found: dict[str, Any], mapping: bool) -> None:
    """Report one of pydantic's errors."""
    context = found.get("ctx") or {}
    node = entry.config
    name = str(found["loc"][0]) if mapping or node is None else entry.kind
    path = (*found["loc"], *context.get("at", ()))
    code, message, remedy = _wording(found, context)
    inner = path if mapping else path[1:]
    span = node.at(inner) if node is not None else entry.span
    if code == "unknown-key" and node is not None:
        span = node.key_at(inner)
    text = _text_at(node, inner) if node is not None else None
    value = found["input"]
    for step in context.get("at", ()):
        value = value[step]
    computed = text is not None and has_reference(text)
    label = f"is {describe(value)}" if computed else ""
    others: list[Label] = []
    if not remedy and code == "wrong-type":
        remedy = _as_number(value, computed)
    fixes = for_value(value, span, entry.scope.values, name) if not computed else []
    if computed and text is not None:
        fixes = whole_division(text, value, span)
        if (declared := entry.scope.source_of(text)) is not None:
            fixes += for_value(value, declared.span, entry.scope.values, name)
            others = [Label(declared.span, "is declared here")]
    fixes += in_percent(value, context.get("lt", context.get("le")), span)
    if name == "axis":
        fixes += axis_by_number(value, span)
    if not mapping and found["type"] in ("int_type", "int_from_float"):
        fixes += last_of(value, span)
    is_default = value == 0 and cls.model_fields[name].default == 1 if name in cls.model_fields else False
    if (value in ("None", "nil") or is_default) and node is not None and name in node.keys and len(inner) == 1:
        edit = without_key(node, name)
        fixes += [Fix(f"leave out `{name}`", (edit,), certain=not is_default)] if edit is not None else []
    known = _known_words(found, context)
    fixes += for_word(value if code != "unknown-key" else inner[-1], span, known) if known and not computed else []
    entry.scope.error(code, f"`{name}` {message}", span, label, *others, help=remedy, fixes=fixes)


def _known_words(found: dict[str, Any], context: dict[str, Any]) -> list[str]:
    """Return the words that would be valid where one of pydantic's errors is."""
    if found["type"] == "literal_error":
        return str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
    return list(context.get("known") or ())


def _as_number(value: Any, computed: bool) -> str:
    """Return help for a number that has the wrong form, "" for anything else."""
    if isinstance(value, str) and not isinstance(resolve(value), str | None):
        return f"without quotes: {quoted(value)}"
    if isinstance(value, float) and value.is_integer():
        return "`//` divides whole numbers" if computed else f"`{int(value)}`"
    return ""


def _text_at(node: YamlNode, path: tuple[str | int, ...]) -> str | None:
    """Return the text that a path leads to, as far as it leads; None where no text is there."""
    for step in path:
        child = node.get(step) if isinstance(step, str) else None
        if isinstance(step, int) and step < len(node.elements()):
            child = node.elements()[step]
        if child is None:
            break
        node = child
    return node.value if isinstance(node.value, str) else None


def _wording(found: dict[str, Any], context: dict[str, Any]) -> tuple[str, str, str]:
    """Return code, message and help for one of pydantic's errors."""
    kind, value = found["type"], describe(found["input"])
    if "-" in kind:  # a code of ours, raised by a field; pydantic's own types have none
        help, known = context.get("help", ""), context.get("known")
        return kind, found["msg"], suggestion(context["at"][-1], known, help) if known else help
    match kind:
        case "int_type" | "int_from_float":
            return "wrong-type", f"takes a whole number, not {value}", ""
        case "float_type":
            return "wrong-type", f"takes a number, not {value}", ""
        case "bool_type":
            return "wrong-type", f"takes true or false, not {value}", yaml11_hint(found["input"])
        case "string_type":
            return "wrong-type", f"takes text, not {value}", ""
        case "dict_type":
            return "wrong-type", f"takes values by name, not {value}", ""
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
            known = _known_words(found, context)
            return "invalid-value", f"takes {options}, not {value}", suggestion(found["input"], known)
    return "invalid-value", f"does not take {value}: {found['msg']}", ""


def suggestion(value: Any, known: Iterable[str], otherwise: str = "") -> str:
    """Return help for a word that is not one of those known."""
    from cnnspec.language.suggestions import advice

    return advice(value, known, otherwise) if isinstance(value, str) else otherwise


def read_choice(scope: Scope, options: Mapping[str, type[Choice]], node: YamlNode, what: str) -> Choice | None:
    """Return one of several kinds: written as the kind alone, or as a mapping of it to its main field or its fields."""
    entry = read_entry(scope, node, what)
    if entry is None:
        return None
    cls = options.get(entry.kind)
    if cls is not None:
        return read_model(cls, entry, main=cls.main)
    from cnnspec.language.suggestions import suggest

    message = f"`{what}` takes {one_of(list(options))}, not {quoted(entry.kind)}"
    fixes = for_word(entry.kind, entry.span, options)
    scope.error("invalid-value", message, entry.span, help=suggestion(entry.kind, options), fixes=fixes)
    certain = suggest(entry.kind, options, certain=True)
    if certain is not None:
        read_model(options[certain], Entry(certain, entry.span, entry.config, scope), main=options[certain].main)
    return None
