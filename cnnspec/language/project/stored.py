"""Diagnostics as JSON and back, given the texts that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cnnspec.diagnostics import Diagnostic, Edit, Fix, Label, Source, Span


def store(diagnostics: Iterable[Diagnostic]) -> list[Any]:
    """Return diagnostics as JSON; the texts are named, not held."""
    return [
        {
            "code": d.code,
            "message": d.message,
            "label": _label(d.label),
            "severity": d.severity,
            "others": [_label(other) for other in d.others],
            "notes": list(d.notes),
            "help": d.help,
            "fixes": [
                {
                    "title": fix.title,
                    "edits": [[_span(edit.span), edit.text] for edit in fix.edits],
                    "certain": fix.certain,
                    "said": fix.said,
                    "cause": _label(fix.cause) if fix.cause else None,
                }
                for fix in d.fixes
            ],
        }
        for d in diagnostics
    ]


def restore(stored: Iterable[Any], sources: Mapping[str, Source]) -> tuple[Diagnostic, ...]:
    """Return the diagnostics; raise KeyError, TypeError or ValueError for what `store` did not return."""

    def span(values: Any) -> Span:
        name, line, column, end_line, end_column = values
        return Span(sources[name], line, column, end_line, end_column)

    def label(values: Any) -> Label:
        where, text = values
        return Label(span(where), text)

    def fix(values: Any) -> Fix:
        edits = tuple(Edit(span(where), text) for where, text in values["edits"])
        cause = label(values["cause"]) if values["cause"] else None
        return Fix(values["title"], edits, values["certain"], values["said"], cause)

    return tuple(
        Diagnostic(
            d["code"],
            d["message"],
            label(d["label"]),
            d["severity"],
            tuple(map(label, d["others"])),
            tuple(d["notes"]),
            d["help"],
            tuple(map(fix, d["fixes"])),
        )
        for d in stored
    )


def sources_of(diagnostics: Iterable[Diagnostic]) -> set[Source]:
    """Return the texts that diagnostics are about."""
    found = set()
    for d in diagnostics:
        causes = [fix.cause for fix in d.fixes if fix.cause]
        found |= {label.span.source for label in (d.label, *d.others, *causes)}
        found |= {edit.span.source for fix in d.fixes for edit in fix.edits}
    return found


def _span(span: Span) -> list[Any]:
    return [span.source.name, *span[1:]]


def _label(label: Label) -> list[Any]:
    return [_span(label.span), label.text]
