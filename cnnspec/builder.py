"""Node tree to Graph: expands blocks, resolves names, infers shapes, and keeps going after a fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from cnnspec import document as documents
from cnnspec.diagnostics import Diagnostic, Label, Source, Span, any_errors, in_order, nearest, quoted
from cnnspec.document import NAME, Block, Document, Opener, Param
from cnnspec.expressions import LOST
from cnnspec.graph import INPUT, Example, Graph, InputLayer, Node
from cnnspec.layers import NORMS, Layer, Parameter, Shape, ShapeError, find, known_kinds
from cnnspec.layers.activation import Activation
from cnnspec.layers.base import by
from cnnspec.layers.conv import Weighted
from cnnspec.layers.fields import says
from cnnspec.layers.window import looks_per_side
from cnnspec.reading import (
    Enough,
    Faulty,
    Findings,
    Scope,
    example,
    kind_and_config,
    meant,
    names,
    read_model,
    unknown_keys,
)
from cnnspec.remedies import as_image, one_of, smallest_input
from cnnspec.source import Node as Text
from cnnspec.totals import check_classes, check_totals, read_examples

MAX_LAYERS = 50_000
MAX_BLOCK_DEPTH = 30
MAX_TRIALS = 10_000
"""How many layers may be tried for larger inputs, in all."""


def build(
    source: Source,
    opener: Opener,
    *,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
) -> tuple[str, Graph | None, list[Diagnostic]]:
    """The spec's name, its graph (None when it is at fault) and all that is to be said about it, sorted by place.

    `params` and `input_shape` take the place of the spec's own; what its author expects of the spec as it is
    written is then not asked for.
    """
    findings = Findings()
    document = builder = None
    try:
        document = documents.read(source, findings, params or {}, opener)
        if document is not None:
            builder = Builder(document, as_written=not params and input_shape is None)
            builder.network(input_shape)
            builder.unused_blocks()
    except Enough:
        pass
    found = in_order(findings.all(), source)
    graph = None if builder is None or any_errors(found) else builder.graph(found)
    return document.name if document is not None else source.name, graph, found


class TooMany(Exception):
    """The network grew past its bound; that has been said."""


class Tensor(NamedTuple):
    """What a layer hands on: the node that made it, its shape (None after a fault), and where it was made."""

    node: str
    shape: Shape | None
    span: Span


class Builder:
    """Walks the layers of a document and adds a node for each."""

    def __init__(self, document: Document, as_written: bool) -> None:
        self.document = document
        self.as_written = as_written
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.places: dict[str, Span] = {}
        self.claimed: set[str] = set()
        self.ordinals: dict[str, Counter[str]] = {}
        self.read: set[str] = set()
        self.used: set[str] = set()
        self.misnamed: set[str] = set()
        self.whole = True
        self.unknown: list[tuple[str, Span, Scope]] = []
        self.examples: tuple[Example, ...] = ()
        self.steps = 0
        self.trials = 0

    def network(self, input_shape: Shape | None) -> None:
        """The whole network, from the input on."""
        document = self.document
        shape = input_shape or (document.input.shape if document.input else None)
        if document.layers is None:
            return
        span = document.input_span or document.layers.span
        start = Tensor(INPUT, shape, span)
        self.tensors[INPUT] = start
        self.places[INPUT] = span
        self.claimed.add(INPUT)
        if shape is not None:
            self.nodes.append(Node(INPUT, InputLayer(), (), (), shape, span=span))
        try:
            end = self.sequence(document.layers, document.scope.inside(frames=document.frames), start)
        except TooMany:
            return
        self.unknown_layers()
        whole = self.whole and shape is not None
        if whole and end is start:
            message = "`layers` comes to no layer at all"
            document.scope.fault("invalid-value", message, document.layers.elements()[0].span)
        if whole:
            self.read.add(end.node)
            self.unread()
        if self.as_written:
            check_totals(document, end.shape, end.span, self.nodes if whole else None)
            self.examples = read_examples(document, shape, end.shape)
        check_classes(document, end.shape, end.span)

    def graph(self, found: Sequence[Diagnostic]) -> Graph:
        """The finished graph of a spec that has no errors."""
        document = self.document
        assert document.input is not None
        return Graph(
            document.name,
            document.input.model_copy(update={"shape": self.nodes[0].shape}),
            tuple(self.nodes),
            document.classes,
            document.init,
            self.examples,
            document.train,
            tuple(found),
        )

    def unused_blocks(self) -> None:
        """Reads the blocks that nothing uses, for the faults that show without parameters or a shape."""
        scope = self.document.scope
        for name, block in self.document.blocks.items():
            if block is not None and name not in self.used:
                values = {**scope.values, **dict.fromkeys(block.params, LOST)}
                scope.findings.excused.add("unknown-layer")
                self.steps = 0
                inner = scope.inside(values=values, blocks=(name,), prefix=f"{name}.")
                with suppress(TooMany):
                    self.sequence(block.layers, inner, Tensor(INPUT, None, block.span))

    def lose(self, node: str, place: Span, shape: Shape | None = None) -> Tensor:
        """What stands for the output of something at fault: where its shape is unknown, what needs it is silent."""
        self.whole = False
        return Tensor(node, shape, place)

    # Sequences, branches, blocks

    def sequence(self, items: Text, scope: Scope, current: Tensor) -> Tensor:
        """The layers of a list, one after the other."""
        for item in items.elements():
            current = self.item(item, scope, current)
        return current

    def item(self, item: Text, scope: Scope, current: Tensor) -> Tensor:
        """One item of a list: a layer, a merge, a block or a repeat."""
        entry = kind_and_config(scope, item, "a layer")
        if entry is None:
            for kind, place in [*item.keys.items()][:1]:
                self.missing(kind, place, item.get(kind) if "name" not in item.keys else item, scope)
            return self.lose(current.node, item.span)
        kind, place, config = entry
        if kind == "from":
            remedy = "`from` is the first item of a branch"
            scope.fault("misplaced-from", "`from` stands where no branch begins", place, help=remedy)
            return self.lose(current.node, place)
        if kind == "repeat":
            return self.repeat(place, config, scope, current)
        if kind in self.document.blocks:
            block = self.document.blocks[kind]
            if block is None:
                self.missing(kind, place, config, scope)
                return self.lose(current.node, place)
            return self.block(block, place, config, scope, current)
        cls = find(kind)
        if cls is None:
            self.unknown_kind(kind, place, config, scope)
            return self.lose(current.node, place)
        name, refers = self.name(kind, place, config, scope)
        if cls.merges:
            end = self.merge(cls, kind, name, place, config, scope, current)
        else:
            end = self.layer(cls, kind, name, place, config, scope, current)
        end = self.expected(refers or name, end, config, scope)
        self.tensors.setdefault(name, end)
        if refers:
            self.tensors[scope.prefix + refers] = end
        return end

    def unknown_kind(self, kind: str, place: Span, config: Text | None, scope: Scope) -> None:
        """Says that there is no such layer, and what was meant."""
        from cnnspec.suggestions import suggest

        known = [*known_kinds(), *self.document.blocks, "repeat", "from"]
        remedy = meant(kind, known, "`cnnspec layers` lists the kinds")
        scope.fault("unknown-kind", f"no layer or block is called {quoted(kind)}", place, help=remedy)
        certain = find(suggest(kind, known, certain=True) or "")
        if certain is not None and not certain.merges:
            self.fields(certain, certain.kind, place, config, scope)
        self.missing(kind, place, config, scope)

    def missing(self, kind: str, place: Span, config: Text | None, scope: Scope) -> None:
        """Takes the name of something that cannot be read, so that others may refer to it and keep their numbers."""
        from cnnspec.suggestions import suggest

        name, _ = self.name(suggest(kind, known_kinds()) or kind, place, config, scope)
        self.tensors[name] = self.lose(name, place)
        self.misnamed.add(f"{name}.")

    def branch(self, item: Text, what: str, place: Span, scope: Scope, current: Tensor) -> Tensor:
        """A list of layers that starts from the current tensor, or from a named layer."""
        if not item.is_list:
            remedy = "an empty list `[]` is the identity" if item.value is None else "write it as a list"
            scope.fault("wrong-type", f"{what} is a list of layers, not {says(item.plain())}", place, help=remedy)
            return self.lose(current.node, place)
        items = item.elements()
        if items and "from" in items[0].keys and len(items[0].keys) == 1:
            current = self.source_of(items[0], scope, current)
            items = items[1:]
        for one in items:
            current = self.item(one, scope, current)
        return Tensor(current.node, current.shape, place)

    def source_of(self, item: Text, scope: Scope, current: Tensor) -> Tensor:
        """The tensor that `from: name` stands for, looked up in this scope and then outwards."""
        name_node = item.get("from")
        assert name_node is not None
        try:
            name = scope.value(name_node)
        except Faulty:
            return self.lose(current.node, item.span)
        prefixes = scope.prefix.split(".")
        for depth in range(len(prefixes), 0, -1):
            full = ".".join([*prefixes[: depth - 1], str(name)])
            if full in self.tensors:
                return self.tensors[full]
        if not f"{scope.prefix}{name}".startswith(tuple(self.misnamed)):
            self.unknown.append((str(name), name_node.span, scope))
        return self.lose(current.node, item.span)

    def unknown_layers(self) -> None:
        """Says which layers are not there, once it is known whether they come later."""
        for name, place, scope in self.unknown:
            later = self.tensors.get(scope.prefix + name)
            if later is not None:
                message = f"{quoted(name)} comes later, and `from` reaches back only"
                scope.fault("unknown-layer", message, place, "", Label(later.span, "stands here"))
            else:
                near = nearest(name, self.tensors)
                remedy = f"did you mean `{near}`?" if near else ""
                scope.fault("unknown-layer", f"no layer is called {quoted(name)}", place, help=remedy)

    def merge(
        self, cls: type[Layer], kind: str, name: str, place: Span, config: Text | None, scope: Scope, current: Tensor
    ) -> Tensor:
        """Branches that become one tensor."""
        if config is None or not config.is_mapping:
            shown = "nothing" if config is None else says(config.plain())
            remedy = f"`{kind}: {{main: [...], skip: []}}`"
            scope.fault("wrong-type", f"`{kind}` takes branches by name, not {shown}", place, help=remedy)
            return self.lose(name, place)
        fields = {*cls.model_fields, "name", "expect"}
        branches = {key: item for key, item in config.items() if key not in fields}
        own = Text({k: v for k, v in config.items() if k in cls.model_fields}, config.span, config.keys)
        layer = read_model(cls, scope, own, kind, place, also=config.keys)
        ends = [
            self.branch(item, f"the branch `{key}`", config.keys[key], scope, current) for key, item in branches.items()
        ]
        if len(branches) < 2:
            remedy = "`skip: []` is the identity" if branches else "`{main: [...], skip: []}`"
            message = f"`{kind}` joins at least two branches, and has {'one' if branches else 'none'}"
            scope.fault("too-few-branches", message, place, help=remedy)
            return self.lose(name, place)
        if layer is None:
            return self.lose(name, place)
        return self.add(layer, name, place, config, scope, ends, tuple(branches))

    def repeat(self, place: Span, config: Text | None, scope: Scope, current: Tensor) -> Tensor:
        """A list of layers several times over: `times`, or once for each value of `each`."""
        if config is None or not config.is_mapping:
            remedy = "`repeat: {times: 3, layers: [...]}`"
            scope.fault("wrong-type", "`repeat` takes `times` or `each`, and `layers`", place, help=remedy)
            return self.lose(current.node, place)
        lost = unknown_keys(scope, config, ("times", "each", "layers", "name"), "`repeat`")
        layers = config.get("layers")
        if layers is None or not layers.is_list:
            if not lost & {"layers", ""}:
                scope.fault("missing-key", "`repeat` needs a list of `layers`", place, help="`layers: [...]`")
            return self.lose(current.node, place)
        rounds = self.rounds(config, place, scope, lost)
        name = self.given_name(config, scope)
        if name:
            self.claim(scope.prefix + name, place, config, scope)
        for i, values in enumerate([_lost_names(config)] if rounds is None else rounds, 1):
            self.step(place, scope)
            inner = scope.inside(values={**scope.values, **values})
            if values or i > 1:
                inner = inner.inside(frames=(Label(place, f"round {i}{_with(values)}"), *scope.frames))
            if name:
                inner = inner.inside(prefix=f"{scope.prefix}{name}{i}.")
            current = self.sequence(layers, inner, current)
        if rounds is None:
            current = self.lose(current.node, place)
        if name:
            self.tensors[scope.prefix + name] = current
            if rounds is None:
                self.misnamed.add(f"{scope.prefix}{name}")
        return current

    def rounds(self, config: Text, place: Span, scope: Scope, lost: set[str]) -> list[dict[str, Any]] | None:
        """The values of each round of a repeat."""
        times, each = config.get("times"), config.get("each")
        if (times is None) == (each is None):
            if times is not None or not lost & {"times", "each", ""}:
                remedy = "`times: 3`, or `each: {c: [64, 128]}` with a list of values"
                scope.fault("missing-key", "`repeat` takes either `times` or `each`", place, help=remedy)
            return None
        try:
            if times is not None:
                count = scope.value(times)
                if isinstance(count, bool) or not isinstance(count, int):
                    scope.fault("wrong-type", f"`times` takes a whole number, not {says(count)}", times.span)
                    return None
                if count < 0:
                    scope.fault("invalid-value", f"`times` takes 0 or more, not {says(count)}", times.span)
                    return None
                if count > MAX_LAYERS:
                    self.too_many(times.span, scope)
                return [{}] * count
            assert each is not None
            lists = {key: scope.value(item) for key, item in each.items()}
        except Faulty:
            return None
        if not lists or not all(isinstance(values, list) for values in lists.values()):
            remedy = "`each: {c: [64, 128], n: [1, 2]}`"
            scope.fault("wrong-type", "`each` takes names and lists of values", each.span, help=remedy)
            return None
        lengths = {key: len(values) for key, values in lists.items()}
        if len(set(lengths.values())) > 1:
            first, *others = (
                Label(each.keys[key], f"{length} value{'s' * (length != 1)}") for key, length in lengths.items()
            )
            message = "the lists of `each` have different lengths"
            scope.fault("uneven-each", message, first.span, first.text, *others)
            return None
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def block(self, block: Block, place: Span, config: Text | None, scope: Scope, current: Tensor) -> Tensor:
        """The layers of a block, with its parameters bound."""
        if block.name in scope.blocks:
            inwards = list(reversed(scope.blocks))
            circle = " → ".join([*inwards[inwards.index(block.name) :], block.name])
            remedy = "a block may use other blocks, and `repeat` says how often"
            scope.fault("recursive-block", f"`{block.name}` uses itself", place, circle, help=remedy)
            return self.lose(current.node, place)
        if len(scope.blocks) >= MAX_BLOCK_DEPTH:
            scope.fault("recursive-block", f"blocks are nested more than {MAX_BLOCK_DEPTH} deep", place)
            return self.lose(current.node, place)
        self.step(place, scope)
        self.used.add(block.name)
        values = self.arguments(block, place, config, scope)
        name = self.given_name(config, scope)
        frame = Label(place, f"used here{_with(values)}")
        inner = scope.inside(
            values={**self.document.scope.values, **values},
            frames=(frame, *scope.frames),
            blocks=(block.name, *scope.blocks),
        )
        if name:
            self.claim(scope.prefix + name, place, config, scope)
            inner = inner.inside(prefix=f"{scope.prefix}{name}.")
        end = self.sequence(block.layers, inner, current)
        if name:
            self.tensors[scope.prefix + name] = end
        end = self.expected(name or block.name, end, config, scope)
        return Tensor(end.node, end.shape, place)

    def arguments(self, block: Block, place: Span, config: Text | None, scope: Scope) -> dict[str, Any]:
        """The values of a block's parameters at one use; LOST for those that cannot be had."""
        given: dict[str, Text] = {}
        lost: set[str] = set()
        if config is not None and config.is_mapping:
            required = [key for key, param in block.params.items() if param.required]
            known = (*block.params, "name", "expect")
            lost = unknown_keys(scope, config, known, f"`{block.name}`", required)
            given = {key: item for key, item in config.items() if key in block.params}
        elif config is not None and config.value is not None:
            if block.params:
                given = {next(iter(block.params)): config}
            else:
                message = f"`{block.name}` takes no value: it has no parameters"
                scope.fault("wrong-type", message, config.span, "", Label(block.span, "declared here"))
        missing = [key for key, param in block.params.items() if param.required and key not in given]
        if missing and not lost & {*missing, ""}:
            declared = [Label(block.params[key].span, "declared here") for key in missing]
            scope.fault(
                "missing-key",
                f"`{block.name}` needs {names(missing)}",
                place,
                "",
                *declared,
                help=example(block.name, missing, config),
            )
        return {key: self.argument(block, key, param, given.get(key), scope) for key, param in block.params.items()}

    def argument(self, block: Block, key: str, param: Param, item: Text | None, scope: Scope) -> Any:
        """The value of one parameter of a block."""
        if item is None:
            return LOST if param.required else param.default
        try:
            value = scope.value(item)
        except Faulty:
            return LOST
        if documents.is_of(value, param.type):
            return value
        remedy = ""
        if param.type == "text" and not param.required and (type_ := documents.meant_type(param.default)):
            remedy = f"`{key}: {type_}` declares a parameter without a default"
        declared = Label(param.span, f"declared here, as {param.type}")
        message = f"`{key}` of `{block.name}` takes {documents.a_type(param.type)}, not {says(value)}"
        scope.fault("wrong-type", message, item.span, "", declared, help=remedy)
        return LOST

    # Layers

    def layer(
        self, cls: type[Layer], kind: str, name: str, place: Span, config: Text | None, scope: Scope, current: Tensor
    ) -> Tensor:
        """One layer, and those that its `norm` and `activation` stand for."""
        layer, asked = self.fields(cls, kind, place, config, scope)
        current = self.add(layer, name, place, config, scope, [current]) if layer else self.lose(name, place)
        for key, item in asked.items():
            if item is not None:
                current = self.follower(key, item, scope, current)
        return current

    def fields(
        self, cls: type[Layer], kind: str, place: Span, config: Text | None, scope: Scope
    ) -> tuple[Layer | None, dict[str, Text | None]]:
        """The layer with its fields, None where they are at fault; and its `norm` and `activation`."""
        sugar = ("norm", "activation") if issubclass(cls, Weighted) else ()
        asked = {key: config.get(key) for key in sugar} if config is not None else {}
        given: dict[str, Any] = {}
        if config is not None and asked.get("norm") is not None and "bias" not in config.keys:
            given["bias"] = False
        also = (*sugar, "name", "expect")
        return read_model(cls, scope, config, kind, place, main=cls.main, given=given, also=also), asked

    def follower(self, key: str, item: Text, scope: Scope, current: Tensor) -> Tensor:
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
        config: Text | None,
        scope: Scope,
        inputs: list[Tensor],
        branches: tuple[str, ...] = (),
    ) -> Tensor:
        """A node for the layer, with its shape inferred; a fault in that is said, and makes the shape unknown."""
        self.step(place, scope)
        self.read.update(tensor.node for tensor in inputs)
        shapes = [tensor.shape for tensor in inputs if tensor.shape is not None]
        if len(shapes) < len(inputs):
            return self.lose(name, place, layer.always)
        in_shapes = tuple(shapes)
        try:
            inferred = layer.infer(*in_shapes)
            parameters = layer.parameters(*in_shapes)
            _numbers_fit(parameters)
        except ShapeError as error:
            self.shape_fault(error, layer, name, place, config, scope, inputs)
            return self.lose(name, place, layer.always)
        per_side = looks_per_side(layer)
        if per_side and config is not None:
            message, remedy = per_side
            span = config.at(("padding",))
            scope.fault("padding-per-side", message, span, "of both sides together", help=remedy, severity="warning")
        names = tuple(tensor.node for tensor in inputs)
        made = (inferred.shape, inferred.pads, inferred.overhang)
        self.nodes.append(Node(name, layer, names, in_shapes, *made, parameters, branches, place))
        end = Tensor(name, inferred.shape, place)
        self.tensors[name] = end
        return end

    def shape_fault(
        self,
        error: ShapeError,
        layer: Layer,
        name: str,
        place: Span,
        config: Text | None,
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
        if layer.merges and error.input_index is not None:
            notes.append(label)
            culprit = others.pop(error.input_index)
            span, label = culprit.span, culprit.text
        if error.larger_input and self.trials < MAX_TRIALS:
            self.trials += len(self.nodes)
            larger = smallest_input(self.nodes, layer, [tensor.node for tensor in inputs])
            if larger:
                remedies.append(f"an input of at least {by(larger[1:])}")
        message = error.message.replace("{name}", name)
        scope.fault(error.code, message, span, label, *others, notes=notes, help=one_of(remedies))

    def expected(self, name: str, end: Tensor, config: Text | None, scope: Scope) -> Tensor:
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
            message = f"`{name}` makes {by(end.shape)}, and its author expects {by(tuple(value))}"
            remedy = f"`expect: {list(end.shape)}`, or another layer"
            scope.fault("expectation-failed", message, node.span, "", _made(end), help=remedy)
        return end

    # Names

    def name(self, kind: str, place: Span, config: Text | None, scope: Scope) -> tuple[str, str | None]:
        """The full name of a layer, and its own name where the author gave one."""
        ordinals = self.ordinals.setdefault(scope.prefix, Counter())
        ordinals[kind] += 1
        given = self.given_name(config, scope)
        name = scope.prefix + (given or f"{kind}{ordinals[kind]}")
        self.claim(name, place, config if given else None, scope)
        return name, given

    def given_name(self, config: Text | None, scope: Scope) -> str | None:
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

    def claim(self, name: str, place: Span, config: Text | None, scope: Scope) -> None:
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

    def unread(self) -> None:
        """Warns of layers whose output nobody reads."""
        for node in self.nodes:
            if node.name not in self.read and node.span is not None:
                message = f"nothing reads what `{node.name}` makes"
                remedy = "leave it out, or let a branch of the merge behind it begin without `from`"
                self.document.scope.fault("unread-layer", message, node.span, help=remedy, severity="warning")


def _made(tensor: Tensor) -> Label:
    verb = "is" if tensor.node == INPUT else "makes"
    return Label(tensor.span, f"{verb} {by(tensor.shape or ())}")


def _lost_names(config: Text) -> dict[str, Any]:
    """The names that the rounds of a faulty repeat would have bound."""
    return {name: LOST for _, item in config.items() for name in item.keys}


def _with(values: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{key} = {_short(value)}" for key, value in values.items() if value is not LOST)
    return f", with {shown}" if shown else ""


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:23] + "…"


def _numbers_fit(parameters: Mapping[str, Parameter]) -> None:
    for key, parameter in parameters.items():
        given = parameter.numbers
        if given is not None and not given.fits(parameter.shape):
            raise ShapeError(
                "weight-shape",
                f"`{{name}}` has a {key} of {by(parameter.shape)}, and carries {by(given.shape)} numbers",
                field=key,
                label=f"is {by(given.shape)}",
                remedies=(f"{by(parameter.shape)} numbers (leading axes of size one may be left out)", "one number"),
            )
