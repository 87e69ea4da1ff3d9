"""Fixes of a text that is not YAML: punctuation that is missing or another's, layers without dashes, tabs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from cnnspec.diagnostics import Edit, Fix, Source, Span
from cnnspec.language.yaml_indentation import reindented, with_dash, with_dashes_around

_FIELDS = re.compile(r"(\s*- [\w.]+: +)(\w+: *[^#{}]*?)\}?(\s*(?:#.*)?)")
_WORD = re.compile(r"(\s*)([A-Za-z_]\w*)\s*")
_NO_COLON = re.compile(r"\s*- [A-Za-z_]\w*(?= [{\[])")
_NO_SPACE = re.compile(r"\s*(?:-(?=[A-Za-z_])|[–—•*](?= ?[A-Za-z_]))")
_TITLE = re.compile(r"(\s*\w+: +)([^\s\"'{\[#&*!|>%@`].*?: .*?)(\s*(?: #.*)?)")
_SLASHES = re.compile(r"(?<=[\s,{\[])//")
_SHELL = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_SECOND_KEY = re.compile(r"(?<=[\w\"'\])}]) +(?=[\w\"']+:(?: |$))")
_TUPLE = re.compile(r"(?<=[:,\[] )\((\s*-?[\d.]+\s*(?:,\s*-?[\d.]+\s*)*),?\s*\)")
_SEMICOLON = re.compile(r";(?= )")
_CLOSERS = {"{": "}", "[": "]"}
_HIDDEN_END = re.compile(r"([\w.+-]+)( #)(?=[,\]}].*[\]}]|[\]}])")


def for_syntax(source: Source, line: int, opened: int) -> list[Fix]:
    """Return fixes of a text that cannot be read beyond a line; `opened` is where what is around it begins."""
    found = [
        *second_colon(source, line),
        *everywhere(source, _NO_COLON, ":", "write a colon behind the kind", behind=True),
        *full_width(source),
        *slashes(source),
        *everywhere(source, _SEMICOLON, ",", "separate with `,`", line=line),
        *_colon_above(source, line),
        *shell_references(source),
        *_title(source, line),
        *_comment_in_item(source, range(opened, line + 1)),
        *_brackets(source, opened),
        *_missing_comma(source, line),
        *_comma_above(source, line),
    ]
    if line != opened:
        found += _brackets(source, line)
    return [*found, *reindented(source, line)]


def key_without_value(source: Source, line: int) -> list[Fix]:
    """Return fixes of a word where a key is expected: a dash, a colon behind it, or dashes before all layers."""
    found = everywhere(source, _NO_SPACE, "- ", "begin each layer with `- `", line=line)
    found += [*with_dashes_around(source, line), *with_dash(source, line)]
    if (word := _WORD.fullmatch(source.lines[line - 1])) is not None:
        end = word.end(2) + 1
        found.append(Fix(f"write `{word[2]}:`", (Edit(Span(source, line, end, line, end), ":"),), certain=not found))
    return found


def everywhere(
    source: Source, pattern: re.Pattern[str], text: str, title: str, *, behind: bool = False, line: int | None = None
) -> list[Fix]:
    """Return the fix that puts a text in place of a pattern (or behind it) in all lines, not in quotes and comments.

    `line` is one that must be among them.
    """
    edits, lines = [], set()
    for number, content in enumerate(source.lines, 1):
        for found in pattern.finditer(content[: _end_of_code(content)]):
            blank = len(found[0]) - len(found[0].lstrip())
            start = found.end() if behind else found.start() + blank
            if not _is_quoted(content, start):
                edits.append(Edit(Span(source, number, start + 1, number, found.end() + 1), text))
                lines.add(number)
    if not edits or (line is not None and line not in lines):
        return []
    return [Fix(title, tuple(edits), certain=True)]


def slashes(source: Source) -> list[Fix]:
    """Return the fix of comments that begin with `//`."""
    return everywhere(source, _SLASHES, "#", "begin comments with `#`")


def second_colon(source: Source, line: int) -> list[Fix]:
    """Return the fix of `conv: channels: 6, kernel: 5`: braces around the fields."""
    found = _FIELDS.fullmatch(source.lines[line - 1])
    if found is None:
        return []
    span = Span(source, line, found.start(2) + 1, line, found.start(3) + 1)
    return [Fix(f"write the fields in braces: `{{{found[2]}}}`", (Edit(span, f"{{{found[2]}}}"),), certain=True)]


def _title(source: Source, line: int) -> list[Fix]:
    """Return the fix of `name: lenet: the first`: quotes around the text."""
    found = _TITLE.fullmatch(source.lines[line - 1])
    if found is None or '"' in found[2] or "\\" in found[2]:
        return []
    span = Span(source, line, found.start(2) + 1, line, found.end(2) + 1)
    return [Fix(f'write it in quotes: `"{found[2]}"`', (Edit(span, f'"{found[2]}"'),), certain=True)]


def shell_references(source: Source) -> list[Fix]:
    """Return the fix of `${width}`: `$width`."""
    edits = []
    for number, content in enumerate(source.lines, 1):
        for found in _SHELL.finditer(content[: _end_of_code(content)]):
            edits.append(Edit(Span(source, number, found.start() + 1, number, found.end() + 1), f"${found[1]}"))
    return [Fix("write references without braces: `$name`", tuple(edits), certain=True)] if edits else []


def tuples(source: Source) -> list[Fix]:
    """Return the fix of `(3, 3)`: `[3, 3]`."""
    edits = []
    for number, content in enumerate(source.lines, 1):
        for found in _TUPLE.finditer(content[: _end_of_code(content)]):
            span = Span(source, number, found.start() + 1, number, found.end() + 1)
            edits.append(Edit(span, f"[{found[1].strip()}]"))
    return [Fix("write lists in brackets", tuple(edits), certain=True)] if edits else []


def full_width(source: Source) -> list[Fix]:
    """Return the fix that puts common punctuation in place of full-width punctuation."""
    edits = []
    for number, content in enumerate(source.lines, 1):
        for at, ch in enumerate(content[: _end_of_code(content)]):
            if unicodedata.category(ch)[0] == "P" and unicodedata.east_asian_width(ch) == "F":
                narrow = unicodedata.normalize("NFKC", ch)
                space = " " if narrow in ":," and content[at + 1 : at + 2].strip() else ""
                edits.append(Edit(Span(source, number, at + 1, number, at + 2), narrow + space))
    return [Fix("write common punctuation for what is full-width", tuple(edits), certain=True)] if edits else []


def unclosed_quote(source: Source, line: int, column: int) -> list[Fix]:
    """Return the fix that closes a quote at the end of its line."""
    content = source.lines[line - 1]
    end = len(content.rstrip()) + 1
    closing = Edit(Span(source, line, end, line, end), content[column - 1])
    return [Fix("close the quote", (closing,), certain=True, said=True)]


def tabs(source: Source) -> list[Fix]:
    """Return the fix that puts two spaces in place of each tab before the text of a line."""
    edits = []
    for number, text in enumerate(source.lines, 1):
        blank = len(text) - len(text.lstrip())
        if "\t" in text[:blank]:
            spaces = text[:blank].replace("\t", "  ")
            edits.append(Edit(Span(source, number, 1, number, blank + 1), spaces))
    return [Fix("indent with two spaces in place of each tab", tuple(edits), certain=True)]


# Braces and brackets


def _brackets(source: Source, line: int) -> Iterator[Fix]:
    """Yield fixes of a line whose braces and brackets do not match: some put in, or one deleted."""
    content = source.lines[line - 1]
    opened: list[int] = []
    for at, ch in _structure(content):
        if ch in _CLOSERS:
            opened.append(at)
        elif not opened:
            span = Span(source, line, at + 1, line, at + 2)
            yield Fix(f"delete the `{ch}` that closes nothing", (Edit(span, ""),), certain=True)
            return
        elif _CLOSERS[content[opened[-1]]] == ch:
            opened.pop()
        else:
            missing = _CLOSERS[content[opened[-1]]]
            for place in [*_ends_of_items(content, opened[-1], at), at]:
                span = Span(source, line, place + 1, line, place + 1)
                yield Fix(f"close the list with `{missing}`", (Edit(span, missing),), if_alone=True)
            span = Span(source, line, at + 1, line, at + 2)
            yield Fix(f"close it with `{missing}`", (Edit(span, missing),), if_alone=True)
            return
    if opened:
        closers = "".join(_CLOSERS[content[at]] for at in reversed(opened))
        end = len(content[: _end_of_code(content)].rstrip().rstrip(",")) + 1
        comma = content[end - 1 : end] == ","
        span = Span(source, line, end, line, end + comma)
        yield Fix(f"close it with `{closers}`", (Edit(span, closers),), said=len(closers) == 1, if_alone=True)


def _ends_of_items(content: str, start: int, end: int) -> Iterator[int]:
    """Yield where the items of a list end that is not closed, if a key follows."""
    for found in re.finditer(r",\s*[\w\"']+: ", content[start:end]):
        yield start + found.start()


def _comment_in_item(source: Source, lines: range) -> Iterator[Fix]:
    """Yield fixes of `[c, c #, d]`: quotes around the item, or no `#`, where a comment hides the end of a list."""
    for line in lines:
        content = source.lines[line - 1]
        found = _HIDDEN_END.search(content)
        if found is None or found.start(2) != _end_of_code(content):
            continue
        first, end = found.start(1) + 1, found.end() + 1
        yield Fix(f'write `"{found[0]}"`', (Edit(Span(source, line, first, line, end), f'"{found[0]}"'),))
        yield Fix("leave out the `#`", (Edit(Span(source, line, found.end(1) + 1, line, end), ""),))


def _missing_comma(source: Source, line: int) -> Iterator[Fix]:
    """Yield fixes of a line within braces that has two keys without a comma between them."""
    content = source.lines[line - 1]
    for found in _SECOND_KEY.finditer(content[: _end_of_code(content)]):
        if not _is_quoted(content, found.start()):
            place = found.start() + 1
            yield Fix(
                "separate the fields with `,`", (Edit(Span(source, line, place, line, place), ","),), certain=True
            )


def _colon_above(source: Source, line: int) -> Iterator[Fix]:
    """Yield the fix that puts a colon behind a word that is the whole line above."""
    if line > 1 and (word := _WORD.fullmatch(source.lines[line - 2])) is not None:
        end = word.end(2) + 1
        yield Fix(f"write `{word[2]}:`", (Edit(Span(source, line - 1, end, line - 1, end), ":"),), if_alone=True)


def _comma_above(source: Source, line: int) -> Iterator[Fix]:
    """Yield the fix that puts a comma at the end of the line above."""
    above = next((n for n in range(line - 1, 0, -1) if source.lines[n - 1].strip()), None)
    if above is None:
        return
    content = source.lines[above - 1]
    code = content[: _end_of_code(content)].rstrip()
    if code and code[-1] not in ",{[:":
        end = len(code) + 1
        yield Fix("separate the items with `,`", (Edit(Span(source, above, end, above, end), ","),), if_alone=True)


# The characters of a line


def _structure(content: str) -> Iterator[tuple[int, str]]:
    """Yield the braces and brackets of a line, outside of quotes, expressions and the comment."""
    end = _end_of_code(content)
    for at, ch in enumerate(content[:end]):
        if ch in "{}[]" and not _is_quoted(content, at):
            yield at, ch


def _end_of_code(content: str) -> int:
    """Return where the comment of a line begins; the end of a line that has none."""
    found = re.finditer(r"(?:^|\s)#", content)
    return next((place.start() for place in found if not _is_quoted(content, place.start())), len(content))


def _is_quoted(content: str, at: int) -> bool:
    """Return whether a character of a line stands within quotes."""
    quote = ""
    for i, ch in enumerate(content[:at]):
        if quote:
            quote = "" if ch == quote else quote
        elif ch in "\"'" and content[:i].rstrip()[-1:] in ("", "{", "[", ",", ":", "-"):
            quote = ch
    return bool(quote)
