"""Diagnostics of a spec as data: code, message, place, labels and help; one function renders them as text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cnnspec.errors import CnnspecError
from cnnspec.wording import TAB, cells

Severity = Literal["error", "warning", "note"]

PAGES = Path(__file__).parent / "codes.md"
_SECTION = re.compile(r"^## ([a-z-]+)\n\n\*([^\n]+)\*\n\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@cache
def codes() -> dict[str, CodePage]:
    """Return the page of each code; read from codes.md, so that a check without diagnostics does not pay for them."""
    text = PAGES.read_text(encoding="utf-8")
    return {code: CodePage(summary, page.strip()) for code, summary, page in _SECTION.findall(text)}


class CodePage(NamedTuple):
    """The page of a code in codes.md: its summary in one line, and its text."""

    summary: str
    text: str


_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(frozen=True)
class Source:
    """A text and its name in messages."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """The text, line by line."""
        # The line breaks of libyaml; str.splitlines also breaks at form feeds and others.
        return _LINE_BREAK.split(self.text)

    @cached_property
    def line_starts(self) -> list[int]:
        """Where each line begins in the text, in characters from 0."""
        return [0, *(found.end() for found in _LINE_BREAK.finditer(self.text))]


class Span(NamedTuple):
    """A range of a text; lines and columns count from 1, the end column is the one after the last."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    @property
    def range(self) -> tuple[int, int]:
        """Where it begins and ends in the text, in characters from 0."""
        starts = self.source.line_starts
        return starts[self.line - 1] + self.column - 1, starts[self.end_line - 1] + self.end_column - 1

    @property
    def text(self) -> str:
        """The text of the range."""
        first, end = self.range
        return self.source.text[first:end]

    def to_dict(self) -> dict[str, Any]:
        """The form that `check --format json` prints."""
        return {"file": self.source.name, **{name: value for name, value in self._asdict().items() if name != "source"}}


class Label(NamedTuple):
    """A message at a range of the text."""

    span: Span
    text: str = ""


class Edit(NamedTuple):
    """A range of a text and what replaces it; an empty range is an insertion."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A change of the text that removes a diagnostic; a report holds only those that the checker has tried."""

    title: str
    """What it does, in the imperative: set `padding: same` on `enc1`."""
    edits: tuple[Edit, ...]
    certain: bool = False
    """Whether it cannot change what the author means, so that `check --fix` may apply it."""
    said: bool = False
    """Whether the diagnostic's help says it already."""
    cause: Label | None = None
    """The place where the fault begins if this fix is right, and why, where that is not the diagnostic's own place."""
    if_alone: bool = False
    """Whether it is certain where no other fix of its diagnostic helps."""
    is_fallback: bool = False
    """Whether it is shown only where no fix before it helps."""

    def to_dict(self) -> dict[str, Any]:
        """The form that `check --format json` prints."""
        return {
            "title": self.title,
            "certain": self.certain,
            "edits": [{**span.to_dict(), "text": text} for span, text in self.edits],
        }


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error, warning or note: its code, its message, its place, the places that explain it, fixes and help."""

    code: str
    message: str
    label: Label
    severity: Severity = "error"
    others: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: str = ""
    """Advice that is no change of the text."""
    fixes: tuple[Fix, ...] = ()
    """Changes of the text that remove it, the most likely first."""

    def to_dict(self) -> dict[str, Any]:
        """The form that `check --format json` prints."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            **self.label.span.to_dict(),
            "label": self.label.text or None,
            "others": [{**other.span.to_dict(), "label": other.text or None} for other in self.others],
            "notes": list(self.notes),
            "help": self.help or None,
            "fixes": [fix.to_dict() for fix in self.fixes],
        }


class SpecError(CnnspecError):
    """A spec with errors; `diagnostics` holds every error and warning, sorted by place."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n\n".join(format_diagnostic(d) for d in self.diagnostics))


def in_order(diagnostics: Iterable[Diagnostic], first: Source) -> list[Diagnostic]:
    """Return the diagnostics sorted by place, those of the spec's own text first."""

    def place(d: Diagnostic) -> tuple[bool, str, int, int]:
        span = d.label.span
        return (span.source is not first, span.source.name, span.line, span.column)

    return sorted(diagnostics, key=place)


