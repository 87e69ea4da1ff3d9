"""The Python API of specs: load, check, build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cnnspec.diagnostics import Diagnostic, Source, SpecError, any_errors
from cnnspec.graph.graph import Graph
from cnnspec.language.expand import build as build_graph
from cnnspec.language.files import open_base, read_spec
from cnnspec.layers import Shape


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
        text = spec if isinstance(spec, Source) else read_spec(spec)
    except SpecError as error:
        return Report(str(spec), None, error.diagnostics)
    name, graph, diagnostics = build_graph(text, open_base, params=params, input_shape=input_shape)
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
