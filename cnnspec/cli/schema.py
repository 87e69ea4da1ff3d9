"""`cnnspec schema`."""

from __future__ import annotations

import json

import click

from cnnspec.cli.common import escaped
from cnnspec.cli.completion import complete_spec


@click.command("schema")
@click.argument("spec", required=False, shell_complete=complete_spec)
def command(spec: str | None) -> None:
    """Print the JSON Schema of specs; with SPEC, of that one, which knows its blocks and parameters by name.

    An editor with a YAML extension completes and checks with it: docs/editors.md. Layers of other packages that are
    installed are part of it.
    """
    click.echo(escaped(schema_text(spec)), nl=False)


def schema_text(spec: str | None = None) -> str:
    """Return the JSON Schema of every spec, or of one, as a file holds it."""
    from cnnspec.language.files import open_base, read_spec
    from cnnspec.language.schema.document import schema, schema_of
    from cnnspec.layers import known_kinds

    kinds = known_kinds()
    found = schema(kinds) if spec is None else schema_of(read_spec(spec), kinds, open_base)
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"
