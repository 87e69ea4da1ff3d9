"""What is wrong with a text that is not YAML: the loader's complaints, in our words."""

from __future__ import annotations

import re
from typing import Any

import yaml

from cnnspec.diagnostics import Diagnostic, Fix, Label, Source, Span
from cnnspec.language.yaml_repairs import for_syntax, key_without_value, tabs, unclosed_quote


def unprintable(source: Source, at: int) -> Diagnostic:
    """A character at an index of the text that no YAML text may hold."""
    before = Source(source.name, source.text[:at]).lines
    line, column = len(before), len(before[-1]) + 1
    span = Span(source, line, column, line, column + 1)
    message = f"the character U+{ord(source.text[at]):04X} may not stand in YAML"
    return Diagnostic("yaml-syntax", message, Label(span), help="delete it")


def fault(source: Source, error: yaml.YAMLError) -> Diagnostic:
    """The loader's complaint in our words; libyaml and PyYAML word theirs differently."""
    problem, context = str(getattr(error, "problem", None) or error), str(getattr(error, "context", None) or "")
    at = _point(source, getattr(error, "problem_mark", None))
    if "nesting depth" in problem:  # libyaml has a limit of its own, which may be reached before ours
        return Diagnostic("nesting-too-deep", "this is nested deeper than a spec may be", Label(at))
    text = source.lines[at.line - 1]
    before, ch = text[: at.column - 1], text[at.column - 1 : at.column]
    if ch == "\t" or ("\t" in before and not before.strip()):
        where = text.index("\t") + 1
        tab = at._replace(column=where, end_column=where + 1)
        fixes = tuple(tabs(source))
        return Diagnostic(
            "yaml-syntax", "a tab cannot indent YAML", Label(tab, "a tab"), help="use spaces", fixes=fixes
        )
    opened = _point(source, mark) if (mark := getattr(error, "context_mark", None)) else at
    what = next((ours for theirs, ours in _CONTEXTS.items() if theirs in context), "what is around it")
    if opened != at and ((at.line == len(source.lines) and not text.strip()) or "expected ':'" in problem):
        label, remedy = _UNFINISHED[what]
        fixes = _fixes_of_open(source, opened, what)
        return Diagnostic("yaml-syntax", "this is not YAML", Label(opened, label), help=remedy, fixes=fixes)
    label, remedy = next((ours for theirs, ours in _PROBLEMS.items() if re.search(theirs, problem)), (problem, ""))
    if remedy == _INDENTATION and before.strip(" -"):
        remedy = "quote text that holds quotes, or start a new line"
    others = (Label(opened, f"{what} begins here"),) if opened.line != at.line else ()
    fixes = tuple(for_syntax(source, at.line, opened.line))
    place = Label(at, label.replace("{}", ch))
    return Diagnostic("yaml-syntax", "this is not YAML", place, others=others, help=remedy, fixes=fixes)


def _fixes_of_open(source: Source, opened: Span, what: str) -> tuple[Fix, ...]:
    """Return fixes of what begins at a place and does not end."""
    if what == "the key":
        return tuple(key_without_value(source, opened.line))
    if what == "the quoted text":
        return tuple(unclosed_quote(source, opened.line, opened.column))
    return tuple(for_syntax(source, opened.line, opened.line))


def _point(source: Source, mark: Any) -> Span:
    line = min(mark.line, len(source.lines) - 1) if mark else 0
    column = min(mark.column, len(source.lines[line])) if mark else 0
    return Span(source, line + 1, column + 1, line + 1, column + 2)


_INDENTATION = "check the indentation: the keys of a mapping, and the items of a list, start in one column"
_CONTEXTS = {
    "flow mapping": "the mapping",
    "flow sequence": "the list",
    "block mapping": "the mapping",
    "block collection": "the list",
    "quoted scalar": "the quoted text",
    "simple key": "the key",
}
_UNFINISHED = {
    "the mapping": ("this mapping is not closed", "close it with `}`"),
    "the list": ("this list is not closed", "close it with `]`"),
    "the quoted text": ("this quote is not closed", "close the quote"),
    "the key": ("a key without a value", "a key is followed by `:` and a space"),
    "what is around it": ("this does not end", ""),
}
_PROBLEMS = {
    "mapping values are not allowed": (
        "a second `: ` in one line",
        "quote text that holds `: `, or start a new line for the key",
    ),
    "expected key|expected <block end>|expected '-' indicator": ("this cannot stand here", _INDENTATION),
    "sequence entries are not allowed": (
        "a list cannot begin here",
        "start a new line for the list, or write it as `[…]`",
    ),
    r"expected ',' or '\]'": ("`,` or `]` is missing", "close the list with `]`, or separate its items with `,`"),
    "expected ',' or '}'": ("`,` or `}` is missing", "close the mapping with `}`, or separate its keys with `,`"),
    "cannot start any token": ("text cannot begin with `{}`", "quote it"),
    "unknown escape character": ("`\\` means nothing before this", "write `\\\\`, or use single quotes"),
    "expected.* node content": ("a value is missing", ""),
    "expected.*document start": ("the text has come to its end before this", _INDENTATION),
    "undefined tag handle": ("specs have no tags", "leave it out"),
}
