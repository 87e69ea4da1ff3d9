"""Check and load specs: the way from a path, a bundled name or a text to a `Spec`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cnnspec.diagnostics import Diagnostic, Source, SpecError, any_errors
from cnnspec.display import Rich
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.language.build import Built, build
from cnnspec.language.document import Opener
from cnnspec.language.files import open_base, read_spec
from cnnspec.language.fixes import with_tried_fixes
from cnnspec.layers import Shape
from cnnspec.layers.geometry import MOST_SIZES


@dataclass(frozen=True)
class Report(Rich):
    """The result of a check: the spec (None where it has errors) and every diagnostic, sorted by place."""

    name: str
    spec: Spec | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings do not count."""
        return not any_errors(self.diagnostics)


def check(
    spec: str | Path | Source,
    *,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    fixes: bool = True,
    notes: bool = False,
    expectations: bool = True,
    opener: Opener = open_base,
) -> Report:
    """Check a spec without running anything; never raises for an invalid spec or an unreadable file.

    `spec` is a path, the name of a bundled spec, or a `Source(name, text)`; `params` override the spec's,
    `input_shape` (channels, height, width; one or three spatial axes likewise) its input. With `fixes`, changes of the
    text that remove a diagnostic are looked for, and each is tried, which takes several times as long where there are
    diagnostics. With `notes`, the report holds what is worth knowing, beside what may be wrong. Without `expectations`,
    neither what `expect` says nor the examples are checked. `opener` returns the text that a spec extends.
    """
    if input_shape is not None:
        input_shape = _shape(input_shape)
    try:
        text = read_spec(spec)
    except SpecError as error:
        return Report(str(spec), None, error.diagnostics)
    built = checked(
        text, opener, params=params, input_shape=input_shape, fixes=fixes, notes=notes, expectations=expectations
    )
    return Report(built.name, built.spec, tuple(built.diagnostics))


def check_despite_expectations(
    spec: str | Path | Source,
    *,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    opener: Opener = open_base,
) -> Report:
    """Check as `check` does; the report also has a spec whose only errors are that it is not as its author expects."""
    report = check(spec, params=params, input_shape=input_shape, opener=opener)
    errors = [d for d in report.diagnostics if d.severity == "error"]
    if not errors or any(d.code != "expectation-failed" for d in errors):
        return report
    options: dict[str, Any] = {"params": params, "input_shape": input_shape, "opener": opener}
    return replace(report, spec=check(spec, fixes=False, expectations=False, **options).spec)


def checked(
    text: Source,
    opener: Opener,
    *,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    fixes: bool = True,
    notes: bool = False,
    expectations: bool = True,
) -> Built:
    """Return what a text is, with the fixes that help; `check` has the part of it that a user needs."""
    with _collector_paused():
        again = partial(build, params=params, input_shape=input_shape, notes=notes, expectations=expectations)
        built = again(text, opener, fixes=fixes)
        if not any(d.fixes for d in built.diagnostics):
            return built
        recheck = partial(_recheck, text, opener, again)
        further = partial(_recheck_with_fixes, text, opener, again)
        diagnostics = with_tried_fixes(built.diagnostics, built.layers, recheck, further)
        warnings = tuple(d for d in diagnostics if d.severity == "warning")
        spec = built.spec and replace(built.spec, warnings=warnings)
        return built._replace(spec=spec, diagnostics=diagnostics)


def _recheck(
    text: Source, opener: Opener, again: Callable[..., Built], edited: Mapping[str, Source]
) -> list[Diagnostic]:
    """Return the diagnostics of a spec with some of its texts edited."""
    return again(edited.get(text.name, text), _with_edits(opener, edited), fixes=False).diagnostics


def _recheck_with_fixes(
    text: Source, opener: Opener, again: Callable[..., Built], edited: Mapping[str, Source]
) -> list[Diagnostic]:
    """Return the diagnostics of a spec with some of its texts edited, with the fixes that make it valid."""
    changed, changed_opener = edited.get(text.name, text), _with_edits(opener, edited)
    built = again(changed, changed_opener, fixes=True)
    return with_tried_fixes(built.diagnostics, built.layers, partial(_recheck, changed, changed_opener, again))


def _with_edits(opener: Opener, edited: Mapping[str, Source]) -> Opener:
    """Return what opens the text that a spec extends, edited where it is one of those."""

    def open_edited(name: str, extending: Source) -> Source:
        base = opener(name, extending)
        return edited.get(base.name, base)

    return open_edited


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector: a check builds and frees next to nothing, and the time of scans is not linear."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def load(
    spec: str | Path | Source, *, params: Mapping[str, Any] | None = None, input_shape: Shape | None = None
) -> Spec:
    """Return the checked spec; raise SpecError, with `.diagnostics`, where it has errors."""
    report = check(spec, params=params, input_shape=input_shape)
    if report.spec is None:
        raise SpecError(report.diagnostics)
    return report.spec


def loads(
    text: str, *, name: str = "<text>", params: Mapping[str, Any] | None = None, input_shape: Shape | None = None
) -> Spec:
    """Return the checked spec of a text; raise SpecError where it has errors."""
    return load(Source(name, text), params=params, input_shape=input_shape)


def spec_of(spec: str | Path | Source | Spec) -> Spec:
    """Return the spec itself, or load it."""
    return spec if isinstance(spec, Spec) else load(spec)


def load_spec(spec: str | Path | Source | Spec, params: Mapping[str, Any] | None, resize: bool) -> Spec:
    """Return the spec, loaded with these parameters where it is not yet; `resize` lets it fit images of any size."""
    found = spec if isinstance(spec, Spec) else load(spec, params=params)
    return found.resizing() if resize else found


def graph_of(spec: str | Path | Source | Spec | Graph) -> Graph:
    """Return the graph itself, or that of a spec, which is loaded if need be."""
    return spec if isinstance(spec, Graph) else spec_of(spec).graph


def _shape(shape: Sequence[int]) -> Shape:
    """Return an input shape as a tuple; raise ValueError for anything else."""
    found = tuple(shape)
    if not 1 <= len(found) <= MOST_SIZES or not all(type(n) is int and n > 0 for n in found):
        raise ValueError(
            "an input shape is (channels, height, width), (channels, length), (channels, depth, height, width) or "
            f"(features,), each at least 1, not {shape!r}"
        )
    return found
