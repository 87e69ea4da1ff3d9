"""YAML tree to Graph: expands blocks, resolves names, infers shapes, and keeps going after a fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from cnnspec.diagnostics import Diagnostic, Label, Source, Span, any_errors, in_order
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.spec import Example, Spec
from cnnspec.language import document as documents
from cnnspec.language.blocks import Block, arguments
from cnnspec.language.checks import check_classes, check_loss, check_totals
from cnnspec.language.collector import Enough, Findings
from cnnspec.language.document import Document, Opener
from cnnspec.language.examples import read_examples
from cnnspec.language.expressions import LOST
from cnnspec.language.fields import kind_and_config, meant, read_model, unknown_keys
from cnnspec.language.graph_builder import MAX_LAYERS, Assembly, Tensor, TooMany
from cnnspec.language.repeat import lost_names, rounds_of, with_values
from cnnspec.language.scope import Faulty, Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Layer, Shape, find, known_kinds
from cnnspec.layers.input import INPUT
from cnnspec.wording import nearest, quoted, says

MAX_BLOCK_DEPTH = 30


def build(
    source: Source,
    opener: Opener,
    *,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
) -> tuple[str, Spec | None, list[Diagnostic]]:
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
    spec = None if builder is None or any_errors(found) else builder.spec(found)
    return document.name if document is not None else source.name, spec, found


class Builder(Assembly):
    """Walks the layers of a document and adds a node for each."""

    def __init__(self, document: Document, as_written: bool) -> None:
        super().__init__(as_written, GraphBuilder(document.name, init=document.init))
        self.document = document
        self.used: set[str] = set()
        self.unknown: list[tuple[str, Span, Scope]] = []
        self.examples: tuple[Example, ...] = ()

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
            self.builder.input(shape, span=span)
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
            self.unread(document.scope)
        if self.as_written:
            check_totals(document, end.shape, end.span, self.builder.nodes if whole else None)
            self.examples = read_examples(document, shape, end.shape)
        check_classes(document, end.shape, end.span)
        if whole:
            check_loss(document, self.builder.nodes[-1])

    def spec(self, found: Sequence[Diagnostic]) -> Spec:
        """The finished spec, where there are no errors."""
        document = self.document
        assert document.input is not None
        return Spec(
            document.name,
            self.builder.graph(),
            document.input.model_copy(update={"shape": self.builder.nodes[0].shape}),
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

    # Sequences, branches, blocks

    def sequence(self, items: YamlNode, scope: Scope, current: Tensor) -> Tensor:
        """The layers of a list, one after the other."""
        for item in items.elements():
            current = self.item(item, scope, current)
        return current

    def item(self, item: YamlNode, scope: Scope, current: Tensor) -> Tensor:
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
        if cls.arity is None:
            end = self.merge(cls, kind, name, place, config, scope, current)
        else:
            end = self.layer(cls, kind, name, place, config, scope, current)
        end = self.expected(refers or name, end, config, scope)
        self.tensors.setdefault(name, end)
        if refers:
            self.tensors[scope.prefix + refers] = end
        return end

    def unknown_kind(self, kind: str, place: Span, config: YamlNode | None, scope: Scope) -> None:
        """Says that there is no such layer, and what was meant."""
        from cnnspec.language.suggestions import suggest

        known = [*known_kinds(), *self.document.blocks, "repeat", "from"]
        remedy = meant(kind, known, "`cnnspec layers` lists the kinds")
        scope.fault("unknown-kind", f"no layer or block is called {quoted(kind)}", place, help=remedy)
        certain = find(suggest(kind, known, certain=True) or "")
        if certain is not None and certain.arity is not None:
            self.fields(certain, certain.kind, place, config, scope)
        self.missing(kind, place, config, scope)

    def missing(self, kind: str, place: Span, config: YamlNode | None, scope: Scope) -> None:
        """Takes the name of something that cannot be read, so that others may refer to it and keep their numbers."""
        from cnnspec.language.suggestions import suggest

        name, _ = self.name(suggest(kind, known_kinds()) or kind, place, config, scope)
        self.tensors[name] = self.lose(name, place)
        self.misnamed.add(f"{name}.")

    def branch(self, item: YamlNode, what: str, place: Span, scope: Scope, current: Tensor) -> Tensor:
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

    def source_of(self, item: YamlNode, scope: Scope, current: Tensor) -> Tensor:
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
        self,
        cls: type[Layer],
        kind: str,
        name: str,
        place: Span,
        config: YamlNode | None,
        scope: Scope,
        current: Tensor,
    ) -> Tensor:
        """Branches that become one tensor."""
        if config is None or not config.is_mapping:
            shown = "nothing" if config is None else says(config.plain())
            remedy = f"`{kind}: {{main: [...], skip: []}}`"
            scope.fault("wrong-type", f"`{kind}` takes branches by name, not {shown}", place, help=remedy)
            return self.lose(name, place)
        fields = {*cls.model_fields, "name", "expect"}
        branches = {key: item for key, item in config.items() if key not in fields}
        own = YamlNode({k: v for k, v in config.items() if k in cls.model_fields}, config.span, config.keys)
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

    def repeat(self, place: Span, config: YamlNode | None, scope: Scope, current: Tensor) -> Tensor:
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
        rounds = rounds_of(config, place, scope, lost, MAX_LAYERS + 1)
        if rounds and len(rounds) > MAX_LAYERS:
            self.too_many(config.at(("times",)), scope)
        name = self.given_name(config, scope)
        if name:
            self.claim(scope.prefix + name, place, config, scope)
        for i, values in enumerate([lost_names(config)] if rounds is None else rounds, 1):
            self.step(place, scope)
            inner = scope.inside(values={**scope.values, **values})
            if values or i > 1:
                inner = inner.inside(frames=(Label(place, f"round {i}{with_values(values)}"), *scope.frames))
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

    def block(self, block: Block, place: Span, config: YamlNode | None, scope: Scope, current: Tensor) -> Tensor:
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
        values = arguments(block, place, config, scope)
        name = self.given_name(config, scope)
        frame = Label(place, f"used here{with_values(values)}")
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