def any_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Return whether one of them is an error."""
    return any(d.severity == "error" for d in diagnostics)


Paint = Callable[[str, str], str]


def _plain(text: str, role: str) -> str:
    return text


def format_diagnostic(diagnostic: Diagnostic, paint: Paint = _plain) -> str:
    """Return a diagnostic as text; `paint(text, role)` may colour the roles error, warning, bold, frame and note."""
    d = diagnostic
    labels = [d.label, *d.others]
    gutter = len(str(max(label.span.line for label in labels)))
    bar = " " * (gutter + 1) + paint("|", "frame")
    out = [
        paint(f"{d.severity}[{d.code}]", d.severity) + paint(f": {d.message}", "bold"),
        " " * gutter + paint(" --> ", "frame") + str(d.label.span),
    ]
    if any(label.span.source.text for label in labels):
        out.append(bar)
        out += _snippets(labels, gutter, d.severity, paint)
        if d.notes or d.fixes or d.help:
            out.append(bar)
    equals = " " * (gutter + 1) + paint("= ", "frame")
    indent = "\n" + " " * (gutter + 3)
    out += [equals + note.replace("\n", indent) for note in d.notes]
    out += [equals + paint("fix: ", "note") + fix.title for fix in d.fixes if not (fix.said and d.help)]
    if d.help:
        out.append(equals + paint("help: ", "note") + d.help.replace("\n", indent))
    return "\n".join(line.rstrip() for line in out)


def _snippets(labels: list[Label], gutter: int, severity: Severity, paint: Paint) -> list[str]:
    out: list[str] = []
    sources = list(dict.fromkeys(label.span.source for label in labels))
    bar = " " * (gutter + 1) + paint("|", "frame") + " "
    for source in sources:
        if source is not sources[0]:
            place = next(label.span for label in labels if label.span.source is source)
            out += [bar, " " * gutter + paint(" ::: ", "frame") + str(place), bar]
        here = sorted(
            (label for label in labels if label.span.source is source),
            key=lambda label: (label.span.line, -label.span.column),
        )
        shown, first, last = 0, 0, 0
        for label in here:
            line = label.span.line
            text = source.lines[line - 1] if line <= len(source.lines) else ""
            if line != shown or not first < label.span.column <= last + 1:
                if shown and line > shown + 1:
                    out.append("...")
                first, last = _stretch(text, label.span.column - 1)
                before, after = "…" if first else "", "…" if last < len(text) else ""
                excerpt = before + "".join(map(_shown, text[first:last])) + after
                out.append(paint(f"{line:>{gutter}} |", "frame") + f" {excerpt}")
                shown = line
            primary = label is labels[0]
            end = label.span.end_column - 1 if label.span.end_line == line else len(text.rstrip())
            start = cells(paint(before + text[first : label.span.column - 1], ""))
            length = max(1, cells(paint(text[label.span.column - 1 : min(end, last)], "")))
            mark = ("^" if primary else "-") * length + (f" {label.text}" if label.text else "")
            out.append(bar + " " * start + paint(mark, severity if primary else "frame"))
    return out


_WIDEST = 160


def _stretch(text: str, at: int) -> tuple[int, int]:
    """Return the part of a line that is shown: all of it, or of a very long line the part around a character."""
    if len(text) <= _WIDEST:
        return 0, len(text)
    first = max(0, min(at - _WIDEST // 2, len(text) - _WIDEST))
    return first, first + _WIDEST


def _shown(ch: str) -> str:
    """Return a character in a form that is safe in a terminal: control and invisible characters are made visible."""
    if ch == "\t":
        return " " * TAB
    return ch if ch.isprintable() or unicodedata.category(ch) == "Zs" else "\N{REPLACEMENT CHARACTER}"
