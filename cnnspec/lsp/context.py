"""Where in a spec the cursor is, by indentation and brackets alone: the text need not be valid while it is typed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

ITEM = None
"""The step of a path into an item of a list."""
Path = tuple[str | None, ...]

Role = Literal["key", "value", "item"]
"""What is written at the cursor: a key of a mapping, the value of one, or an item of a list."""

_LINE_BREAK = re.compile("\r\n|\n|\r")
_DASHES = re.compile(r"[ \t]*(?:-(?:[ \t]+|$))*")
_KEY = re.compile(r"""("[^"]*"|'[^']*'|[^\s'"\[\]{},#&*!|>%@`-][^:#{}\[\],]*?)\s*:(?:\s+|$)""")
_COMMENT = re.compile(r"(?:^|\s)#")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?""")
_TOKEN = re.compile(
    r"#[^\n\r]*"  # a comment
    r"""|"(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?"""  # quoted text
    r"|\$\([^)\n]*\)?"  # an expression
    r"|[\[\]{},]|:(?=\s|$)"
    r"|[^\s\[\]{},:#]+(?::[^\s\[\]{},]+)*"  # a word
)
_WORD = re.compile(r"[\w$.*/-]*\Z")


@dataclass(frozen=True)
class Context:
    """The place of the cursor: the keys and items around it, what is written there, and the word before it."""

    path: Path
    role: Role
    word: str
    start: int
    """The offset at which the word begins."""
    siblings: tuple[str, ...] = ()
    """The keys of the mapping that are there already."""


class _Line(NamedTuple):
    start: int
    """The offset of its first character."""
    dashes: tuple[int, ...]
    """The columns of the dashes that begin it."""
    column: int
    """The column of what stands behind them."""
    key: str | None
    rest: str
    """What stands behind the key, or behind the dashes."""
    rest_start: int

    @property
    def first(self) -> int:
        return self.dashes[0] if self.dashes else self.column

    @property
    def is_empty(self) -> bool:
        """Whether nothing but a comment stands on it."""
        return not self.dashes and self.key is None and (not self.rest.strip() or self.rest.startswith("#"))


def _read_line(text: str, start: int) -> _Line:
    lead = _DASHES.match(text)
    assert lead is not None
    dashes = tuple(i for i in range(lead.end()) if text[i] == "-")
    column = lead.end()
    found = _KEY.match(text, column)
    if found is None:
        return _Line(start, dashes, column, None, text[column:], start + column)
    return _Line(start, dashes, column, found[1].strip("'\""), text[found.end() :], start + found.end())


def context(text: str, offset: int) -> Context | None:
    """Return the place of the cursor in a text; None within a comment."""
    lines = [_read_line(text[start:end], start) for start, end in _spans(text)]
    here = max((i for i, line in enumerate(lines) if line.start <= offset), default=0)
    up_to_cursor = text[lines[here].start : offset]
    if _COMMENT.search(_QUOTED.sub("_", up_to_cursor)):
        return None
    current, before = _read_line(up_to_cursor, lines[here].start), lines[:here]
    opened = _flow_start(text, before, current, offset)
    if opened is None:
        return _in_block(text, before, current, lines[here + 1 :], offset)
    line, above = (current, before) if opened == len(before) else (before[opened], before[:opened])
    path = (*_block_path(above, line), *(() if line.key is None else (line.key,)))
    return _in_flow(text, path, line.rest_start, offset)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for found in _LINE_BREAK.finditer(text):
        yield start, found.start()
        start = found.end()
    yield start, len(text)


# Block style: what is around a line is above it, with less indentation.


def _in_block(text: str, before: Sequence[_Line], current: _Line, after: Sequence[_Line], offset: int) -> Context:
    path = _block_path(before, current)
    word = _word(text, current.rest_start, offset)
    start = offset - len(word)
    if current.key is not None:
        return Context((*path, current.key), "value", word, start)
    if current.dashes:
        return Context(path, "item", word, start)
    return Context(path, "key", word, start, tuple(_siblings(before, current.column, after)))


