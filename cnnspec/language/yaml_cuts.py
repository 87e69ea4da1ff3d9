"""Values and keys that the text cannot mean as YAML reads them: cut by a comma, written twice, an alias of nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any

from cnnspec.diagnostics import Diagnostic, Edit, Fix, Label, Span
from cnnspec.language.yaml_node import YamlNode
from cnnspec.language.yaml_repairs import tuples
from cnnspec.wording import quoted, slip

_LONGEST = 200
"""The most characters of an expression behind a comma that are looked at."""


def cut_expression(text: str, span: Span) -> Diagnostic | None:
    """An expression that a comma ends since it is not quoted, inside of `{…}` or `[…]`; None where that is not so."""
    start = text.rindex("$(")
    if text.count("(", start) <= text.count(")", start) or span.line != span.end_line:
        return None
    line, first, end = span.source.lines[span.line - 1], span.column - 1, span.end_column - 1
    if not line[end : end + _LONGEST].lstrip().startswith(","):
        return None
    whole = line[first : end + _LONGEST]
    depths = [*accumulate((ch == "(") - (ch == ")") for ch in whole[start:])]
    if 0 not in depths[1:]:
        return None
    fixed = whole[: start + depths.index(0, 1) + 1]
    message, remedy = "an expression with a comma is quoted inside of `{…}` and `[…]`", quoted(repr(fixed), 120)
    edit = Edit(span._replace(end_column=span.column + len(fixed)), repr(fixed))
    fix = Fix(f"write it in quotes: {remedy}", (edit,), certain=True, said=True)
    return Diagnostic("bad-expression", message, Label(span, "a comma ends this"), help=remedy, fixes=(fix,))


def cut_tuple(text: str, span: Span) -> Diagnostic | None:
    """A list in parentheses that a comma ends, inside of `{…}` or `[…]`; None where that is not so."""
    if not text.startswith("(") or text.count("(") == text.count(")"):
        return None
    fixes = tuple(tuples(span.source))
    if not any(edit.span.line == span.line for fix in fixes for edit in fix.edits):
        return None
    message, remedy = "a list is written in brackets", "`[3, 3]` for `(3, 3)`"
    return Diagnostic("wrong-type", message, Label(span, "a comma ends this"), help=remedy, fixes=fixes)


def cut_number(key: Span, before: Span) -> Diagnostic | None:
    """A number with a decimal comma, which a comma ends inside of `{…}`; None where that is not so."""
    between = before._replace(line=before.end_line, column=before.end_column, end_column=key.column)
    if before.end_line != key.line or between.text != "," or not (before.text + key.text).isdecimal():
        return None
    place, number = before._replace(end_column=key.end_column), f"{before.text}.{key.text}"
    fix = Fix(f"write `{number}`", (Edit(between, "."),), certain=True, said=True)
    return Diagnostic("wrong-type", "a comma ends a number", Label(place), help=f"`{number}`", fixes=(fix,))


def template(key: Span, inner: Any) -> Diagnostic | None:
    """A reference in braces of a template, `{{ width }}`; None where that is not so."""
    (name,) = [*inner] if isinstance(inner, dict) and len(inner) == 1 else [""]
    line = key.source.lines[key.line - 1]
    first, end = key.column - 1, key.end_column - 1
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or line[first - 1 : first] + line[end : end + 1] != "{}":
        return None
    place = key._replace(column=key.column - 1, end_column=key.end_column + 1)
    fix = Fix(f"write `${name}`", (Edit(place, f"${name}"),), certain=True, said=True)
    message = "a reference is a name behind `$`"
    return Diagnostic("wrong-type", message, Label(place), help=f"`${name}`", fixes=(fix,))


def written_twice(key: str, before: Span, first: YamlNode, again: YamlNode, places: tuple[Span, Span]) -> Diagnostic:
    """A key that a mapping has twice; `before` ends where the text before it does, `places` are those of the key."""
    start, end = before, again.span
    gap = start._replace(line=start.end_line, column=start.end_column, end_line=end.end_line, end_column=end.end_column)
    fixes: list[Fix] = []
    if again.span.line < places[1].line or "#" in gap.text:
        pass  # an alias, or a comment between
    elif (dash := _item_begins(places[0])) is not None and _begins_line(places[1]):
        indent = places[1]._replace(column=1, end_column=places[1].column)
        fixes.append(Fix("begin the layer with `- `", (Edit(indent, " " * dash + "- "),), certain=True))
    elif first.plain() == again.plain():
        fixes.append(Fix(f"leave out the second {quoted(key)}", (Edit(gap, ""),), certain=True))
    elif first.is_list and again.is_list and again.span.line > places[1].line:
        line = places[1].line
        whole = Span(before.source, line, 1, line + 1, 1)
        fixes.append(Fix(f"make one list of both {quoted(key)}", (Edit(whole, ""),)))
    return Diagnostic(
        "duplicate-key",
        f"{quoted(key)} is written twice",
        Label(places[1], "again here"),
        others=(Label(places[0], "first here"),),
        help="keep one of them",
        fixes=tuple(fixes),
    )


def _begins_line(key: Span) -> bool:
    return not key.source.lines[key.line - 1][: key.column - 1].strip()


def _item_begins(key: Span) -> int | None:
    """Return where the dash of the item stands that a key begins, from 0; None where it begins none."""
    head = key.source.lines[key.line - 1][: key.column - 1]
    return len(head.rstrip()) - 1 if head.strip() == "-" else None


def with_merged(fault: Diagnostic, span: Span, own: Mapping[str, YamlNode], merged: YamlNode) -> Diagnostic:
    """Return the fault of a merge key with its fix: the fields of both written out, where they are in one line."""
    fields = {**dict(merged.items()), **own}
    texts = [f"{key}: {item.span.text}" for key, item in fields.items()]
    if not span.text.startswith("{") or not merged.is_mapping or any("\n" in text for text in (span.text, *texts)):
        return fault
    fix = Fix("write the fields out", (Edit(span, "{" + ", ".join(texts) + "}"),), certain=True)
    return replace(fault, fixes=(fix,))


def undefined_alias(name: str, span: Span, anchors: Iterable[str]) -> Diagnostic:
    """An alias that names nothing before it."""
    meant = slip(name, anchors)
    fixes = (Fix(f"write `*{meant}`", (Edit(span, f"*{meant}"),), certain=True),) if meant else ()
    message = f"{quoted('*' + name)} names nothing: there is no {quoted('&' + name)} before it"
    return Diagnostic("yaml-syntax", message, Label(span), help="text that begins with `*` is quoted", fixes=fixes)
