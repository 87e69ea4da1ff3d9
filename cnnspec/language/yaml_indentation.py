"""Fixes of lines that begin in another column than the text around them says, and of layers without dashes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cnnspec.diagnostics import Edit, Fix, Source, Span

_ITEM = re.compile(r"[A-Za-z_][\w.]*(?:\s*$|:(?:\s|$)|\s+#)")
NEAR = 12
"""How many lines above one are looked at for columns that it may begin in."""


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


def with_dashes_around(source: Source, line: int) -> list[Fix]:
    """Return the fix that makes a list of the block below `layers:` that a line belongs to, where it has no dashes."""
    block = _block_around(source, line, _indent(source.lines[line - 1]))
    return [with_dashes(block)] if block is not None else []


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
    if any(_indent(text) == indent and text.lstrip().startswith("- ") for text in lines[first - 1 : last]):
        return None
    while first < line and not lines[first - 1].strip():
        first += 1
    return Span(source, first, indent + 1, last, len(lines[last - 1]) + 1)


def with_dash(source: Source, line: int) -> list[Fix]:
    """Return fixes that make an item of a line among items, which has no dash: in the columns where it may belong."""
    text = source.lines[line - 1]
    if not _ITEM.match(text.lstrip()):
        return []
    columns = _columns_of_items(source, line)
    fixes = []
    for column in columns:
        edit = Edit(Span(source, line, 1, line, _indent(text) + 1), " " * column + "- ")
        fixes.append(Fix("begin the layer with `- `", (edit,), certain=len(columns) == 1, if_alone=True))
    return fixes


def _columns_of_items(source: Source, line: int) -> list[int]:
    """Return where the dash of a line may have stood: in its column or before it, else that of the item above."""
    rows = [row for row in source.lines[: line - 1] if row.strip()]
    if not rows or rows[-1].split(" #")[0].rstrip().endswith((":", ",", "{", "[")):
        return []
    indent = _indent(source.lines[line - 1])
    dashes = dict.fromkeys(_indent(row) for row in reversed(rows[-NEAR:]) if row.lstrip().startswith("- "))
    near = [column for column in dashes if column in (indent, indent - 2)]
    return near or ([_indent(rows[-1])] if rows[-1].lstrip().startswith("- ") else [])


def reindented(source: Source, line: int) -> Iterator[Fix]:
    """Yield fixes of a line that begins in the wrong column: it, and what is nested in it, moved to that of others.

    Those where a layer stands without its dash behind one in the same list come first.
    """
    text = source.lines[line - 1]
    if not text.strip():
        return
    indent = _indent(text)
    if not text.lstrip().startswith("- "):
        for fix in with_dash(source, line):
            yield Fix(fix.title, fix.edits, if_alone=True)
    above = [row for row in source.lines[: line - 1] if row.strip() and not row.lstrip().startswith("#")][-NEAR:]
    columns = dict.fromkeys(_indent(row) for row in reversed(above))
    ends = dict.fromkeys((_end_of_nested(source, line), _end_of_siblings(source, line)))
    for column in sorted(columns, key=lambda column: abs(column - indent)):
        for last in ends if column != indent else ():
            edits = []
            for number in range(line, last + 1):
                row = source.lines[number - 1]
                if row.strip():
                    own = _indent(row)
                    edits.append(Edit(Span(source, number, 1, number, own + 1), " " * (own + column - indent)))
            lines = f"line {line}" if line == last else f"lines {line} to {last}"
            yield Fix(f"begin {lines} in column {column + 1}", tuple(edits), if_alone=True)


def _end_of_nested(source: Source, line: int) -> int:
    """Return the last of the lines that are nested in one; itself where it ends in no colon."""
    text = source.lines[line - 1]
    if not text.split(" #")[0].rstrip().endswith(":"):
        return line
    last = line
    while last < len(source.lines) and _indent(source.lines[last]) > _indent(text) and source.lines[last].strip():
        last += 1
    return last


def _end_of_siblings(source: Source, line: int) -> int:
    """Return the last of the lines that begin as one does, in its column, with those that are nested in them."""
    text = source.lines[line - 1]
    is_item = text.lstrip().startswith("- ")
    last = _end_of_nested(source, line)
    while last < len(source.lines):
        row = source.lines[last]
        if _indent(row) != _indent(text) or row.lstrip().startswith("- ") != is_item or not row.strip():
            break
        last = _end_of_nested(source, last + 1)
    return last


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