def _block_path(before: Sequence[_Line], line: _Line) -> Path:
    """Return the keys and items around what stands behind the dashes of a line."""
    steps: list[str | None] = [ITEM for _ in line.dashes]
    column, is_item = line.first, bool(line.dashes)
    for above in reversed(before):
        if above.is_empty:
            continue
        own: list[str | None] = []
        places = [(at, ITEM) for at in above.dashes] + ([(above.column, above.key)] if above.key is not None else [])
        for at, step in reversed(places):
            # A list may be as far to the left as the key that it belongs to.
            if at < column or (at == column and is_item and step is not ITEM):
                own.insert(0, step)
                column, is_item = at, step is ITEM
        steps = [*own, *steps]
        if column == 0 and not is_item:
            break
    return tuple(steps)


def _siblings(before: Sequence[_Line], column: int, after: Sequence[_Line]) -> Iterator[str]:
    for lines in (reversed(before), after):
        for line in lines:
            if line.is_empty:
                continue
            if line.column == column and line.key is not None and (lines is not after or not line.dashes):
                yield line.key
            if line.first < column:
                break


# Flow style: what is around the cursor is in brackets that are still open.


def _flow_start(text: str, before: Sequence[_Line], current: _Line, offset: int) -> int | None:
    """Return the line on which the outermost bracket around the cursor opens; None where there is none.

    The lines that a bracket goes on over are indented further than the one that opens it, and begin with no dash.
    """
    found = len(before) if _open_brackets(text[current.rest_start : offset]) else None
    column, is_item = current.first, bool(current.dashes)
    for i in range(len(before) - 1, -1, -1):
        if is_item or column == 0:
            break
        line = before[i]
        if line.is_empty or line.first >= column:
            is_item = bool(line.dashes)
            continue
        stack = _open_brackets(text[line.rest_start : offset])
        if stack and stack[0].at < len(line.rest):
            found = i
        column, is_item = line.first, bool(line.dashes)
    return found


class _Bracket:
    """An open bracket, with the keys before the cursor that are in it, and the last of them while it has no value."""

    def __init__(self, kind: str, at: int) -> None:
        self.kind = kind
        self.at = at
        self.key: str | None = None
        self.keys: list[str] = []
        self.word = ""


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    """Yield the brackets, commas, colons and words of a flow, and where they begin; quoted text is a word."""
    return ((found[0], found.start()) for found in _TOKEN.finditer(text) if not found[0].startswith("#"))


def _open_brackets(text: str) -> list[_Bracket]:
    """Return the brackets that are still open at the end of a text, outermost first."""
    stack: list[_Bracket] = []
    for token, at in _tokens(text):
        top = stack[-1] if stack else None
        if token in "[{":
            stack.append(_Bracket(token, at))
        elif token in "]}":
            if stack:
                stack.pop()
        elif top is None:
            continue
        elif token == ",":
            top.key, top.word = None, ""
        elif token == ":":
            top.key = top.word.strip("'\"")
            top.keys.append(top.key)
            top.word = ""
        else:
            top.word = token
    return stack


def _in_flow(text: str, path: Path, start: int, offset: int) -> Context:
    stack = _open_brackets(text[start:offset])
    steps: list[str | None] = list(path)
    for bracket in stack:
        steps += [ITEM] if bracket.kind == "[" else []
        steps += [bracket.key] if bracket.key is not None else []
    top = stack[-1]
    word = _word(text, start, offset)
    role: Role = "value" if top.key is not None else "item" if top.kind == "[" else "key"
    siblings = () if role != "key" else (*top.keys, *_later_keys(text, offset))
    return Context(tuple(steps), role, word, offset - len(word), siblings)


def _later_keys(text: str, offset: int) -> Iterator[str]:
    """Yield the keys between the cursor and the end of the mapping in braces around it, on the same line."""
    depth, word = 0, ""
    end = _LINE_BREAK.search(text, offset)
    for token, _ in _tokens(text[offset : end.start() if end else len(text)]):
        depth += (token in "[{") - (token in "]}")
        if depth < 0:
            return
        if depth == 0 and token == ":":
            yield word.strip("'\"")
        word = token


def _word(text: str, start: int, offset: int) -> str:
    found = _WORD.search(text, max(start, 0), offset)
    return found[0] if found is not None else ""
