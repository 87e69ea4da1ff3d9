"""JUnit's XML, which most servers of continuous integration show: a test case for each spec."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from cnnspec.diagnostics import Diagnostic, format_diagnostic
from cnnspec.language.project.checking import Checked
from cnnspec.view.formats.places import one_line, relative

_INVALID = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The characters that XML 1.0 cannot hold."""


def render(checked: Sequence[Checked]) -> str:
    """Return one suite; a spec with errors fails, and warnings are its output."""
    counts = f'tests="{len(checked)}" failures="{sum(not result.ok for result in checked)}" errors="0"'
    lines = ['<?xml version="1.0" encoding="utf-8"?>', f'<testsuites name="cnnspec check" {counts}>']
    lines += [f'  <testsuite name="cnnspec check" {counts}>', *map(_case, checked), "  </testsuite>", "</testsuites>"]
    return "\n".join(lines) + "\n"


def _case(result: Checked) -> str:
    path = relative(result.target)
    head = f'    <testcase classname="cnnspec.check" name={_attribute(path)} file={_attribute(path)}'
    errors = [d for d in result.diagnostics if d.severity == "error"]
    others = [d for d in result.diagnostics if d.severity != "error"]
    lines = []
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        attributes = f"type={_attribute(errors[0].code)} message={_attribute(one_line(errors[0]) + more)}"
        lines.append(f"      <failure {attributes}>{_text(errors)}</failure>")
    if others:
        lines.append(f"      <system-out>{_text(others)}</system-out>")
    return "\n".join([f"{head}>", *lines, "    </testcase>"]) if lines else f"{head}/>"


def _text(diagnostics: Sequence[Diagnostic]) -> str:
    return escape(_INVALID.sub("\N{REPLACEMENT CHARACTER}", "\n\n".join(map(format_diagnostic, diagnostics))))


def _attribute(text: str) -> str:
    return quoteattr(_INVALID.sub("\N{REPLACEMENT CHARACTER}", text))
