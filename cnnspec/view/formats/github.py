"""Workflow commands of GitHub Actions, which show a diagnostic at its line of a pull request.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnspec.diagnostics import Diagnostic
from cnnspec.language.project.checking import Checked
from cnnspec.view.formats.places import details, one_line, relative, unique

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render(checked: Sequence[Checked]) -> str:
    """Return a command for each diagnostic."""
    return "".join(map(_command, unique(checked)))


def _command(d: Diagnostic) -> str:
    span = d.label.span
    properties = {"file": relative(span.source.name), "line": span.line, "endLine": span.end_line}
    if span.line == span.end_line:  # columns are allowed on one line alone; the last one is included
        properties |= {"col": span.column, "endColumn": max(span.column, span.end_column - 1)}
    properties["title"] = d.code
    given = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{_COMMANDS[d.severity]} {given}::{_data(chr(10).join([one_line(d), *details(d)]))}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
