"""How the shape, parameters, MACs, memory and receptive field of one layer come about, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from cnnspec.diagnostics import Paint
from cnnspec.graph.costs import DTYPES, Row, Summary, live_bytes, summarize
from cnnspec.graph.field_history import FieldStep, field_history, traced_fields
from cnnspec.graph.graph import Node
from cnnspec.graph.spec import Spec
from cnnspec.layers import Parameter
from cnnspec.layers.base import Fields
from cnnspec.layers.geometry import AXES, CHANNELS, axes_of
from cnnspec.layers.reference import headline
from cnnspec.layers.window import explain_padding
from cnnspec.sizes import size_of
from cnnspec.view.table import describe, percent
from cnnspec.wording import format_shape, names, product

MOST_STEPS = 24
"""How many steps of a receptive field the text shows."""

MOST_READERS = 5


class Step(NamedTuple):
    """One line of an explanation: a quantity and its formula with the numbers."""

    quantity: str
    formula: str


class Section(NamedTuple):
    """One topic of an explanation: what comes out, and the steps that lead there."""

    topic: str
    result: str
    steps: tuple[Step, ...]


class Explanation(NamedTuple):
    """A layer, what it computes and reads, and how its figures come about."""

    node: Node
    row: Row
    read_by: tuple[str, ...]
    sections: tuple[Section, ...]
    history: tuple[FieldStep, ...]


def explain_layer(spec: Spec, name: str, batch: int = 1, dtype: str = "float32") -> Explanation:
    """Explain the layer of that name, with memory for a batch of samples in a number format."""
    return _explain(_figures(spec, batch, dtype), name)


def explain_layers(spec: Spec, batch: int = 1, dtype: str = "float32") -> dict[str, Explanation]:
    """Explain every layer, by name."""
    figures = _figures(spec, batch, dtype)
    return {node.name: _explain(figures, node.name) for node in spec.graph.nodes}


class _Figures(NamedTuple):
    """The figures of a network from which those of each layer are explained."""

    spec: Spec
    batch: int
    dtype: str
    summary: Summary
    live: list[int]
    places: dict[str, int]
    read_by: dict[str, list[str]]
    traced: dict[str, Fields]
    frozen: frozenset[str]


def _figures(spec: Spec, batch: int, dtype: str) -> _Figures:
    graph, width = spec.graph, DTYPES[dtype]
    read_by: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for node in graph.nodes:
        for name in dict.fromkeys(node.inputs):
            read_by[name].append(node.name)
    return _Figures(
        spec,
        batch,
        dtype,
        summarize(graph, batch, width, spec.train),
        live_bytes(graph, batch, width),
        {node.name: i for i, node in enumerate(graph.nodes)},
        read_by,
        traced_fields(graph),
        frozenset(node.name for node in spec.trained_graph.nodes if node.frozen),
    )


def _explain(figures: _Figures, name: str) -> Explanation:
    graph, summary, index = figures.spec.graph, figures.summary, figures.places[name]
    node, row = graph.nodes[index], summary.rows[index]
    history = field_history(graph, name, figures.traced)
    sections = (
        _output(node),
        _parameters(node, row, summary, name in figures.frozen),
        _macs(node, row, summary),
        _memory(figures, index, row),
        _receptive_field(row, history),
    )
    return Explanation(node, row, tuple(figures.read_by[name]), sections, tuple(history))


def _output(node: Node) -> Section:
    layer, shape = node.layer, node.shape
    if not node.inputs:
        return Section("output", f"{format_shape(shape)}, as the spec declares it", ())
    steps = [Step("reads", f"{name}, {format_shape(s)}") for name, s in zip(node.inputs, node.in_shapes, strict=True)]
    explained = list(layer.explain(node.in_shapes, shape))
    known = {quantity for quantity, _ in explained}
    if layer.size_rule:
        steps.append(Step("rule", f"{layer.size_rule} on each axis: n input, k kernel, p padding in all, s stride"))
    if padding := explain_padding(layer, node.windows):
        steps.append(Step("padding p", padding))
    for window in dict.fromkeys(w for w in node.windows if w.dilation > 1):
        dilated = f"({window.kernel} − 1) · {window.dilation} + 1 = {window.span}"
        steps.append(Step("kernel k", f"{dilated}: {window.kernel} taps, {window.dilation} apart"))
    if CHANNELS not in known and len(shape) > 1 and len(node.in_shapes[0]) == len(shape):
        steps.append(Step(CHANNELS, _channels(node)))
    steps += [Step(*line) for line in explained]
    if not explained and set(node.in_shapes) == {shape}:
        steps = [*steps[: len(node.inputs)], Step("shape", "that of its input" + "s" * (len(node.inputs) > 1))]
    if padding and any(node.inferred.pads.flat):
        steps.append(Step("pads", str(node.inferred.pads)))
    return Section("output", format_shape(shape), tuple(steps))


def _channels(node: Node) -> str:
    read = [shape[0] for shape in node.in_shapes]
    out = node.shape[0]
    if getattr(node.layer, CHANNELS, None) == out:
        return f"{out}, as `{CHANNELS}` says"
    return f"{out}, as many as arrive" if set(read) == {out} else f"{out}, of {names_of(map(str, read))}"


def names_of(words: Iterable[str]) -> str:
    """Return words in a row: a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _parameters(node: Node, row: Row, summary: Summary, frozen: bool) -> Section:
    rank = len(node.in_shapes[0]) - 1 if node.in_shapes else 0
    axes = node.layer.parameter_axes(rank)
    steps = [Step(key, _product(axes.get(key), p)) for key, p in node.parameters.items() if p.trainable]
    if "weight" in node.parameters and getattr(node.layer, "bias", None) is False:
        steps.append(Step("bias", "none: `bias: false`, which a `norm` of the layer implies"))
    if state := [key for key, p in node.parameters.items() if not p.trainable]:
        sizes = names_of(f"{key} {format_shape(node.parameters[key].shape)}" for key in state)
        steps.append(Step("state", f"{sizes}: saved, not trained"))
    if row.shares:
        return Section("parameters", f"those of `{row.shares}`, where they are counted", tuple(steps))
    result = f"{row.parameters:,}" if row.parameters else "none"
    if row.parameters:
        result += f", {percent(row.parameters / summary.totals.parameters)} of the network's"
        result += f" {summary.totals.parameters:,}"
        result += "; frozen in training (`freeze`)" * frozen
    return Section("parameters", result, tuple(steps))


