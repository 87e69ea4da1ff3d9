"""A spec at other sizes of its input, each by a whole check: for texts with numbers computed from the sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnspec.diagnostics import Source
from cnnspec.graph.graph import Graph
from cnnspec.graph.resizing import Fault, Outcome, Resizing, compared
from cnnspec.language.expressions import mentions_arriving_sizes
from cnnspec.language.load import check
from cnnspec.layers import Shape


class Rechecked(Resizing):
    """The outcomes for a spec with one input, whose texts are read anew for every size."""

    def __init__(self, graph: Graph, spec: str | Source, params: Mapping[str, Any]) -> None:
        super().__init__(graph)
        self.spec = spec
        self.params = params

    @property
    def cost(self) -> int:
        """How many layers could be inferred in the time of a check: it takes about thirty times as long for each."""
        return 30 * len(self.graph.nodes)

    def at(self, inputs: Mapping[str, Shape]) -> Outcome:
        """Return the outcome for an input of this shape."""
        self.inferred += self.cost
        report = check(self.spec, params=self.params, input_shape=inputs[self.graph.input.name], fixes=False)
        if report.spec is None:
            error = next(d for d in report.diagnostics if d.severity == "error")
            label = f": {error.label.text}" if error.label.text else ""
            return Outcome(Fault(self.graph.output_names[0], error.message + label))
        return compared(self.graph, report.spec.graph)


def resizing(graph: Graph, spec: str | Source, params: Mapping[str, Any]) -> Resizing:
    """Return the outcomes of a spec at other sizes: by the graph, or by checks where texts mention the sizes.

    Of a spec with several inputs, numbers that are computed from sizes stay as they are.
    """
    sources = dict.fromkeys(node.span.source for node in graph.nodes if node.span)
    if len(graph.inputs) > 1 or not any(mentions_arriving_sizes(source.text) for source in sources):
        return Resizing(graph)
    return Rechecked(graph, spec, params)
