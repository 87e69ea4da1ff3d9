"""The pages of the codes of diagnostics, with what the checker prints for the invalid example of each."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cnnspec.diagnostics import Diagnostic, Source, codes, format_diagnostic
from cnnspec.language.load import check

_INVALID = re.compile(r"^```yaml\n(# error\n.*?)^```$", re.MULTILINE | re.DOTALL)


def invalid_example(code: str) -> Source | None:
    """Return the invalid spec on the page of a code; None where no single text can raise it."""
    found = _INVALID.search(codes()[code].text)
    # A name that is no file's: whether `extends` finds its base must not depend on the working directory.
    return Source("<example>", found[1]) if found else None


def diagnostics_of_example(code: str) -> list[Diagnostic]:
    """Return the diagnostics of a code's invalid example, without notes that the page is not about."""
    example = invalid_example(code)
    found = check(example, notes=True).diagnostics if example is not None else ()
    return [d for d in found if d.severity != "note" or d.code == code]


def all_pages() -> str:
    """Return every page as one document in Markdown; docs/diagnostics.md is its text."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# The codes of diagnostics"
    yield ""
    yield "`cnnspec explain CODE` prints a section of this page. This file is the output of `cnnspec explain --all`."
    yield ""
    yield "| code | meaning |"
    yield "|---|---|"
    yield from (f"| [`{code}`](#{code}) | {page.summary} |" for code, page in codes().items())
    for code, page in codes().items():
        yield f"\n## {code}\n\n*{page.summary}*\n\n{page.text}"
        if found := diagnostics_of_example(code):
            printed = "\n\n".join(map(format_diagnostic, found))
            yield f"\nThe invalid example prints:\n\n```text\n{printed}\n```"
