"""The Python API of specs: load, check, build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cnnspec import bundled, source
from cnnspec.builder import build as build_graph
from cnnspec.diagnostics import Diagnostic, Source, SpecError, any_errors
from cnnspec.graph.graph import Graph
from cnnspec.layers import Shape
from cnnspec.wording import quoted


@dataclass(frozen=True)
class Report:
    """What a check found: the graph (None when the spec is at fault) and every diagnostic, sorted by place."""

    spec: str
    graph: Graph | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings do not count."""
        return not any_errors(self.diagnostics)


def read(spec: str | Path) -> Source:
    """The text of a spec: a path, `-`, or the name of a bundled spec; a file in the working directory wins."""
    path = Path(spec)
    if str(spec) != "-" and not _exists(path) and (found := bundled.find(str(spec))) is not None:
        return Source(str(spec), source.read(found).text)
    try:
        return source.read(spec)
    except SpecError as error:
        raise _with_hint(error, str(spec)) from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that is closed
        return False


def _with_hint(error: SpecError, name: str) -> SpecError:
    from cnnspec.wording import nearest

    (fault,) = error.diagnostics
    if fault.code != "unreadable-file" or fault.help:
        return error
    near = nearest(name.removesuffix(".yaml"), bundled.names())
    hint = f"did you mean the bundled spec `{near}`?" if near else "`cnnspec specs` lists the bundled specs"
    return SpecError([replace(fault, help=hint)])


def _open_base(name: str, extending: Source) -> Source:
    """The spec that another extends: beside it, or bundled; never outside of its folder."""
    if Path(name).is_absolute() or ".." in Path(name).parts or name == "-":
        message = f"{quoted(name)} lies outside of the spec's folder"
        raise SpecError([source.about_file("unreadable-file", message, name, "a spec extends one beside it, or below")])
    path = Path(extending.name)
    beside = path.parent / name
    if _exists(path) and _exists(beside):
        return source.read(beside)
    home = bundled.find(extending.name)
    for candidate in (home.parent / name if home else None, bundled.find(name)):
        if candidate is not None and _exists(candidate):
            return Source(name, source.read(candidate).text)
    try:
        return source.read(beside)
    except SpecError as error:
        raise _with_hint(error, name) from None


def check(
    spec: str | Path | Source, *, params: Mapping[str, Any] | None = None, input_shape: Shape | None = None
) -> Report:
    """Checks a spec without running anything; never raises for a faulty spec or an unreadable file.

    `spec` is a path, the name of a bundled spec, or a `Source(name, text)`; `params` override the spec's,
    `input_shape` (channels, height, width) its input.
    """
    if input_shape is not None:
        input_shape = _shape(input_shape)
    try:
        text = spec if isinstance(spec, Source) else read(spec)
    except SpecError as error:
        return Report(str(spec), None, error.diagnostics)
    name, graph, diagnostics = build_graph(text, _open_base, params=params, input_shape=input_shape)
    return Report(name, graph, tuple(diagnostics))


def load(
    spec: str | Path | Source, *, params: Mapping[str, Any] | None = None, input_shape: Shape | None = None
) -> Graph:
    """The graph of a spec; raises SpecError, with `.diagnostics`, when the spec is at fault."""
    report = check(spec, params=params, input_shape=input_shape)
    if report.graph is None:
        raise SpecError(report.diagnostics)
    return report.graph


def graph_of(spec: str | Path | Source | Graph) -> Graph:
    """The graph itself, or the one that a spec makes."""
    return spec if isinstance(spec, Graph) else load(spec)


def resizing(graph: Graph) -> Graph:
    """The graph with an input that stretches images of another size, as `--resize` asks for."""
    return replace(graph, input=graph.input.model_copy(update={"fit": "resize"}))


def loads(
    text: str, *, name: str = "<text>", params: Mapping[str, Any] | None = None, input_shape: Shape | None = None
) -> Graph:
    """The graph of a spec's text; raises SpecError when it is at fault."""
    return load(Source(name, text), params=params, input_shape=input_shape)


def _shape(shape: Sequence[int]) -> Shape:
    """An input shape as a tuple; ValueError for what is none."""
    found = tuple(shape)
    if len(found) not in (1, 3) or not all(type(n) is int and n > 0 for n in found):
        raise ValueError(f"an input shape is (channels, height, width) or (features,), each at least 1, not {shape!r}")
    return found
