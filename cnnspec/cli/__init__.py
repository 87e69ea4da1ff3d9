"""The command line. Each command is imported when it is used, so that `check` starts without NumPy.

Uses every other room, and is used by none.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from cnnspec.encoding import adapt

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "check": "Check a spec: compute every shape, and the cost of each layer.",
    "show": "Draw the network of a spec, on the terminal or as SVG or PNG.",
    "run": "Run the network of a spec on images, arrays or random numbers.",
    "train": "Train the network of a spec on a dataset.",
    "evaluate": "Evaluate weights on a dataset.",
    "report": "Write one HTML file about a network, its values and its training.",
    "predict": "Write the predictions for any number of files.",
    "data": "Describe a dataset: classes, sizes, colours, broken files, duplicates.",
    "test": "Run the examples of a spec on every installed backend.",
    "weights": "Convert and inspect weights.",
    "import": "Write the network of an ONNX model as a spec.",
    "export": "Write the network of a spec in another format, such as ONNX.",
    "verify": "Compare the backends on a spec, layer by layer.",
    "bench": "Measure a spec on the backends, beside PyTorch and ONNX Runtime.",
    "diff": "Compare two specs by meaning: layers, shapes, costs and settings.",
    "render": "Print a spec with everything expanded.",
    "init": "Write a commented starter spec.",
    "explain": "Explain the code of a diagnostic, or a layer of a spec.",
    "layers": "List the layers, or document one.",
    "schema": "Print the JSON Schema of specs, for editors.",
    "lsp": "Run the language server, for editors.",
    "specs": "List the bundled specs.",
    "backends": "List the backends, their devices and data types.",
}

MODULES = {"import": "import_"}
"""The module of a command whose name is a word of Python's own."""


class LazyGroup(click.Group):
    """A group whose commands are imported on demand, each from its own module."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run as click does; characters that the terminal's encoding lacks get a form in ASCII."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                adapt(stream)
        return super().main(*args, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name."""
        return self._load(cmd_name) if cmd_name in COMMANDS else None

    def _load(self, name: str) -> click.Command:
        command: click.Command = import_module(f"cnnspec.cli.{MODULES.get(name, name)}").command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and the options that begin so, without importing the commands."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, and suggest the nearest name for an unknown one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from cnnspec.wording import nearest

            near = nearest(args[0], COMMANDS)
            hint = f" Did you mean `{near}`?" if near else ""
            raise click.UsageError(f"there is no command `{args[0]}`.{hint}", ctx)
        if ctx.resilient_parsing and len(args) == 1:  # a shell completes the first word behind the command
            from cnnspec.cli.completion import FIRST_WORDS, FirstWord

            if (name := args[0]) in FIRST_WORDS:
                return name, FirstWord(name, lambda: self._load(name)), []
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands to the help, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and report errors that a user can cause as messages, without a traceback."""
        from cnnspec.cli.common import EXPECTED, fail

        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click handles these
        except Exception as error:
            if isinstance(error, EXPECTED):
                fail(error)
            raise


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cnnspec")
def main() -> None:
    """A CNN is data, not code: declare it in YAML, check it without a framework, run it on any backend.

    A SPEC is a path, `-` for standard input, or the name of a bundled spec (`lenet`, `lenet.yaml`); a file in the
    working directory takes precedence. Exit status: 0 for success, 1 for an error in the spec or the data, 2 for wrong
    usage.
    """
