"""Place layers in the graph: infer their shapes, and report a layer that does not fit with its place in the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnspec.diagnostics import Fix, Label, Span
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Node
from cnnspec.language.causes.fault import Fault, Placed
from cnnspec.language.edits import with_field
from cnnspec.language.entry import Entry
from cnnspec.language.limits import LayerCounter
from cnnspec.language.names import Output
from cnnspec.language.remedies import alternatives, smallest_input
from cnnspec.layers import Layer, Shape, ShapeError
from cnnspec.layers.window import looks_per_side
from cnnspec.wording import format_shape

LIKE = "like"
"""The key that names a layer whose spatial sizes are taken."""
SHARE = "share"
"""The key that names the layer whose weights a layer uses."""
EXPLAINED = {
    "shapes-differ", "kernel-too-large", "size-too-large", "cut-to-nothing", "needs-vector", "needs-image",
    "groups-do-not-divide", "sizes-do-not-match", "invalid-value", "wrong-rank",
}  # fmt: skip
"""The codes of layers that do not fit, for which causes are looked for."""
MAX_TRIALS = 10_000
"""How many layers may be tried for larger inputs, in all."""


class LayerPlacer:
    """Add layers to a `GraphBuilder`, and turn each ShapeError into a diagnostic.

    Behind an error the output is unknown, and layers that read it are placed without a check of their shapes.
    """

    def __init__(self, builder: GraphBuilder, counter: LayerCounter) -> None:
        self.builder = builder
        self.counter = counter
        self.consumed: set[str] = set()
        """The nodes whose output a layer reads."""
        self.placed: dict[str, Placed] = {}
        """Every layer as the text has it, whether or not it fits."""
        self.faults: list[Fault] = []
        """The shapes that do not fit, in the order in which they were found."""
        self._complete = True
        self._trials = 0

    @property
    def nodes(self) -> Sequence[Node] | None:
        """The nodes of the network; None where an error leaves some out."""
        return self.builder.nodes if self._complete else None

    def input(self, name: str, shape: Shape | None, span: Span) -> Output:
        """Place an input of the network, whose shape may be unknown."""
        if shape is None:
            return self.unknown_output(name, span)._replace(is_input=True)
        self.builder.input(shape, name, span=span)
        return Output(name, shape, span, is_input=True)

    def unknown_output(self, node: str, span: Span, shape: Shape | None = None) -> Output:
        """Return what stands for the output of an entry with an error; no shape is checked against it."""
        self._complete = False
        return Output(node, shape, span)

    def place(
        self,
        layer: Layer,
        name: str,
        entry: Entry,
        inputs: Sequence[Output],
        branches: tuple[str, ...] = (),
        arrays: Mapping[str, str] | None = None,
        like: str | None = None,
    ) -> Output:
        """Place a layer that reads `inputs` and return its output; report an error where it does not fit them.

        `like` is the node whose spatial sizes it takes over, if there is one.
        """
        self.counter.add(entry.span, entry.scope)
        self.placed[name] = Placed(layer, entry)
        self.consumed.update(output.node for output in inputs)
        shapes = [output.shape for output in inputs if output.shape is not None]
        if len(shapes) < len(inputs):
            _warn_of_padding(layer, entry, _IMAGE_AXES)
            return self.unknown_output(name, entry.span, layer.fixed_shape)
        reads = [output.node for output in inputs]
        try:
            node = self.builder.infer(
                name, layer, reads, shapes, branches=branches, arrays=arrays, like=like, span=entry.span
            )
        except ShapeError as error:
            self._report(error, layer, name, entry, inputs, branches, arrays or {})
            return self.unknown_output(name, entry.span, layer.fixed_shape)
        _warn_of_padding(layer, entry, len(node.windows))
        if self.builder.accepts(node):
            self.builder.append(node)
        return Output(name, node.shape, entry.span)

    def _report(
        self,
        error: ShapeError,
        layer: Layer,
        name: str,
        entry: Entry,
        inputs: Sequence[Output],
        branches: tuple[str, ...],
        arrays: Mapping[str, str],
    ) -> None:
        """Report a ShapeError: at the field that causes it, with the layers that make the inputs, and with remedies."""
        span = _span_of(error.field, layer, entry)
        label, notes, remedies = error.label, list(error.notes), list(error.remedies)
        others = [made_by(output) for output in inputs]
        if error.code == "share-mismatch":
            owners = [self.builder.owner(array) for array in arrays.values()]
            others += [Label(node.span, "has these weights") for node in owners[:1] if node and node.span]
        if error.code == "needs-image" and inputs[0].is_input:
            remedies = []
        if layer.arity is None and error.input_index is not None:
            notes.append(label)
            span, label = others.pop(error.input_index)
        like = error.field is not None and error.field == layer.like and entry.get(LIKE) is not None
        if error.larger_input and not like and self._trials < MAX_TRIALS:
            self._trials += len(self.builder.nodes)
            larger = smallest_input(self.builder.nodes, layer, [output.node for output in inputs])
            if larger:
                remedies.append(f"an input of at least {format_shape(larger[1:])}")
        if error.code in EXPLAINED:
            reads = tuple(output.node for output in inputs)
            self.faults.append(
                Fault(error.code, span, reads, len(self.builder.nodes), name, branches, error.input_index)
            )
        message = error.message.replace("{name}", name)
        entry.scope.error(error.code, message, span, label, *others, notes=notes, help=alternatives(remedies))


def made_by(output: Output) -> Label:
    """Return a label at the layer that makes an output, with the output's shape."""
    verb = "is" if output.is_input else "makes"
    return Label(output.span, f"{verb} {format_shape(output.shape or ())}")


_IMAGE_AXES = 2
"""The spatial axes that are assumed where the input's shape is unknown."""


def _span_of(field: str | None, layer: Layer, entry: Entry) -> Span:
    """Return the place of a field that an error names."""
    if field == layer.like and entry.get(LIKE) is not None:
        return entry.span_of(LIKE)
    if field is None or (field == SHARE and entry.get(SHARE) is None):  # where a block around the layer has the key
        return entry.span
    return entry.span_of(field)


def _warn_of_padding(layer: Layer, entry: Entry, rank: int) -> None:
    """Warn of a total padding that looks like one on each side."""
    found = looks_per_side(layer, rank)
    if found is None or entry.config is None:
        return
    sides = found.sides.by_side()
    *listed, last = (f"{n} {_WHERE.get(side, side)}" for side, n in sides.items())
    message = f"`padding: {found.written}` is {', '.join(listed)} and {last}"
    explicit = ", ".join(f"{side}: {n}" for side, n in sides.items())
    remedy = f"`padding: {{{explicit}}}` says so if this is meant"
    values = ["same"] if found.same else []
    edits = {v: with_field(entry, layer.main, "padding", v) for v in (f"{{each_side: {found.written}}}", *values)}
    fixes = [Fix(f"set `padding: {v}`", (edit,)) for v, edit in edits.items() if edit is not None]
    span = entry.span_of("padding")
    entry.scope.warning("padding-per-side", message, span, "of both sides together", help=remedy, fixes=fixes)


_WHERE = {"top": "on top", "bottom": "below"}
"""How messages call sides that are not called by their own name."""
