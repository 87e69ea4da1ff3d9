"""`cnnspec explain`."""

from __future__ import annotations

import sys

import click

from cnnspec.diagnostics import CODES, nearest


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
        click.echo(f"error: no diagnostic has the code `{code}`{hint}", err=True)
        sys.exit(1)
    click.echo(f"{code}: {CODES[code]}")
