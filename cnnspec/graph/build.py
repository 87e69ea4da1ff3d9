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
        self._owners: dict[str, tuple[Node, Parameter]] = {}
        """The first node that has each array, and what it is there."""

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
        like: str | None = None,
        span: Span | None = None,
    ) -> Node:
        """Return the node that `add` would add for inputs of these shapes, and add nothing.

        So a checker can go on behind an error, where the inputs are not in the graph and only their shapes are known.
        """
        inferred = layer.infer(*in_shapes)
        parameters = layer.parameters(*in_shapes)
        self._share(name, layer, in_shapes, parameters, arrays or {})
        names = {}
        for key, parameter in parameters.items():
            names[key] = f"{name}.{key}"
            if parameter.numbers is not None:
                _check_literal(key, parameter)
            elif parameter.fill is None and parameter.scheme is None:
                parameters[key] = parameter._replace(scheme=self.init)
        names.update(arrays or {})
        place = (name, layer, tuple(inputs), tuple(in_shapes))
        return Node(*place, inferred.shape, inferred.windows, parameters, names, branches, span, like)

    def find(self, name: str) -> Node | None:
        """Return the node of that name, if it is in the graph."""
        return self._by_name.get(name)

    def owner(self, array: str) -> Node | None:
        """Return the first node that has an array of that name, if there is one."""
        return self._owners[array][0] if array in self._owners else None

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
            self._owners.setdefault(node.arrays[key], (node, parameter))
        return node

    def _share(
        self,
        name: str,
        layer: Layer,
        in_shapes: Sequence[Shape],
        parameters: dict[str, Parameter],
        arrays: Mapping[str, str],
    ) -> None:
        """Replace the parameters whose arrays another node has by that node's; raise ShapeError where they differ."""
        for key in parameters:
            if arrays.get(key) not in self._owners:
                continue
            own, (owner, shared) = parameters[key], self._owners[arrays[key]]
            if own.numbers is not None or own.scheme is not None:
                what = f"carries numbers for its {key}" if own.numbers is not None else "draws its weights by a scheme"
                field = key if own.numbers is not None else "init"
                message = f"`{{name}}` {what}, and shares those of `{owner.name}`"
                raise ShapeError("share-mismatch", message, field=field, remedies=(f"leave `{field}` or `share` out",))
            if own.shape != shared.shape:
                shapes = f"of {format_shape(own.shape)}, and `{owner.name}` one of {format_shape(shared.shape)}"
                notes, remedies = _differences(name, layer, in_shapes, owner)
                message = f"`{{name}}` has a {key} {shapes}"
                raise ShapeError("share-mismatch", message, field="share", notes=notes, remedies=remedies)
            parameters[key] = shared

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


def _differences(
    name: str, layer: Layer, in_shapes: Sequence[Shape], owner: Node
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return notes and remedies that say why the parameters of a layer do not have the shapes that a node's have."""
    shapes = _shapes(layer, in_shapes)
    fields = [key for key in type(layer).model_fields if getattr(layer, key) != getattr(owner.layer, key)]
    written = owner.layer.model_dump()
    changed = {key: layer.model_copy(update={key: getattr(owner.layer, key)}) for key in fields}
    remedies = [f"`{key}: {written[key]}`" for key in fields if _shapes(changed[key], in_shapes) != shapes]
    if remedies:
        return (), (" and ".join(remedies),)
    theirs, own = (", ".join(map(format_shape, given)) for given in (owner.in_shapes, in_shapes))
    return (f"`{owner.name}` reads {theirs}, and `{name}` {own}",), ()


def _shapes(layer: Layer, in_shapes: Sequence[Shape]) -> list[Shape]:
    return [parameter.shape for parameter in layer.parameters(*in_shapes).values()]
