"""The graph in the making: each layer in its place, with its name, its shape and its faults."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from cnnspec.diagnostics import Label, Span
from cnnspec.graph.build import GraphBuilder
from cnnspec.language.fields import kind_and_config, meant, read_model
from cnnspec.language.params import NAME
from cnnspec.language.remedies import as_image, one_of, smallest_input
from cnnspec.language.scope import Faulty, Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import NORMS, Layer, Shape, ShapeError, find, known_kinds
from cnnspec.layers.activation import Activation
from cnnspec.layers.conv import Weighted
from cnnspec.layers.input import INPUT
from cnnspec.layers.window import looks_per_side
from cnnspec.wording import format_shape, quoted, says

MAX_LAYERS = 50_000
MAX_TRIALS = 10_000
"""How many layers may be tried for larger inputs, in all."""


class TooMany(Exception):
    """The network grew past its bound; that has been said."""


class Tensor(NamedTuple):
    """What a layer hands on: the node that made it, its shape (None after a fault), and where it was made."""

    node: str
    shape: Shape | None
    span: Span


class Assembly:
    """Adds a node for each layer, and says what is wrong with it."""

    def __init__(self, as_written: bool, builder: GraphBuilder) -> None:
        self.as_written = as_written
        self.builder = builder
        self.tensors: dict[str, Tensor] = {}
        """What each name stands for."""
        self.ordinals: dict[str, Counter[str]] = {}
        self.places: dict[str, Span] = {}
        self.claimed: set[str] = set()
        self.misnamed: set[str] = set()
        """What names begin with that a fault hides."""
        self.read: set[str] = set()
        self.whole = True
        self.steps = 0
        self.trials = 0

    def lose(self, node: str, place: Span, shape: Shape | None = None) -> Tensor:
        """What stands for the output of something at fault: where its shape is unknown, what needs it is silent."""
        self.whole = False
        return Tensor(node, shape, place)

    # Layers

    def layer(
        self,
        cls: type[Layer],
        kind: str,
        name: str,
        place: Span,
        config: YamlNode | None,
        scope: Scope,
        current: Tensor,
    ) -> Tensor:
        """One layer, and those that its `norm` and `activation` stand for."""
        layer, asked = self.fields(cls, kind, place, config, scope)
        current = self.add(layer, name, place, config, scope, [current]) if layer else self.lose(name, place)
        for key, item in asked.items():
            if item is not None:
                current = self.follower(key, item, scope, current)
        return current

    def fields(
        self, cls: type[Layer], kind: str, place: Span, config: YamlNode | None, scope: Scope
    ) -> tuple[Layer | None, dict[str, YamlNode | None]]:
        """The layer with its fields, None where they are at fault; and its `norm` and `activation`."""
        sugar = ("norm", "activation") if issubclass(cls, Weighted) else ()
        asked = {key: config.get(key) for key in sugar} if config is not None else {}
        given: dict[str, Any] = {}
        if config is not None and asked.get("norm") is not None and "bias" not in config.keys:
            given["bias"] = False
        also = (*sugar, "name", "expect")
        return read_model(cls, scope, config, kind, place, main=cls.main, given=given, also=also), asked

    def follower(self, key: str, item: YamlNode, scope: Scope, current: Tensor) -> Tensor:
        """The layer that `norm` or `activation` stands for."""
        entry = kind_and_config(scope, item, f"`{key}`")
        if entry is None:
            return self.lose(current.node, item.span)
        kind, place, config = entry
        cls = find(kind)
        fits = cls is not None and (kind in NORMS if key == "norm" else issubclass(cls, Activation))
        if cls is None or not fits:
            known = NORMS if key == "norm" else [k for k, c in known_kinds().items() if issubclass(c, Activation)]
            remedy = meant(kind, known, f"it takes {', '.join(known)}")
            scope.fault("unknown-kind", f"`{key}` takes no {quoted(kind)}", place, help=remedy)
            return self.lose(current.node, place)
        name, refers = self.name(kind, place, config, scope)
        layer = read_model(cls, scope, config, kind, place, main=cls.main, also=("name",))
        end = self.add(layer, name, place, config, scope, [current]) if layer else self.lose(name, place)
        self.tensors.setdefault(name, end)
        if refers:
            self.tensors[scope.prefix + refers] = end
        return end

    def add(
        self,
        layer: Layer,
        name: str,
        place: Span,
        config: YamlNode | None,
        scope: Scope,
        inputs: list[Tensor],
        branches: tuple[str, ...] = (),
    ) -> Tensor:
        """A node for the layer, with its shape inferred; a fault in that is said, and makes the shape unknown."""
        self.step(place, scope)
        self.read.update(tensor.node for tensor in inputs)
        shapes = [tensor.shape for tensor in inputs if tensor.shape is not None]
        if len(shapes) < len(inputs):
            _warn_of_padding(layer, config, scope)
            return self.lose(name, place, layer.fixed_shape)
        try:
            node = self.builder.infer(
                name, layer, [tensor.node for tensor in inputs], shapes, branches=branches, span=place
            )
        except ShapeError as error:
            self.shape_fault(error, layer, name, place, config, scope, inputs)
            return self.lose(name, place, layer.fixed_shape)
        _warn_of_padding(layer, config, scope)
        if self.builder.accepts(node):
            self.builder.append(node)
        end = Tensor(name, node.shape, place)
        self.tensors[name] = end
        return end

    def shape_fault(
        self,
        error: ShapeError,
        layer: Layer,
        name: str,
        place: Span,
        config: YamlNode | None,
        scope: Scope,
        inputs: list[Tensor],
    ) -> None:
        """A ShapeError as a diagnostic: its place, who made what it got, and an input that would do."""
        span = place
        if error.field and config is not None:
            span = config.at((error.field,)) if config.is_mapping else config.span
        label, notes, remedies = error.label, list(error.notes), list(error.remedies)
        others = [_made(tensor) for tensor in inputs]
        if error.code == "needs-image" and inputs[0].node == INPUT:
            remedies = [f"`input: {as_image(inputs[0].shape)}`"]
        if layer.arity is None and error.input_index is not None:
            notes.append(label)
            culprit = others.pop(error.input_index)
            span, label = culprit.span, culprit.text
        if error.larger_input and self.trials < MAX_TRIALS:
            self.trials += len(self.builder.nodes)
            larger = smallest_input(self.builder.nodes, layer, [tensor.node for tensor in inputs])
            if larger:
                remedies.append(f"an input of at least {format_shape(larger[1:])}")
        message = error.message.replace("{name}", name)
        scope.fault(error.code, message, span, label, *others, notes=notes, help=one_of(remedies))

    def expected(self, name: str, end: Tensor, config: YamlNode | None, scope: Scope) -> Tensor:
        """Holds a layer to the output shape that its author expects, and takes their word for it after a fault."""
        node = config.get("expect") if config is not None else None
        if node is None or not self.as_written:
            return end
        try:
            value = scope.value(node)
        except Faulty:
            return end
        if not isinstance(value, list) or not value or not all(type(n) is int and n > 0 for n in value):
            scope.fault("wrong-type", f"`expect` takes a shape, not {says(value)}", node.span, help="`[6, 24, 24]`")
        elif end.shape is None:
            return Tensor(end.node, tuple(value), end.span)
        elif tuple(value) != end.shape:
            message = f"`{name}` makes {format_shape(end.shape)}, and its author expects {format_shape(tuple(value))}"
            remedy = f"`expect: {list(end.shape)}`, or another layer"
            scope.fault("expectation-failed", message, node.span, "", _made(end), help=remedy)
        return end

    # Names

    def name(self, kind: str, place: Span, config: YamlNode | None, scope: Scope) -> tuple[str, str | None]:
        """The full name of a layer, and its own name where the author gave one."""
        ordinals = self.ordinals.setdefault(scope.prefix, Counter())
        ordinals[kind] += 1
        given = self.given_name(config, scope)
        name = scope.prefix + (given or f"{kind}{ordinals[kind]}")
        self.claim(name, place, config if given else None, scope)
        return name, given

    def given_name(self, config: YamlNode | None, scope: Scope) -> str | None:
        """The name that the author gave, if it is one."""
        node = config.get("name") if config is not None else None
        if node is None:
            return None
        try:
            name = scope.value(node)
        except Faulty:
            return None
        if not isinstance(name, str) or not all(map(NAME.fullmatch, name.split("."))) or name == INPUT:
            shown = quoted(name) if isinstance(name, str) else says(name)
            remedy = "`input` is the network's input" if name == INPUT else "letters, digits, _ and -, a letter first"
            scope.fault("invalid-name", f"a layer cannot be called {shown}", node.span, help=remedy)
            self.misnamed.add(f"{scope.prefix}{name}")
            return None
        return name

    def claim(self, name: str, place: Span, config: YamlNode | None, scope: Scope) -> None:
        """Takes a name, which nobody else may have; one that was given stands in the config."""
        if config is not None:
            place = config.at(("name",))
        first = self.places.setdefault(name, place)
        if name in self.claimed and first == place:
            what = "the use of the block" if scope.blocks else "the repeat"
            message = f"this makes several layers that are called `{name}`"
            remedy = f"give {what} a `name`, and the names of its layers begin with that"
            scope.fault("duplicate-name", message, place, help=remedy)
        elif name in self.claimed:
            message = f"two layers are called `{name}`"
            label = "again here" if config is not None else "is called so by default"
            scope.fault("duplicate-name", message, place, label, Label(first, "first here"))
        self.claimed.add(name)

    # Bounds

    def step(self, place: Span, scope: Scope) -> None:
        """Counts a layer, a block or a round of a repeat."""
        self.steps += 1
        if self.steps > MAX_LAYERS:
            self.too_many(place, scope)

    def too_many(self, place: Span, scope: Scope) -> None:
        """Refuses to grow on."""
        message = f"the network grows past {MAX_LAYERS:,} layers"
        scope.fault("too-many-layers", message, place, "reached here")
        raise TooMany

    def unread(self, scope: Scope) -> None:
        """Warns of layers whose output nobody reads."""
        for node in self.builder.nodes:
            if node.name not in self.read and node.span is not None:
                message = f"nothing reads what `{node.name}` makes"
                remedy = "leave it out, or let a branch of the merge behind it begin without `from`"
                scope.fault("unread-layer", message, node.span, help=remedy, severity="warning")


def _made(tensor: Tensor) -> Label:
    verb = "is" if tensor.node == INPUT else "makes"
    return Label(tensor.span, f"{verb} {format_shape(tensor.shape or ())}")


def _warn_of_padding(layer: Layer, config: YamlNode | None, scope: Scope) -> None:
    """Warns of a total padding that looks like one on each side; that shows without any shape."""
    per_side = looks_per_side(layer)
    if per_side and config is not None:
        message, remedy = per_side
        span = config.at(("padding",))
        scope.fault("padding-per-side", message, span, "of both sides together", help=remedy, severity="warning")
