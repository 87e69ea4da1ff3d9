"""Build a graph layer by layer, from names and layers; the language adds the text, and imports need nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cnnspec.diagnostics import Span
from cnnspec.graph.graph import Graph, Node
from cnnspec.layers import Layer, Parameter, Shape, ShapeError
from cnnspec.layers.base import DEFAULT_SCHEME
from cnnspec.layers.input import INPUT, InputLayer
from cnnspec.wording import format_shape


class GraphBuilder:
    """Add inputs and layers in topological order; shapes, windows and parameters are inferred as they are added.

        builder = GraphBuilder("small")
        x = builder.input((1, 28, 28))
        y = builder.add("conv1", Conv(channels=6, kernel=(5, 5)), [x.name])
        graph = builder.graph()

    `init` is the scheme that draws the weights of layers that name none.
    """

    def __init__(self, name: str = "network", *, init: str = DEFAULT_SCHEME) -> None:
        self.name = name
        self.init = init
        self.nodes: list[Node] = []
        self._by_name: dict[str, Node] = {}
        self._arrays: dict[str, Parameter] = {}

    def input(self, shape: Shape, name: str = INPUT, *, span: Span | None = None) -> Node:
        """Add an input of the network: [c, ...] or [f], without the batch."""
        return self.append(Node(name, InputLayer(), (), (), shape, span=span))

    def add(
        self,
        name: str,
        layer: Layer,
        inputs: Sequence[str],
        *,
        branches: tuple[str, ...] = (),
        arrays: Mapping[str, str] | None = None,
        span: Span | None = None,
    ) -> Node:
        """Add a layer that reads the nodes `inputs`; raise ShapeError where it does not fit them.

        `branches` are the author's names of the inputs of a merge. `arrays` maps parameters to the names of their
        arrays, `<name>.<parameter>` where it is left out; a name that another node has shares that node's array. `span`
        is the layer's place in a text.
        """
        if unknown := [read for read in inputs if read not in self._by_name]:
            raise ValueError(f"`{name}` reads `{unknown[0]}`, which is not in the graph")
        in_shapes = tuple(self._by_name[read].shape for read in inputs)
        node = self.infer(name, layer, inputs, in_shapes, branches=branches, arrays=arrays, span=span)
        return self.append(node)

    def infer(
        self,
        name: str,
        layer: Layer,
        inputs: Sequence[str],
        in_shapes: Sequence[Shape],
        *,
        branches: tuple[str, ...] = (),
        arrays: Mapping[str, str] | None = None,
        span: Span | None = None,
    ) -> Node:
        """Return the node that `add` would add for inputs of these shapes, and add nothing.

        So a checker can go on behind an error, where the inputs are not in the graph and only their shapes are known.
        """
        inferred = layer.infer(*in_shapes)
        parameters = layer.parameters(*in_shapes)
        if arrays:
            self._check_shared(parameters, arrays)
        names = {}
        for key, parameter in parameters.items():
            names[key] = f"{name}.{key}"
            if parameter.numbers is not None:
                _check_literal(key, parameter)
            elif parameter.fill is None and parameter.scheme is None:
                parameters[key] = parameter._replace(scheme=self.init)
        names.update(arrays or {})
        place = (name, layer, tuple(inputs), tuple(in_shapes))
        return Node(*place, inferred.shape, inferred.windows, parameters, names, branches, span)

    def accepts(self, node: Node) -> bool:
        """Whether the node's name is free and its inputs are in the graph."""
        return node.name not in self._by_name and all(name in self._by_name for name in node.inputs)

    def append(self, node: Node) -> Node:
        """Add a node that was inferred; raise ValueError where the graph does not accept it."""
        if not self.accepts(node):
            raise ValueError(f"`{node.name}` is in the graph already, or reads a node that is not ({node.inputs})")
        self.nodes.append(node)
        self._by_name[node.name] = node
        for key, parameter in node.parameters.items():
            self._arrays.setdefault(node.arrays[key], parameter)
        return node

    def _check_shared(self, parameters: Mapping[str, Parameter], arrays: Mapping[str, str]) -> None:
        """Raise ShapeError where a layer's parameters cannot be the arrays of another layer that they are to share."""
        for key, name in arrays.items():
            own, shared = parameters.get(key), self._arrays.get(name)
            if own is None or shared is None:
                continue
            if own.numbers is not None or own.scheme is not None:
                what = "carries numbers for" if own.numbers is not None else "has a scheme that draws"
                message = f"`{{name}}` {what} its {key}, and shares that of another layer"
            elif shared.shape != own.shape:
                sizes = f"{format_shape(own.shape)}, and would share one of {format_shape(shared.shape)}"
                message = f"`{{name}}` has a {key} of {sizes}"
            else:
                continue
            raise ShapeError("share-mismatch", message, field="share")

    def graph(self, outputs: Iterable[str] | Mapping[str, str] | None = None) -> Graph:
        """Return the graph, with the nodes `outputs` as its outputs, and the last node where they are left out.

        A mapping gives the name under which each is handed out: {"main": "dense1", "aux": "relu4"}.
        """
        inputs = tuple(node.name for node in self.nodes if not node.inputs)
        named = outputs if isinstance(outputs, Mapping) else {name: name for name in outputs or ()}
        aliases = {node: name for name, node in named.items() if name != node}
        return Graph(self.name, tuple(self.nodes), inputs, tuple(named.values()) or (self.nodes[-1].name,), aliases)


def _check_literal(key: str, parameter: Parameter) -> None:
    """Raise ShapeError where the numbers that a spec carries do not have the parameter's shape."""
    given = parameter.numbers
    if given is not None and not given.fits(parameter.shape):
        shape = format_shape(parameter.shape)
        raise ShapeError(
            "weight-shape",
            f"`{{name}}` has a {key} of {shape}, and carries {format_shape(given.shape)} numbers",
            field=key,
            label=f"is {format_shape(given.shape)}",
            remedies=(f"{shape} numbers (leading axes of size one may be left out)", "one number"),
        )
