"""The output of `check`: its format and file, and how many specs are checked at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from cnnspec.cli.common import escaped, packed, show
from cnnspec.wording import names

if TYPE_CHECKING:
    from cnnspec.diagnostics import Source
    from cnnspec.language.project.checking import Checked, Settings
    from cnnspec.language.project.discovery import Found

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("text", "concise", "json", "csv", "github", "gitlab", "sarif", "junit")
_OF_JSON = ("json", "gitlab", "sarif")
"""The formats that are JSON, which has escapes for characters that an encoding lacks."""


class Output(NamedTuple):
    """The options of `check` about many specs and their output."""

    format: str
    file: Path | None
    jobs: int | None
    no_cache: bool
    specs_only: bool
    notes: bool
    """Whether notes are shown beside errors and warnings."""
    strict: bool
    """Whether warnings are errors."""

    def find(self, given: Sequence[str], *, quiet: bool) -> Found:
        """Return the specs that the arguments name; say on standard error which files are none, unless `quiet`."""
        from cnnspec.language.project.discovery import find_specs

        found = find_specs(given, specs_only=self.specs_only)
        if found.others and not quiet:
            *listed, last = found.others[:3]
            shown = names(found.others) if len(found.others) <= 3 else f"{names([*listed, last])} and others"
            count = f"{len(found.others)} YAML file{'s' * (len(found.others) != 1)}"
            click.echo(f"left out {count} without the key `cnnspec` or `layers`: {shown}", err=True)
        return found

    def has_tables(self, found: Found, *, quiet: bool, asked: bool) -> bool:
        """Return whether the network of each spec is printed: not of those in directories, unless it is asked for."""
        if self.file and self.format == "text":
            raise click.UsageError("--output takes another --format than text, such as sarif")
        return self.format == "text" and not quiet and (asked or not found.has_directories)

    def check(self, specs: Sequence[str | Source], settings: Settings) -> list[Checked]:
        """Check the specs; the results of several are remembered."""
        if len(specs) == 1:
            from cnnspec.language.project.checking import check_one

            return [check_one(specs[0], settings).checked]
        from cnnspec.language.project.cache import Cache
        from cnnspec.language.project.many import check_all

        cache = None if self.no_cache else Cache(settings.key)
        return check_all(specs, settings, jobs=self.jobs, cache=cache)

    def write(self, checked: Sequence[Checked], *, as_list: bool, quiet: bool) -> None:
        """Print the results, or write them to the file; how many are valid goes to standard error beside a report."""
        if self.format == "text":
            from cnnspec.view.formats.places import unique

            show(unique(checked))
        else:
            self.emit(self._rendered(checked, as_list))
        if not quiet and (self.file or (as_list and self.format != "json")):
            click.echo(counted(checked), err=self.format != "text")

    def emit(self, text: str) -> None:
        """Print a text, or write it to the file."""
        if self.file is None:
            click.echo(escaped(text) if self.format in _OF_JSON else text, nl=False)
        else:
            from cnnspec import atomic

            atomic.write(self.file, text.encode("utf-8", "replace"))

    def _rendered(self, checked: Sequence[Checked], as_list: bool) -> str:
        if self.format == "json":
            entries = [result.details for result in checked]
            return json.dumps(entries if as_list else entries[0], ensure_ascii=False, indent=2) + "\n"
        text: str = import_module(f"cnnspec.view.formats.{self.format}").render(checked)
        return text


def counted(results: Sequence[Any]) -> str:
    """Return how many specs are valid."""
    faulty = sum(not result.ok for result in results)
    return f"{len(results)} spec{'s' * (len(results) != 1)}: {len(results) - faulty} valid, {faulty} with errors"


def output_options(command: F) -> F:
    """Add the options, which the command gets as `output`."""
    return packed(
        "output",
        lambda output_format, output_file, jobs, no_cache, specs_only, notes, strict: Output(
            output_format, output_file, jobs, no_cache, specs_only, notes, strict
        ),
        click.option("--strict", is_flag=True, help="Take warnings as errors."),
        click.option("--notes", is_flag=True, help="Show notes, too: what is worth knowing beside what may be wrong."),
        click.option(
            "--format",
            "output_format",
            type=click.Choice(FORMATS),
            default="text",
            show_default=True,
            help="Format of the output; concise is a line for each diagnostic, csv a row for each network.",
        ),
        click.option(
            "-o",
            "--output",
            "output_file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write the report to this file.",
        ),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(1),
            help="Processes that check many specs; by default the processors, for 200 specs and more.",
        ),
        click.option("--no-cache", is_flag=True, help="Check every spec, also those that have not changed."),
        click.option(
            "--specs-only",
            is_flag=True,
            help="Leave out files without a key `cnnspec` or `layers`, as in directories.",
        ),
    )(command)
