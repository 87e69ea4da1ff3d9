"""The command line. Each command is imported when it is used, so that `check` starts without NumPy.

Uses every other room, and is used by none.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "check": "Prove every shape of a spec, and show what it costs.",
    "run": "Run a spec's network on images, arrays or random numbers.",
    "train": "Train a spec's network on a dataset.",
    "evaluate": "Measure trained weights on a dataset.",
    "test": "Run the examples of a spec on every installed backend.",
    "weights": "Convert and inspect weights.",
    "verify": "Hold the backends against each other, layer by layer.",
    "render": "Print a spec with everything expanded.",
    "init": "Write a commented starter spec.",
    "explain": "Explain the code of a diagnostic.",
    "layers": "List the layers, or document one.",
    "specs": "List the bundled specs.",
    "backends": "List the backends, their devices and number formats.",
}


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """As click does; a character that the terminal does not have is a question mark, not an error."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().main(*args, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"cnnspec.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name for one that is not there."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from cnnspec.wording import nearest

            near = nearest(args[0], COMMANDS)
            hint = f" Did you mean `{near}`?" if near else ""
            raise click.UsageError(f"there is no command `{args[0]}`.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands and what they do, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; what a user did wrong is a message, never a traceback."""
        from cnnspec.cli.common import EXPECTED, fail

        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click ends these well
        except Exception as error:
            if isinstance(error, EXPECTED):
                fail(error)
            raise


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cnnspec")
def main() -> None:
    """A CNN is data, not code: declare it in YAML, check it without a framework, run it on any backend.

    A SPEC is a path, `-` for standard input, or the name of a bundled spec (`lenet`, `lenet.yaml`); a file in the
    working directory wins. Exit status: 0 all is well, 1 the spec or the data is at fault, 2 wrong usage.
    """
