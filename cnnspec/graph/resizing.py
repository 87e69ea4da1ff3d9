"""A graph at other sizes of its inputs: which layers fit, whether the weights stay as they are, what is not read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from cnnspec.graph.graph import Graph, Node
from cnnspec.layers import Layer, Shape, ShapeError
from cnnspec.layers.axes import short_form
from cnnspec.layers.window import unread_at_the_end
from cnnspec.wording import format_shape


class Fault(NamedTuple):
    """A layer that does not fit at a size, or whose weights are others there."""

    name: str
    message: str


class Unread(NamedTuple):
    """A layer whose windows do not read the end of its input."""

    name: str
    counts: tuple[int, ...]
    """How many elements are not read at the end of each axis."""


class Outcome(NamedTuple):
    """What becomes of a network at other sizes of its inputs."""

    fault: Fault | None = None
    """The first layer that does not fit, if there is one."""
    reweighted: Fault | None = None
    """The first layer whose weights have another shape, if there is one."""
    unread: tuple[Unread, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether every layer fits."""
        return self.fault is None

    @property
    def keeps_weights(self) -> bool:
        """Whether every layer fits, with the weights of the network as it was."""
        return self.fault is None and self.reweighted is None

    def along(self, axes: Collection[int]) -> Outcome:
        """Return the outcome with what is not read along these spatial axes alone, counted from 0."""
        counts = [(name, tuple(n if i in axes else 0 for i, n in enumerate(each))) for name, each in self.unread]
        return self._replace(unread=tuple(Unread(name, each) for name, each in counts if any(each)))

    @property
    def reads_all(self) -> bool:
        """Whether every layer fits, and no window leaves the end of its input out."""
        return self.fault is None and not self.unread


class _At(NamedTuple):
    """A node for inputs of some shapes."""

    shape: Shape
    parameters: tuple[Shape, ...] = ()
    reweighted: Fault | None = None
    unread: Unread | None = None


class Resizing:
    """The shape rules of a graph over inputs of other sizes; each layer is inferred once for each of its inputs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._known: dict[tuple[str, tuple[Shape, ...]], _At | Fault] = {}
        self._shares = graph.shares
        self.inferred = 0
        """How many layers were inferred or looked up so far."""

    @property
    def cost(self) -> int:
        """How many layers are inferred or looked up for one outcome."""
        return len(self.graph.nodes)

    def at(self, inputs: Mapping[str, Shape]) -> Outcome:
        """Return the outcome for inputs of these shapes, by name."""
        shapes: dict[str, Shape] = {}
        arrays: dict[str, Shape] = {}
        reweighted: Fault | None = None
        unread = []
        for node in self.graph.nodes:
            self.inferred += 1
            if not node.inputs:
                shapes[node.name] = inputs[node.name]
                continue
            reads = tuple([shapes[name] for name in node.inputs])
            at = self._at(node, reads if node.like is None else (*reads, shapes[node.like]))
            if isinstance(at, Fault):
                return Outcome(at)
            if fault := self._sharing(node, at, arrays):
                return Outcome(fault)
            shapes[node.name] = at.shape
            reweighted = reweighted or at.reweighted
            if at.unread is not None:
                unread.append(at.unread)
        return Outcome(None, reweighted, tuple(unread))

    def _at(self, node: Node, reads: tuple[Shape, ...]) -> _At | Fault:
        key = (node.name, reads)
        if key not in self._known:
            self._known[key] = _infer(node, reads)
        return self._known[key]

    def _sharing(self, node: Node, at: _At, arrays: dict[str, Shape]) -> Fault | None:
        """Return the fault of a layer that shares the weights of one which has others at this size."""
        if not self._shares:
            return None
        for array, shape in zip(node.arrays.values(), at.parameters, strict=True):
            if arrays.setdefault(array, shape) != shape:
                owner = self._shares[node.name]
                shapes = f"{format_shape(shape)}, and those of `{owner}` {format_shape(arrays[array])}"
                return Fault(node.name, f"`{node.name}` shares its weights, which are {shapes}")
        return None


def compared(graph: Graph, other: Graph) -> Outcome:
    """Return the outcome for a graph whose layers all fit at another size, as they are in `other`."""
    reweighted, unread = None, []
    for node in other.nodes:
        own = graph.by_name.get(node.name)
        if own is not None:
            shapes = tuple(parameter.shape for parameter in node.parameters.values())
            reweighted = reweighted or _reweighted(own, shapes, node.in_shapes)
        counts = unread_at_the_end(node.layer, node.windows, node.in_shapes[0][1:]) if node.inputs else ()
        if any(counts):
            unread.append(Unread(node.name, counts))
    return Outcome(None, reweighted, tuple(unread))


def _infer(node: Node, reads: tuple[Shape, ...]) -> _At | Fault:
    layer, inputs = node.layer, reads[: len(node.inputs)]
    if node.like is not None:
        layer = _like(layer, reads[-1])
    try:
        inferred = layer.infer(*inputs)
        parameters = layer.parameters(*inputs)
    except ShapeError as error:
        return Fault(node.name, _message(error, node.name))
    for key, parameter in parameters.items():
        if parameter.numbers is not None and not parameter.numbers.fits(parameter.shape):
            message = f"`{node.name}` has a {key} of {format_shape(parameter.shape)}, and the spec carries its numbers"
            return Fault(node.name, message)
    shapes = tuple(parameter.shape for parameter in parameters.values())
    unread = unread_at_the_end(layer, inferred.windows, inputs[0][1:])
    return _At(
        inferred.shape,
        shapes,
        _reweighted(node, shapes, inputs),
        Unread(node.name, unread) if any(unread) else None,
    )


def _like(layer: Layer, shape: Shape) -> Layer:
    assert layer.like is not None
    return layer.model_copy(update={layer.like: short_form(shape[1:])})


def _message(error: ShapeError, name: str) -> str:
    message = error.message.replace("{name}", name)
    return f"{message}: {error.label}" if error.label else message


def _reweighted(node: Node, shapes: tuple[Shape, ...], inputs: tuple[Shape, ...]) -> Fault | None:
    own = tuple(parameter.shape for parameter in node.parameters.values())
    if shapes == own:
        return None
    if len(inputs[0]) == 1:
        return Fault(node.name, f"`{node.name}` reads {inputs[0][0]:,} features, not {node.in_shapes[0][0]:,}")
    now, before = format_shape(inputs[0]), format_shape(node.in_shapes[0])
    return Fault(node.name, f"`{node.name}` has weights for {before}, not for {now}")
