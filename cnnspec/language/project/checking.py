"""Check one of many specs: its diagnostics and what is kept of the network, and which other texts that took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from cnnspec.diagnostics import Diagnostic, Source, SpecError, any_errors
from cnnspec.language.files import open_base, read_spec
from cnnspec.language.load import Report, check
from cnnspec.layers import Shape

Refine = Callable[[Report], Report]
"""Returns a report with further diagnostics, such as those of budgets."""
Details = Callable[[Report, Source | None], Any]
"""Returns what is kept of a report and its text (None where it cannot be read) beside the diagnostics, as JSON."""


@dataclass(frozen=True)
class Checked:
    """The result of a check without the network: what was asked for, the spec's name, its diagnostics, and details."""

    target: str
    name: str
    diagnostics: tuple[Diagnostic, ...]
    details: Any = None

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not any_errors(self.diagnostics)


@dataclass(frozen=True)
class Settings:
    """What a check depends on beside the texts."""

    params: Mapping[str, Any]
    input_shape: Shape | None = None
    notes: bool = False
    refine: Refine | None = None
    details: Details | None = None

    @property
    def key(self) -> str:
        """The settings as text, for the cache."""
        functions = (_described(self.refine), _described(self.details))
        return repr((sorted(self.params.items()), self.input_shape, self.notes, *functions))


def _described(function: Callable[..., Any] | None) -> Any:
    """Return what a function is and the arguments that are bound to it."""
    if isinstance(function, partial):
        return (_described(function.func), function.args, sorted(function.keywords.items()))
    return getattr(function, "__qualname__", None)


class Dependency(NamedTuple):
    """A text that a spec extends: as it is named, the text that names it, and the digest of what was found."""

    name: str
    extending: str
    digest: str


def digest(found: Source | SpecError) -> str:
    """Return the digest of a text and its name, or of the error instead of one."""
    parts = (found.name, found.text) if isinstance(found, Source) else ("", str(found))
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class Result(NamedTuple):
    """A result, its text (None where it cannot be read), and what it extends."""

    checked: Checked
    source: Source | None
    dependencies: tuple[Dependency, ...] = ()


def check_one(spec: str | Source, settings: Settings) -> Result:
    """Check a spec, and note which other texts that took."""
    try:
        source = read_spec(spec)
    except SpecError as error:
        unread = Report(str(spec), None, error.diagnostics)
        return Result(_without_network(str(spec), unread, None, settings), None)
    dependencies: dict[Dependency, None] = {}

    def opener(name: str, extending: Source) -> Source:
        try:
            base = open_base(name, extending)
        except SpecError as error:
            dependencies[Dependency(name, extending.name, digest(error))] = None
            raise
        dependencies[Dependency(name, extending.name, digest(base))] = None
        return base

    report = check(
        source, params=settings.params, input_shape=settings.input_shape, notes=settings.notes, opener=opener
    )
    return Result(_without_network(source.name, report, source, settings), source, tuple(dependencies))


def _without_network(target: str, report: Report, source: Source | None, settings: Settings) -> Checked:
    if settings.refine:
        report = settings.refine(report)
    details = settings.details(report, source) if settings.details else None
    return Checked(target, report.name, report.diagnostics, details)
