"""`cnnspec render`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cnnspec.cli.common import params_option
from cnnspec.cli.completion import complete_spec
from cnnspec.language.load import load
from cnnspec.language.render import render


@click.command("render")
@click.argument("spec", shell_complete=complete_spec)
@click.option("--short", is_flag=True, help="Leave out defaults.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@params_option
def command(spec: str, short: bool, output: Path | None, params: dict[str, Any]) -> None:
    """Print SPEC with its parameters, blocks, sugar and defaults expanded; it checks to the same network."""
    text = render(load(spec, params=params), defaults=not short)
    if output:
        output.write_text(text, "utf-8")
    else:
        click.echo(text, nl=False)
