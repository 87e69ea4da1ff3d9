"""Places of diagnostics as other tools name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cnnspec.diagnostics import Diagnostic
from cnnspec.language.project.checking import Checked


def relative(name: str) -> str:
    """Return the path of a text from the working directory, with slashes; as it is where it lies outside."""
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return path.as_posix()


def one_line(diagnostic: Diagnostic) -> str:
    """Return the message and the label at its place, on one line."""
    label = diagnostic.label.text
    return " ".join(f"{diagnostic.message}{': ' if label else ''}{label}".split())


def details(diagnostic: Diagnostic) -> list[str]:
    """Return the lines that stand below the excerpt: notes, fixes and help."""
    found = [*diagnostic.notes, *(f"fix: {fix.title}" for fix in diagnostic.fixes)]
    return [*found, *([f"help: {diagnostic.help}"] if diagnostic.help else [])]


def unique(checked: Sequence[Checked]) -> Iterator[Diagnostic]:
    """Yield the diagnostics of all specs; one of a text that several specs extend is yielded once."""
    seen = set()
    for result in checked:
        for diagnostic in result.diagnostics:
            span = diagnostic.label.span
            key = diagnostic.code, diagnostic.message, relative(span.source.name), span[1:]
            if key not in seen:
                seen.add(key)
                yield diagnostic
