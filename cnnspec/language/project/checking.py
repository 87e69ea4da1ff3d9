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

Conclude = Callable[[Report], tuple[tuple[Diagnostic, ...], Any]]
"""Returns the diagnostics of a report, to which it may add some, and what is kept of the network, as JSON."""


def diagnostics_alone(report: Report) -> tuple[tuple[Diagnostic, ...], Any]:
    """Return the diagnostics of a report, and nothing of the network."""
    return report.diagnostics, None


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
    conclude: Conclude = diagnostics_alone
    """A function of a module, or a `partial` of one whose arguments are told apart by their text."""

    @property
    def key(self) -> str:
        """The settings as text, for the cache."""
        partly = self.conclude if isinstance(self.conclude, partial) else partial(self.conclude)
        function = f"{partly.func.__module__}.{partly.func.__qualname__}"
        arguments = (partly.args, sorted(partly.keywords.items()))
        return repr((sorted(self.params.items()), self.input_shape, function, arguments))


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


def check_one(spec: str, settings: Settings) -> Result:
    """Check a spec, and note which other texts that took."""
    try:
        source = read_spec(spec)
    except SpecError as error:
        return Result(_without_network(spec, Report(spec, None, error.diagnostics), settings), None)
    dependencies: dict[Dependency, None] = {}

    def opener(name: str, extending: Source) -> Source:
        try:
            base = open_base(name, extending)
        except SpecError as error:
            dependencies[Dependency(name, extending.name, digest(error))] = None
            raise
        dependencies[Dependency(name, extending.name, digest(base))] = None
        return base

    report = check(source, params=settings.params, input_shape=settings.input_shape, opener=opener)
    return Result(_without_network(spec, report, settings), source, tuple(dependencies))


def _without_network(spec: str, report: Report, settings: Settings) -> Checked:
    diagnostics, details = settings.conclude(report)
    return Checked(spec, report.name, diagnostics, details)
