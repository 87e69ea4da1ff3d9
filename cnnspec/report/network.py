"""What is known of a network without running it: totals, layers, where costs go, memory over time, what units read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cnnspec.diagnostics import Diagnostic
from cnnspec.graph.costs import Row, Summary, live_bytes, summarize
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.input_ranges import Axis, input_ranges
from cnnspec.graph.spec import Spec
from cnnspec.language.load import Report
from cnnspec.view.explanation import Explanation, explain_layers

CONTEXT = 2
"""Lines of the spec that are shown before and after those of a layer."""


@dataclass(frozen=True)
class Excerpt:
    """The lines of a spec around the place of a layer."""

    file: str
    first: int
    """The number of the first line that is shown."""
    lines: tuple[str, ...]
    place: tuple[int, int]
    """The first and the last line of the layer itself."""


@dataclass
class Costs:
    """The costs of a layer, or of a block and what is in it."""

    name: str
    is_block: bool
    parameters: int = 0
    macs: int = 0
    activation_bytes: int = 0
    parts: list[Costs] = field(default_factory=list)

    @property
    def layers(self) -> int:
        """How many layers there are in it."""
        return sum(part.layers for part in self.parts) if self.is_block else 1


@dataclass(frozen=True)
class Timeline:
    """The memory of activations while each layer runs, for one sample."""

    names: tuple[str, ...]
    live: tuple[int, ...]
    """Bytes."""
    weights: int
    """Bytes of the weights, which are there all the time."""

    @property
    def peak(self) -> int:
        """The index of the layer with the most memory; the first of several."""
        return self.live.index(max(self.live))

    @property
    def peak_bytes(self) -> int:
        """The most memory that inference takes: weights, and activations at their peak."""
        return self.weights + max(self.live)


@dataclass(frozen=True)
class Network:
    """A checked network and everything that follows from its spec alone."""

    spec: Spec
    diagnostics: tuple[Diagnostic, ...]
    summary: Summary
    explanations: dict[str, Explanation]
    excerpts: dict[str, Excerpt]
    costs: Costs
    timeline: Timeline
    ranges: dict[str, dict[str, tuple[Axis, ...]]]
    """What the units of each layer read of each input, by the names of input and layer."""

    @property
    def graph(self) -> Graph:
        """The network alone."""
        return self.spec.graph


def network(spec: Spec, report: Report | None = None) -> Network:
    """Return what follows from a spec; `report` is that of its check."""
    graph = spec.graph
    summary = summarize(graph, 1, 4, spec.train, spec.trained_graph)
    return Network(
        spec,
        spec.warnings if report is None else report.diagnostics,
        summary,
        explain_layers(spec),
        {node.name: found for node in graph.nodes if (found := excerpt(node)) is not None},
        cost_tree(graph.name, summary.rows),
        timeline(graph, summary),
        {name: input_ranges(graph, name) for name in graph.inputs},
    )


def excerpt(node: Node) -> Excerpt | None:
    """Return the lines of the spec around a layer; None for one that stands in no text."""
    if node.span is None:
        return None
    lines = node.span.source.lines
    first, last = node.span.line, min(node.span.end_line, node.span.line + 3 * CONTEXT)
    start, end = max(1, first - CONTEXT), min(len(lines), last + CONTEXT)
    return Excerpt(node.span.source.name, start, tuple(lines[start - 1 : end]), (first, last))


def timeline(graph: Graph, summary: Summary) -> Timeline:
    """Return the memory while each layer runs."""
    names = tuple(node.name for node in graph.nodes)
    return Timeline(names, tuple(live_bytes(graph)), summary.totals.parameter_bytes)


def cost_tree(name: str, rows: Sequence[Row]) -> Costs:
    """Return the costs by block, as the names of the layers have them, in the order of the layers."""
    root = Costs(name, True)
    for row in rows:
        if row.inputs:
            _add(root, row.name.split("."), 0, row)
    return root


def _add(within: Costs, path: Sequence[str], depth: int, row: Row) -> None:
    """Add a layer to a block, and to the blocks around it."""
    within.parameters += row.parameters
    within.macs += row.macs
    within.activation_bytes += row.activation_bytes
    if depth + 1 == len(path):
        within.parts.append(Costs(row.name, False, row.parameters, row.macs, row.activation_bytes))
        return
    block = ".".join(path[: depth + 1])
    last = within.parts[-1] if within.parts else None
    if last is None or not last.is_block or last.name != block:  # blocks that come again later stand there again
        within.parts.append(Costs(block, True))
    _add(within.parts[-1], path, depth + 1, row)
