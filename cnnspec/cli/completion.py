"""What a shell completes: specs, kinds of layers, codes of diagnostics, names of layers and of parameters."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


# Whatever a completion needs is imported when the shell asks for one: every start of a command imports this file.


def _beginning(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def complete_spec(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the bundled specs and the YAML files that begin so; the shell adds other files and folders.

    The entry that asks the shell for files comes first: bash forgets the ones before it, and adds files where there are
    no others.
    """
    from click.shell_completion import CompletionItem

    from cnnspec import bundled

    folder, slash, begin = incomplete.rpartition("/")
    files = Path(f"{folder}{slash}").glob(f"{glob.escape(begin)}*.y*ml")
    beside = sorted(f"{folder}{slash}{path.name}" for path in files)
    names = _beginning([*beside, *bundled.names()], incomplete)
    return [CompletionItem(incomplete, type="file"), *names]


def complete_kind(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the kinds of layers that begin so."""
    from cnnspec.layers import known_kinds

    return _beginning(known_kinds(), incomplete)


def complete_subject(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the codes of diagnostics and the specs that begin so."""
    from click.shell_completion import CompletionItem

    from cnnspec.diagnostics import codes

    found = [CompletionItem(code, help=page.summary) for code, page in codes().items() if code.startswith(incomplete)]
    files, *specs = complete_spec(ctx, param, incomplete)
    return [files, *found, *specs]


def complete_layer(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the layers of the spec on the command line that begin so."""
    from cnnspec.language.load import check

    spec = ctx.params.get("subject")
    report = check(spec, fixes=False) if spec else None
    if report is None or report.spec is None:
        return []
    return _beginning((node.name for node in report.spec.graph.nodes), incomplete)


def complete_block(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the blocks of the spec on the command line that begin so."""
    from cnnspec.graph.blocks import block_names
    from cnnspec.language.load import check

    # While the option has no value, click has not told the arguments from each other.
    spec = ctx.params.get("spec") or next(iter(ctx.args), None)
    report = check(spec, fixes=False) if spec else None
    if report is None or report.spec is None:
        return []
    return _beginning(block_names(report.spec.graph), incomplete)


def complete_param(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return `NAME=` for the parameters of the specs on the command line that begin so."""
    from cnnspec.diagnostics import SpecError
    from cnnspec.language.collector import DiagnosticCollector
    from cnnspec.language.document import read_document
    from cnnspec.language.files import open_base, read_spec

    found: dict[str, None] = {}
    # While the option has no value, click has not told the arguments from each other.
    one = ctx.params.get("spec") or ctx.params.get("subject")
    for spec in ctx.params.get("specs") or ([one] if one else ctx.args):
        try:
            document = read_document(read_spec(spec), DiagnosticCollector(), {}, open_base)
        except SpecError:
            continue
        found |= dict.fromkeys(document.scope.values if document is not None else ())
    return _beginning((f"{name}=" for name in found), incomplete)


class FirstWord(click.Command):
    """A command of which the first argument is being completed, which needs no import of the command itself."""

    def __init__(self, name: str, load: Callable[[], click.Command]) -> None:
        completer = {"explain": complete_subject, "layers": complete_kind}.get(name, complete_spec)
        super().__init__(name, params=[click.Argument(["first"], shell_complete=completer)])
        self._load = load

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the options of the command, which is imported for them."""
        command = self._load()
        return command.shell_complete(click.Context(command, ctx.parent, resilient_parsing=True), incomplete)


TAKES_SPEC = (
    "check", "show", "run", "train", "evaluate", "predict", "test", "diff", "export", "verify", "bench", "render",
    "schema",
)  # fmt: skip
"""The commands whose first argument is a spec."""
FIRST_WORDS = (*TAKES_SPEC, "explain", "layers")
"""The commands whose first argument is completed without importing them."""
