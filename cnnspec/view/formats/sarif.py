"""SARIF 2.1.0, the format of results of static analysis that GitHub's code scanning and many editors read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from cnnspec.diagnostics import Diagnostic, Fix, Label, Source, Span, codes
from cnnspec.language.project.checking import Checked
from cnnspec.version import __version__
from cnnspec.view.formats.gitlab import fingerprint
from cnnspec.view.formats.places import details, one_line, relative, unique

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(checked: Sequence[Checked]) -> str:
    """Return a log with one run, whose rules are the codes that were found."""
    found = [*unique(checked)]
    rules = sorted({d.code for d in found})
    seen: Counter[str] = Counter()
    run = {
        "tool": {
            "driver": {
                "name": "cnnspec",
                "semanticVersion": __version__,
                "version": __version__,
                "rules": [_rule(code, found) for code in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, rules.index(d.code), seen) for d in found],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2) + "\n"


def _rule(code: str, found: Sequence[Diagnostic]) -> dict[str, Any]:
    level = next(d.severity for d in found if d.code == code)
    rule: dict[str, Any] = {"id": code, "defaultConfiguration": {"level": level}}
    page = codes().get(code)
    if page is not None:  # a layer of a third party may have codes of its own
        rule |= {
            "shortDescription": {"text": page.summary},
            "fullDescription": {"text": page.text.split("\n\n")[0]},
            "help": {"text": page.text, "markdown": page.text},
        }
    return rule


def _result(d: Diagnostic, rule: int, seen: Counter[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": d.code,
        "ruleIndex": rule,
        "level": d.severity,
        "message": {"text": "\n".join([one_line(d), *details(d)])},
        "locations": [_location(d.label.span)],
        "partialFingerprints": {"lineText/v1": fingerprint(d, seen)},
    }
    if d.others:
        result["relatedLocations"] = [_related(i, label) for i, label in enumerate(d.others, 1)]
    if d.fixes:
        result["fixes"] = list(map(_fix, d.fixes))
    return result


def _location(span: Span) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": _artifact(span.source.name), "region": _region(span)}}


def _related(number: int, label: Label) -> dict[str, Any]:
    message = {"message": {"text": label.text}} if label.text else {}
    return {"id": number, **_location(label.span), **message}


def _artifact(name: str) -> dict[str, Any]:
    """Return the place of a text: a URI from the root of the sources, or a whole one for a file outside."""
    path = relative(name)
    return {"uri": PurePath(path).as_uri() if PurePath(path).is_absolute() else quote(path)}


def _region(span: Span) -> dict[str, Any]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _fix(fix: Fix) -> dict[str, Any]:
    by_source: dict[Source, list[dict[str, Any]]] = {}
    for span, text in fix.edits:
        replacement = {"deletedRegion": _region(span), "insertedContent": {"text": text}}
        by_source.setdefault(span.source, []).append(replacement)
    changes = [
        {"artifactLocation": _artifact(source.name), "replacements": replacements}
        for source, replacements in by_source.items()
    ]
    return {"description": {"text": fix.title}, "artifactChanges": changes}
