"""Fixes of a text that is not YAML: a missing colon, missing braces, layers without dashes, tabs."""

from __future__ import annotations

import re

from cnnspec.diagnostics import Edit, Fix, Source, Span

_FIELDS = re.compile(r"(\s*- [\w.]+: +)(\w+: *[^#{}]*?)(\s*(?:#.*)?)")
_WORD = re.compile(r"(\s*)([A-Za-z_]\w*)\s*")


def second_colon(source: Source, line: int) -> list[Fix]:
    """Return the fix of `conv: channels: 6, kernel: 5`: braces around the fields."""
    found = _FIELDS.fullmatch(source.lines[line - 1])
    if found is None:
        return []
    span = Span(source, line, found.start(2) + 1, line, found.end(2) + 1)
    return [Fix(f"write the fields in braces: `{{{found[2]}}}`", (Edit(span, f"{{{found[2]}}}"),), certain=True)]


def key_without_value(source: Source, line: int) -> list[Fix]:
    """Return fixes of a word where a key is expected: a colon behind it, or dashes before the layers of its block."""
    found = _WORD.fullmatch(source.lines[line - 1])
    if found is None:
        return []
    end = found.end(2) + 1
    fixes = [Fix(f"write `{found[2]}:`", (Edit(Span(source, line, end, line, end), ":"),), certain=True)]
    if (block := _block_around(source, line, len(found[1]))) is not None:
        fixes.insert(0, with_dashes(block))
    return fixes


def _block_around(source: Source, line: int, indent: int) -> Span | None:
    """Return the block of lines below `layers:` that a line belongs to, None where its items have dashes."""
    lines = source.lines
    first = line
    while first > 1 and (not lines[first - 2].strip() or _indent(lines[first - 2]) >= indent):
        first -= 1
    if first == 1 or lines[first - 2].split("#")[0].strip() != "layers:" or indent == 0:
        return None
    last = line
    while last < len(lines) and (not lines[last].strip() or _indent(lines[last]) >= indent):
        last += 1
    while first < line and not lines[first - 1].strip():
        first += 1
    return Span(source, first, indent + 1, last, len(lines[last - 1]) + 1)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def tabs(source: Source) -> list[Fix]:
    """Return the fix that puts two spaces in place of each tab before the text of a line."""
    edits = []
    for number, text in enumerate(source.lines, 1):
        blank = len(text) - len(text.lstrip())
        if "\t" in text[:blank]:
            spaces = text[:blank].replace("\t", "  ")
            edits.append(Edit(Span(source, number, 1, number, blank + 1), spaces))
    return [Fix("indent with two spaces in place of each tab", tuple(edits), certain=True)]


def with_dashes(span: Span) -> Fix:
    """Return the fix that makes the lines of a block a list: those that are indented like the first get a dash."""
    lines, edits = span.source.lines, []
    for line in range(span.line, span.end_line + 1):
        text = lines[line - 1]
        inner = text[: span.column - 1].strip() == "" and text[span.column - 1 :].strip()
        if inner and not inner.startswith("#"):
            is_item = text[span.column - 1] != " "
            edits.append(Edit(Span(span.source, line, span.column, line, span.column), "- " if is_item else "  "))
    return Fix("begin each layer with `- `", tuple(edits), certain=True)
