"""Warnings and notes that a spec silences: by comments `# cnnspec: ignore[code]`, and by its `lint:` section."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cnnspec.diagnostics import Diagnostic, Label, Source, Span, codes
from cnnspec.language.document import Document
from cnnspec.wording import describe, nearest, quoted

_COMMENT = re.compile(r"(?:^|\s)#\s*cnnspec:\s*ignore(-file)?\s*\[([^\]]*)\]")
_CODE = re.compile(r"[^\s,]+")
MARK = "cnnspec: ignore"


class Ignored(NamedTuple):
    """A code that is silenced: in one line of a text (None for all of it), or in every text (None)."""

    code: str
    span: Span
    """Where that is said."""
    source: Source | None = None
    line: int | None = None

    def holds_for(self, diagnostic: Diagnostic) -> bool:
        """Return whether it silences a diagnostic: errors cannot be."""
        span = diagnostic.label.span
        return (
            diagnostic.code == self.code
            and diagnostic.severity != "error"
            and (self.source is None or self.source == span.source)
            and (self.line is None or self.line == span.line)
        )


def ignored_codes(document: Document) -> tuple[str, ...]:
    """Return the codes that the `lint:` section silences."""
    return tuple(entry.code for entry in _section(document, []))


def not_ignored(diagnostics: Sequence[Diagnostic], document: Document | None, *, notes: bool) -> list[Diagnostic]:
    """Return the diagnostics without those that the spec silences, and with what is wrong about that.

    With `notes`, comments and codes that silence nothing are noted.
    """
    if document is None:
        return list(diagnostics)
    faults: list[Diagnostic] = []
    ignored = [*_section(document, faults)]
    for source in dict.fromkeys(level.span.source for level in document.levels):
        if MARK in source.text:
            ignored += _comments(source)
    if not ignored:
        return [*diagnostics, *faults]
    used: set[Ignored] = set()
    left = []
    for diagnostic in diagnostics:
        found = [entry for entry in ignored if entry.holds_for(diagnostic)]
        used.update(found)
        if not found:
            left.append(diagnostic)
    errors = {diagnostic.code for diagnostic in left if diagnostic.severity == "error"}
    return [*left, *faults, *_about(ignored, used, errors, notes=notes)]


def _about(ignored: Iterable[Ignored], used: set[Ignored], errors: set[str], *, notes: bool) -> Iterator[Diagnostic]:
    """Yield what is wrong with the codes that are silenced."""
    for entry in dict.fromkeys(ignored):
        if entry.code not in codes():
            near = nearest(entry.code, codes())
            remedy = f"did you mean `{near}`?" if near else "`cnnspec explain` lists the codes"
            message = f"no diagnostic has the code {quoted(entry.code)}"
            yield Diagnostic("unknown-code", message, Label(entry.span), "warning", help=remedy)
        elif entry.code in errors:
            message = f"`{entry.code}` is an error, which cannot be ignored"
            yield Diagnostic("unknown-code", message, Label(entry.span), "warning")
        elif notes and entry not in used:
            message = f"nothing is found here that `{entry.code}` would ignore"
            yield Diagnostic("unused-ignore", message, Label(entry.span), "note", help="leave it out")


def _comments(source: Source) -> Iterator[Ignored]:
    """Yield the codes of the comments of a text: a comment at the end of a line, or in the line before."""
    for number, line in enumerate(source.lines, 1):
        for found in _COMMENT.finditer(line) if MARK in line else ():
            if _is_quoted(line[: found.start()]):
                continue
            alone = not line[: found.start()].strip()
            at = None if found[1] else number + alone
            for code in _CODE.finditer(line, found.start(2), found.end(2)):
                yield Ignored(code[0], Span(source, number, code.start() + 1, number, code.end() + 1), source, at)


def _is_quoted(before: str) -> bool:
    """Return whether a quote is open behind this part of a line."""
    return before.count('"') % 2 == 1 or before.count("'") % 2 == 1


def _section(document: Document, faults: list[Diagnostic]) -> Iterator[Ignored]:
    """Yield the codes that `lint: {ignore: [...]}` silences."""
    node = document.lint
    if node is None:
        return
    remedy = "`lint: {ignore: [unread-layer]}`"
    if not node.is_mapping:
        message = f"`lint` takes `ignore`, not {describe(node.plain())}"
        faults.append(Diagnostic("wrong-type", message, Label(node.span), help=remedy))
        return
    for key, span in node.keys.items():
        if key != "ignore":
            message = f"`lint` has no {quoted(key)}"
            faults.append(Diagnostic("unknown-key", message, Label(span), help="it takes `ignore`"))
    listed = node.get("ignore")
    if listed is None:
        return
    for item in listed.elements() if listed.is_list else (listed,):
        if isinstance(item.value, str):
            yield Ignored(item.value, item.span)
        else:
            message = f"`ignore` takes codes, not {describe(item.plain())}"
            faults.append(Diagnostic("wrong-type", message, Label(item.span), help=remedy))
