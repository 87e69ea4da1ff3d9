"""The names of layers: what may be a name, which are taken, and which output each stands for."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from cnnspec.diagnostics import Fix, Label, Span
from cnnspec.language.entry import Entry
from cnnspec.language.expressions import ARRIVING
from cnnspec.language.repairs import for_name, replaced
from cnnspec.language.scope import InvalidValue, Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Shape
from cnnspec.layers.input import INPUT
from cnnspec.wording import describe, format_shape, quoted

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
NAME_RULE = "letters a to z, digits, `_` and `-`, with a letter or `_` first"
_PARAM_RULE = "letters a to z, digits and `_`, with a letter or `_` first"
"""As a name, without the `-`, which `$a-b` would read as minus."""


def is_name(text: str) -> bool:
    """Return whether a layer, a part of its dotted name, or a block may be called this."""
    return _NAME.fullmatch(text) is not None


def is_layer_name(text: str) -> bool:
    """Return whether a layer may be called this: a name, and parts behind it that may begin with a digit (`unit.0`)."""
    first, *parts = text.split(".")
    return is_name(first) and all(_PART.fullmatch(part) for part in parts)


def is_param_name(text: str) -> bool:
    """Return whether a parameter may be called this."""
    return is_name(text) and "-" not in text and text != ARRIVING


def param_rule(text: str) -> str:
    """Return help for a parameter that may not be called this."""
    return f"`${ARRIVING}` is the number of channels that arrive" if text == ARRIVING else _PARAM_RULE


def check_param_name(text: str, span: Span, scope: Scope) -> bool:
    """Return whether a parameter may be called this; report it where it may not."""
    if is_param_name(text):
        return True
    message = f"{quoted(text)} cannot be written as {quoted('$' + text)}"
    if text == ARRIVING:
        message = f"a parameter cannot be called {quoted(text)}"
    scope.error("invalid-name", message, span, help=param_rule(text))
    return False


class Output(NamedTuple):
    """The output of a layer: its node, its shape (None where an error hides it), and the place that makes it."""

    node: str
    shape: Shape | None
    span: Span
    is_input: bool = False
    """Whether it is an input of the network, which no layer makes."""


class _Taken(NamedTuple):
    """What has a name: a layer, an input, a repeat or the use of a block; its place, and the expansion around it."""

    what: str
    span: Span
    stack: tuple[Label, ...] = ()


class Place(NamedTuple):
    """What has a name (a layer, an input, a repeat or the use of a block), and the place that names it."""

    what: str
    span: Span


class Reference(NamedTuple):
    """A reference to a name: its key, its place, the name as it is there, and the full name that it stands for."""

    key: str
    span: Span
    text: str
    full: str


class LayerName(NamedTuple):
    """The full name of a layer, prefixed by the blocks around it, and the name that the author wrote, if any."""

    full: str
    given: str | None


def _valid_name(name: str, span: Span) -> list[Fix]:
    """Return the fix that puts `_` in place of what no name may hold."""
    meant = re.sub(r"[^\w.-]+", "_", name).strip("_")
    return [replaced(span, meant)] if is_layer_name(meant) and meant not in (name, INPUT) and name in span.text else []


class Names:
    """The names of one network and the outputs that they stand for."""

    def __init__(self) -> None:
        self.outputs: dict[str, Output] = {}
        self._ordinals: dict[str, Counter[str]] = {}
        """How many layers of each kind there are, by prefix."""
        self._taken: dict[str, _Taken] = {}
        """What has each taken name."""
        self._several: set[Span] = set()
        """The uses of blocks and the repeats that are reported as making several layers of one name."""
        self._unresolved_prefixes: set[str] = set()
        """What names begin with that an error hides; references to them are not reported."""
        self._unresolved: list[tuple[str, str, Span, Scope]] = []
        """References to names that are not defined yet."""
        self.references: list[Reference] = []
        """The references to names that are defined, in the order in which they are read."""

    @property
    def places(self) -> dict[str, Place]:
        """What has each name, and the place that names it: the written name, or the layer with a default name."""
        return {name: Place(taken.what, taken.span) for name, taken in self._taken.items()}

    def define(self, name: LayerName, output: Output) -> None:
        """Let a layer's name stand for an output; one that the author wrote, for the last of several."""
        if name.given:
            self.outputs[name.full] = output
        else:
            self.outputs.setdefault(name.full, output)

    def hide(self, prefix: str) -> None:
        """Report no reference to a name that begins like this."""
        self._unresolved_prefixes.add(prefix)

    def of_layer(self, entry: Entry, kind: str | None = None) -> LayerName:
        """Return the name of a layer and take it: the author's, or its kind (or `kind`) and ordinal."""
        kind = kind or entry.kind
        ordinals = self._ordinals.setdefault(entry.scope.prefix, Counter())
        ordinals[kind] += 1
        given = self.given(entry)
        full = entry.scope.prefix + (given or f"{kind}{ordinals[kind]}")
        self._take(full, entry, "layer", given is not None)
        return LayerName(full, given)

    def of_group(self, entry: Entry) -> LayerName | None:
        """Return the name of a block's use or a repeat and take it, if the author wrote one."""
        given = self.given(entry)
        if given is None:
            return None
        self._take(entry.scope.prefix + given, entry, "repeat" if entry.kind == "repeat" else "block")
        return LayerName(entry.scope.prefix + given, given)

    def given(self, entry: Entry) -> str | None:
        """Return the name that the author wrote, if there is one; report one that is not valid."""
        node = entry.get("name")
        if node is None:
            return None
        scope = entry.scope
        try:
            name = scope.value(node)
        except InvalidValue:
            return None
        if isinstance(name, int) and not isinstance(name, bool) and scope.prefix:
            name = str(name)  # the number of a round, within what has a name
        if not isinstance(name, str) or not is_layer_name(f"{scope.prefix}{name}") or name == INPUT:
            shown = quoted(name) if isinstance(name, str) else describe(name)
            remedy = "`input` is the network's input" if name == INPUT else NAME_RULE
            fixes = _valid_name(name, node.span) if isinstance(name, str) else []
            scope.error("invalid-name", f"a layer cannot be called {shown}", node.span, help=remedy, fixes=fixes)
            if isinstance(name, str) and name:
                self.hide(f"{scope.prefix}{name}")
            return None
        return name

    def _take(self, name: str, entry: Entry, what: str, written: bool = True) -> None:
        """Take a name, which no other may have; it is `written` in the entry, or the default."""
        scope, span = entry.scope, entry.span_of("name") if written else entry.span
        found = _Taken(what, span, scope.stack)
        first = self._taken.setdefault(name, found)
        if first is found:
            return
        if first.span == span:
            self._report_several(name, first, found, scope)
            return
        label = "again here" if written else "is called so by default"
        article, remedy = "a", ""
        if first.what == INPUT:
            article, remedy = "an", f"`from: {name}` reads the input: give the {what} another name"
        both = f"two {what}s" if first.what == what else f"{article} {first.what} and a {what}"
        others = Label(first.span, "first here")
        scope.error("duplicate-name", f"{both} are called `{name}`", span, label, others, help=remedy)

    def _report_several(self, name: str, first: _Taken, again: _Taken, scope: Scope) -> None:
        """Report one place that makes several layers of one name; the outermost use or round that differs needs one."""
        before = [*first.stack[::-1], *[None] * len(again.stack)]
        cause = next((label for label, other in zip(again.stack[::-1], before, strict=False) if label != other), None)
        remedy = ""
        if cause is not None:
            if cause.span in self._several:
                return
            self._several.add(cause.span)
            line = cause.span.source.lines[cause.span.line - 1]
            kind = quoted(line[cause.span.column - 1 : cause.span.end_column - 1])
            remedy = f"give the {kind} of line {cause.span.line} a `name`, and the names of its layers begin with that"
        message = f"this makes several layers that are called `{name}`"
        scope.error("duplicate-name", message, again.span, help=remedy)

    def take_input(self, name: str, output: Output) -> None:
        """Take the name of an input of the network, and let it stand for that input."""
        self.outputs[name] = output
        self._taken[name] = _Taken(INPUT, output.span)

    def look_up(self, key: str, node: YamlNode, scope: Scope) -> Output | None:
        """Return the output of the layer that the value of a key (`from`) names; None where there is none."""
        full = self.find(key, node, scope)
        return None if full is None else self.outputs[full]

    def find(self, key: str, node: YamlNode, scope: Scope) -> str | None:
        """Return the full name that the value of a key refers to, here or in the blocks around; None where it is none.

        A name that is not there is reported by `report_unresolved`, when it is known whether it comes later.
        """
        try:
            name = scope.value(node)
        except InvalidValue:
            return None
        if not isinstance(name, str):
            scope.error("wrong-type", f"`{key}` takes the name of a layer, not {describe(name)}", node.span)
            return None
        full = self._visible(name, scope)
        if full is not None:
            self.references.append(Reference(key, node.span, name, full))
            return full
        if not f"{scope.prefix}{name}".startswith(tuple(self._unresolved_prefixes)):
            self._unresolved.append((key, name, node.span, scope))
        return None

    def _visible(self, name: str, scope: Scope) -> str | None:
        """Return the full name of the layer that a name stands for in a block: there, or in the nearest around it."""
        prefixes = scope.prefix.split(".")
        names = (".".join([*prefixes[: depth - 1], name]) for depth in range(len(prefixes), 0, -1))
        return next((full for full in names if full in self.outputs), None)

    def report_unresolved(self) -> None:
        """Report the references to names that no layer before them has."""
        for key, name, span, scope in self._unresolved:
            later = self._visible(name, scope)
            if later is not None:
                message = f"{quoted(name)} comes later, and `{key}` reaches back only"
                scope.error("unknown-layer", message, span, "", Label(self.outputs[later].span, "stands here"))
            else:
                self._report_unknown(name, span, scope)

    def _report_unknown(self, name: str, span: Span, scope: Scope) -> None:
        """Report a name that no layer has: the layers of that name in blocks may be meant, or the nearest name."""
        within = [full for full in self.outputs if full.endswith(f".{name}") and self.outputs[full].shape is not None]
        near, fixes = for_name(name, span, self.outputs)
        meant = within or ([near] if near else [])
        if within:
            fixes = [replaced(span, full, said=len(meant) == 1) for full in meant] if span.text == name else []
        remedy = f"did you mean `{meant[0]}`?" if len(meant) == 1 else ""
        if len(meant) > 1:
            listed = [f"`{full}` ({format_shape(self.outputs[full].shape or ())})" for full in meant[:4]]
            remedy = "in blocks there are " + ", ".join(listed) + (", …" if len(meant) > 4 else "")
        scope.error("unknown-layer", f"no layer is called {quoted(name)}", span, help=remedy, fixes=fixes)
