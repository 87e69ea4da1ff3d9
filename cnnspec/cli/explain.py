"""`cnnspec explain`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from cnnspec.cli.common import error_line, show
from cnnspec.diagnostics import CODES, Source
from cnnspec.language.load import check
from cnnspec.wording import nearest

PAGES = Path(__file__).resolve().parent.parent / "codes.md"
_FAULTY = re.compile(r"^```yaml\n(# at fault\n.*?)^```$", re.MULTILINE | re.DOTALL)


def page(code: str) -> str:
    """What codes.md says about a code, without the heading."""
    return PAGES.read_text(encoding="utf-8").split(f"\n## {code}\n")[1].split("\n## ")[0].strip()


def faulty(code: str) -> Source | None:
    """The spec at fault on the page of a code; None where no single text can raise it."""
    found = _FAULTY.search(page(code))
    # A name that is no file's: whether `extends` finds its base must not depend on the working directory.
    return Source("<example>", found[1]) if found else None


@click.command("explain")
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Explain the code of a diagnostic, such as kernel-too-large; without CODE, list them all."""
    if code is None:
        width = max(map(len, CODES))
        for name, about in CODES.items():
            click.echo(f"{name:<{width}}  {about}")
        return
    if code not in CODES:
        near = nearest(code, CODES)
        hint = f"; did you mean `{near}`?" if near else "; `cnnspec explain` lists them"
        error_line(f"no diagnostic has the code `{code}`{hint}")
        sys.exit(1)
    click.echo(f"{code}: {CODES[code]}\n\n{page(code)}")
    if spec := faulty(code):
        click.echo()
        show(check(spec).diagnostics)