def _product(axes: tuple[str, ...] | None, parameter: Parameter) -> str:
    formula = " × ".join(map(str, parameter.shape))
    if len(parameter.shape) > 1:
        formula += f" = {parameter.size:,}"
    return f"{' × '.join(axes)} = {formula}" if axes else formula


def _macs(node: Node, row: Row, summary: Summary) -> Section:
    if not row.macs:
        what = "none: convolutions, dense layers, attention and matrix products have them"
        return Section("MACs", what if node.inputs else "none", ())
    share = f"{row.macs:,}, {percent(row.macs / summary.totals.macs)} of the network's {summary.totals.macs:,}"
    steps = [Step("for one sample", f"{node.layer.mac_formula(node.in_shapes, node.shape)} = {row.macs:,}")]
    if node.layer.mac_rule:
        steps.insert(0, Step("rule", node.layer.mac_rule))
    return Section("MACs", share, tuple(steps))


def _memory(figures: _Figures, index: int, row: Row) -> Section:
    graph, batch, dtype, live = figures.spec.graph, figures.batch, figures.dtype, figures.live
    node, width = graph.nodes[index], DTYPES[dtype]
    peak = max(live)
    samples = "one sample" if batch == 1 else f"a batch of {batch}"
    times = f" × {batch} samples" if batch > 1 else ""
    numbers = f"{product(node.shape)} numbers{times} × {width} bytes ({dtype}) = {row.activation_bytes:,} B"
    shares = "; at inference, it shares the memory of its input" * node.layer.aliases_input
    steps = [Step("output", numbers + shares)]
    where = graph.nodes[live.index(peak)].name
    at_peak = "the peak of the network" if live[index] == peak else f"the peak is {size_of(peak)}, while `{where}` runs"
    alive = f"{size_of(live[index])}: its inputs, its output and what is read later; {at_peak}"
    steps.append(Step("while it runs", alive))
    if size := sum(p.size for p in node.parameters.values()):
        steps.append(Step("weights", f"{size:,} numbers × {width} bytes = {size_of(size * width)}"))
    return Section("memory", f"{size_of(row.activation_bytes)} for {samples}", tuple(steps))


