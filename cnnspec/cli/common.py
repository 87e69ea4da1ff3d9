"""What the commands share: options, the console, and how faults are shown."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

import click

from cnnspec.diagnostics import Diagnostic, Paint, SpecError, format_diagnostic
from cnnspec.errors import CnnspecError
from cnnspec.layers import Shape
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
"""The errors that are shown as a message: what a user did, or what the machine refused."""


def fail(error: BaseException, status: int = 1) -> NoReturn:
    """Shows an error on standard error and ends the command."""
    if isinstance(error, SpecError):
        show(error.diagnostics, sys.stderr)
    elif isinstance(error, OSError) and error.filename:
        error_line(f"{error.filename}: {error.strerror}")
    else:
        error_line(str(error))
    sys.exit(status)


def colourful(stream: IO[str]) -> bool:
    """Whether to colour what goes there (https://no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def painter(stream: IO[str]) -> Paint:
    """What colours text for a stream by its role, or leaves it as it is."""
    if not colourful(stream):
        return lambda text, role: text
    return lambda text, role: click.style(text, **_COLOURS[role]) if role else text


def error_line(message: str) -> None:
    """One error on standard error, for what has no place in a text."""
    stream = sys.stderr
    click.echo(f"{painter(stream)('error', 'error')}: {message}", file=stream, color=colourful(stream))


def show(diagnostics: Iterable[Diagnostic], stream: IO[str] | None = None) -> None:
    """Prints diagnostics, an empty line after each."""
    out = stream or sys.stdout
    paint = painter(out)
    for diagnostic in diagnostics:
        click.echo(format_diagnostic(diagnostic, paint) + "\n", file=out, color=colourful(out))


def print_lines(lines: Iterable[str]) -> None:
    """Lines on standard output, with the colours that they bring."""
    click.echo("\n".join(lines), color=colourful(sys.stdout))


def text_width() -> int | None:
    """How wide lines may be: as the terminal or COLUMNS says; a pipe has no width to keep to."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return None


def console(stream: IO[str] | None = None) -> Any:
    """A rich console for a terminal or a pipe; a pipe has no width to wrap at."""
    from rich.console import Console

    out = stream or sys.stdout
    width = None if out.isatty() or "COLUMNS" in os.environ else 240
    return Console(file=out, width=width, no_color=not colourful(out), highlight=False, emoji=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """JSON on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


class ShapeType(click.ParamType):  # type: ignore[type-arg]
    """A shape on the command line: 3x64x64."""

    name = "CxHxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shape:
        """The numbers."""
        parts = str(value).lower().replace("×", "x").replace(",", "x").split("x")
        if len(parts) not in (1, 3) or not all(p.strip().isdecimal() and 0 < int(p) < 2**31 for p in parts):
            self.fail(f"{value!r} is no shape: write channels, height and width as 3x64x64", param, ctx)
        return tuple(map(int, parts))


class BytesType(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes on the command line: 4GiB."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def settings(values: tuple[str, ...], *, mappings: bool = False) -> dict[str, Any]:
    """`--set name=value` as a mapping; values are read as YAML, and are `mappings` only where those are allowed."""
    from cnnspec.diagnostics import Source
    from cnnspec.language.yaml_tree import parse

    found: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set takes name=value, not {text!r}")
        node, faults = parse(Source("--set", value))
        if faults or node is None or (node.is_mapping and not mappings):
            raise click.UsageError(f"--set {name}: {value!r} is no value")
        found[name.strip()] = node.plain()
    return found


format_option = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people, or for programs."
)
set_option = click.option("--set", "sets", multiple=True, metavar="NAME=VALUE", help="Override a parameter.")


def model_options(command: F) -> F:
    """The options of every command that builds a model."""
    for option in reversed(
        [
            click.option("--backend", default="numpy", show_default=True, help="Who computes (`cnnspec backends`)."),
            click.option("--device", default="cpu", show_default=True, help="Where: cpu, cuda, cuda:1, mps."),
            click.option("--dtype", default="float32", show_default=True, help="Number format."),
            click.option("--weights", metavar="FILE", help="Safetensors, or the name of bundled weights."),
            click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights and input."),
            click.option("--memory-limit", type=BytesType(), help="Refuse what takes more; 2GiB by default."),
            set_option,
        ]
    ):
        command = option(command)
    return command


def data_options(command: F) -> F:
    """The options of every command that opens a dataset."""
    sources = "mnist, fashion-mnist, cifar10, digits, examples, a directory or .npz."
    folder = click.Path(path_type=Path, file_okay=False)
    for option in reversed(
        [
            click.option("--data", metavar="DATA", help=sources),
            click.option("--data-dir", type=folder, help="Where the named datasets lie."),
            click.option("--resize", is_flag=True, help="Fit images of another size or colour to the network."),
            click.option("--no-download", is_flag=True, help="Never fetch a dataset."),
        ]
    ):
        command = option(command)
    return command
