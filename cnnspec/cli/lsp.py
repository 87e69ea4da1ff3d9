"""`cnnspec lsp`."""

from __future__ import annotations

import sys

import click

from cnnspec.cli.common import error_line


@click.command("lsp")
def command() -> None:
    """Run the language server on standard input and output; an editor starts it: docs/editors.md.

    It needs the extra `lsp`: pip install 'cnnspec[lsp]'.
    """
    try:
        from cnnspec.lsp.server import serve
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("pygls", "lsprotocol"):
            raise
        error_line("the language server needs pygls: pip install 'cnnspec[lsp]'")
        sys.exit(2)
    serve()
