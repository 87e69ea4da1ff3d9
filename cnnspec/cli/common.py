"""Shared by the commands: option types, output to the terminal, and the display of errors."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from typing import IO, Any, NoReturn, TypeVar

import click

from cnnspec.cli.completion import complete_param
from cnnspec.cli.wrapping import wrapped
from cnnspec.diagnostics import Diagnostic, Paint, SpecError, format_diagnostic
from cnnspec.encoding import has, shown
from cnnspec.errors import CnnspecError
from cnnspec.layers import Shape
from cnnspec.layers.geometry import MOST_SIZES
from cnnspec.sizes import parse_size

F = TypeVar("F", bound=Callable[..., Any])

_COLOURS: dict[str, dict[str, Any]] = {
    "error": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow", "bold": True},
    "bold": {"bold": True},
    "frame": {"fg": "blue", "bold": True},
    "note": {"fg": "cyan"},
    "good": {"fg": "green", "bold": True},
}


EXPECTED = (CnnspecError, OSError, MemoryError)
"""The errors that are shown as a message: those that a user can cause, and those of the machine."""


def fail(error: BaseException, status: int = 1) -> NoReturn:
    """Print an error on standard error and exit."""
    if isinstance(error, SpecError):
        show(error.diagnostics, sys.stderr)
    elif isinstance(error, OSError) and error.filename:
        error_line(f"{error.filename}: {error.strerror}")
    else:
        error_line(str(error))
    sys.exit(status)


def colourful(stream: IO[str]) -> bool:
    """Return whether output to the stream is coloured: on a terminal with colours (https://no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def painter(stream: IO[str]) -> Paint:
    """Return a function that colours text by its role, where the stream has colours; without a role, it does not.

    The text comes back as the stream's encoding shows it, so that its width can be measured.
    """
    encoding, coloured = getattr(stream, "encoding", None), colourful(stream)

    def paint(text: str, role: str) -> str:
        text = shown(text, encoding)
        return click.style(text, **_COLOURS[role]) if role and coloured else text

    return paint


def error_line(message: str) -> None:
    """Print an error without a place in a text on standard error."""
    stream = sys.stderr
    click.echo(f"{painter(stream)('error', 'error')}: {message}", file=stream, color=colourful(stream))


def show(diagnostics: Iterable[Diagnostic], stream: IO[str] | None = None) -> None:
    """Print diagnostics, with an empty line after each."""
    out = stream or sys.stdout
    paint = painter(out)
    for diagnostic in diagnostics:
        click.echo(format_diagnostic(diagnostic, paint) + "\n", file=out, color=colourful(out))


def fixable(diagnostics: Iterable[Diagnostic]) -> str:
    """Return how many fixes `check --fix` can apply, as a sentence; "" where there is none."""
    count = sum(bool(d.fixes) and d.fixes[0].certain for d in diagnostics)
    return f"--fix applies {count} fix{'es' * (count != 1)}" if count else ""


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on standard output, with their colours where it has any, wrapped at words on a terminal."""
    width = text_width()
    each = (part for line in lines for part in line.split("\n"))
    parts = each if width is None else (part for line in each for part in wrapped(line, width))
    click.echo("\n".join(parts), color=colourful(sys.stdout))


def text_width() -> int | None:
    """Return the width of the terminal or of COLUMNS; None for a pipe, which has no width."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return None


def console(stream: IO[str] | None = None) -> Any:
    """Return a rich console for a stream; output to a pipe is not wrapped."""
    from rich.console import Console

    out = stream or sys.stdout
    width = None if out.isatty() or "COLUMNS" in os.environ else 240
    return Console(file=out, width=width, no_color=not colourful(out), highlight=False, emoji=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    click.echo(escaped(json.dumps(value, ensure_ascii=False, indent=2)))


def escaped(text: str) -> str:
    """Return JSON with escapes for all beyond ASCII where the encoding of standard output lacks some of it."""
    if has(text, getattr(sys.stdout, "encoding", None)):
        return text
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)


class ShapeType(click.ParamType):  # type: ignore[type-arg]
    """A shape on the command line: 3x64x64."""

    name = "CxHxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shape:
        """Return the shape."""
        parts = str(value).lower().replace("×", "x").replace(",", "x").split("x")
        fits = 1 <= len(parts) <= MOST_SIZES
        if not fits or not all(p.strip().isdecimal() and 0 < int(p) < 2**31 for p in parts):
            remedy = "write channels, height and width as 3x64x64, channels and length as 1x16000"
            self.fail(f"{value!r} is not a shape: {remedy}", param, ctx)
        return tuple(map(int, parts))


class BytesType(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes on the command line: 4GiB."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_values(flag: str, values: tuple[str, ...], *, mappings: bool = False) -> dict[str, Any]:
    """Return `NAME=VALUE` texts of a flag as a mapping; values are read as YAML, and are mappings only if allowed."""
    from cnnspec.diagnostics import Source
    from cnnspec.language.yaml_tree import parse

    found: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{flag} takes NAME=VALUE, not {text!r}")
        node, faults = parse(Source(flag, value))
        if faults or node is None or (node.is_mapping and not mappings):
            raise click.UsageError(f"{flag} {name}: {value!r} is not a value")
        found[name.strip()] = node.plain()
    return found


def given_options() -> list[str]:
    """Return the options that the command line gives, apart from defaults."""
    context = click.get_current_context()
    sources = {param: context.get_parameter_source(param.name or "") for param in context.command.params}
    return [param.opts[0] for param, source in sources.items() if source and source.name != "DEFAULT"]


def packed(name: str, make: Callable[..., Any], *options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that adds click options and hands their values to the command as one argument.

    The options are declared with the parameter names of `make`, which gets their values by keyword.
    """

    def decorate(command: F) -> F:
        taken = inspect.signature(make).parameters

        @wraps(command)
        def call(**values: Any) -> Any:
            values[name] = make(**{key: values.pop(key) for key in taken})
            return command(**values)

        for option in reversed(options):
            call = option(call)
        return call  # type: ignore[return-value]

    return decorate


format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Format of the output.",
)
params_option = packed(
    "params",
    lambda sets: parse_values("--set", sets, mappings=True),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="NAME=VALUE",
        help="Override a parameter of the spec.",
        shell_complete=complete_param,
    ),
)