def _receptive_field(row: Row, history: Sequence[FieldStep]) -> Section:
    if not history:
        why = "none: the input has no spatial axes, or a layer before this one makes other axes of them"
        return Section("receptive field", why, ())
    steps = [Step(step.name, formula) for step in history for formula in _formulas(step)]
    if (hidden := len(steps) - MOST_STEPS) > 0:
        steps[2 : 2 + hidden] = [Step("…", f"{hidden} steps")]
    distance = " and ".join(dict.fromkeys(str(step) for step in row.step or ()))
    result = f"{format_shape(row.receptive_field or ())} of the input"
    if len(row.output) > 1:
        result += f", in steps of {distance}" if any(row.step or ()) else ", at every position"
    rule = "r = r' + (k − 1) · j' and j = j' · s: r its size, j the distance of neighbours, r' and j' before the layer"
    return Section("receptive field", result, (Step("rule", rule), *steps))


def _formulas(step: FieldStep) -> list[str]:
    """Return the formulas of a step, once where they are the same along all axes."""
    shown = ["; ".join(formulas) or "as it was" for formulas in step.formulas]
    if not any(step.formulas):
        shown = ["r = 1, j = 1"] * len(shown)
    if len(set(shown)) == 1:
        return shown[:1]
    return [f"{axis}: {formula}" for axis, formula in zip(AXES[len(shown)], shown, strict=True)]


def explanation_lines(spec: str, found: Explanation, paint: Paint) -> list[str]:
    """Return an explanation as text, a line each."""
    node = found.node
    made = " and ".join(map(format_shape, node.in_shapes))
    head = f"{node.name} of {spec}: {describe(node)}" + (f", {made} → {format_shape(node.shape)}" if made else "")
    lines = [paint(head, "bold")]
    if node.inputs:
        lines.append(headline(type(node.layer)))
    if node.span is not None:
        lines.append(f"written at {node.span}")
    lines.append(_readers(found.read_by))
    quantities = [step.quantity for section in found.sections for step in section.steps]
    width = 2 + max(map(len, [*quantities, *(section.topic for section in found.sections)]))
    for section in found.sections:
        lines += ["", f"{paint(section.topic, 'bold')}{' ' * (width + 2 - len(section.topic))}{section.result}"]
        lines += [f"  {step.quantity:<{width}}{step.formula}" for step in section.steps]
    return lines


def _readers(read_by: Sequence[str]) -> str:
    if len(read_by) > MOST_READERS:
        shown = ", ".join(f"`{name}`" for name in read_by[:MOST_READERS])
        return f"read by {shown} and {len(read_by) - MOST_READERS} more"
    return f"read by {names(read_by)}" if read_by else "read by no layer"


def explanation_dict(spec: str, found: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values for JSON."""
    node, row = found.node, found.row
    span = node.span
    return {
        "spec": spec,
        "layer": node.name,
        "kind": node.kind,
        "about": headline(type(node.layer)) if node.inputs else "",
        "place": {"file": span.source.name, "line": span.line, "column": span.column} if span else None,
        "reads": [{"name": name, "shape": list(s)} for name, s in zip(node.inputs, node.in_shapes, strict=True)],
        "read_by": list(found.read_by),
        "output": list(node.shape),
        "axes": list(axes_of(node.shape)) if len(node.shape) > 1 else ["length"],
        "pads": row.pads.by_side() if row.pads else None,
        "parameters": {key: list(p.shape) for key, p in node.parameters.items()},
        "shares": row.shares,
        "trainable": row.parameters,
        "macs": row.macs,
        "activation_bytes": row.activation_bytes,
        "receptive_field": list(row.receptive_field) if row.receptive_field else None,
        "sections": [
            {"topic": s.topic, "result": s.result, "steps": [step._asdict() for step in s.steps]}
            for s in found.sections
        ],
    }
