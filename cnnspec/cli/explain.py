"""`cnnspec explain`."""

from __future__ import annotations

import re
import sys

import click

from cnnspec.cli.common import error_line, show
from cnnspec.diagnostics import Source, codes
from cnnspec.language.load import check
from cnnspec.wording import nearest

_INVALID = re.compile(r"^```yaml\n(# error\n.*?)^```$", re.MULTILINE | re.DOTALL)


def invalid_example(code: str) -> Source | None:
    """Return the invalid spec on the page of a code; None where no single text can raise it."""
    found = _INVALID.search(codes()[code].text)
    # A name that is no file's: whether `extends` finds its base must not depend on the working directory.
    return Source("<example>", found[1]) if found else None


@click.command("explain")
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Explain the code of a diagnostic, such as kernel-too-large; without CODE, list them all."""
    if code is None:
        width = max(map(len, codes()))
        for name, page in codes().items():
            click.echo(f"{name:<{width}}  {page.summary}")
        return
    if code not in codes():
        near = nearest(code, codes())
        hint = f"; did you mean `{near}`?" if near else "; `cnnspec explain` lists them"
        error_line(f"no diagnostic has the code `{code}`{hint}")
        sys.exit(1)
    page = codes()[code]
    click.echo(f"{code}: {page.summary}\n\n{page.text}")
    if spec := invalid_example(code):
        click.echo()
        show(check(spec).diagnostics)
