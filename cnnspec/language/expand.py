"""Walk the layers of a document: expand blocks, repeats, branches and sugar, and place each layer in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cnnspec.diagnostics import Label, Span
from cnnspec.graph.build import GraphBuilder
from cnnspec.language.blocks import Block, arguments
from cnnspec.language.branches import branches_from
from cnnspec.language.checks import check_expected
from cnnspec.language.document import Document
from cnnspec.language.entry import COMMON_KEYS, Entry, read_entry
from cnnspec.language.entry_repairs import for_branch, for_kind, for_sugar, is_word
from cnnspec.language.expressions import UNRESOLVED, arriving
from cnnspec.language.fields import read_model, suggestion, unknown_keys
from cnnspec.language.inputs import DeclaredInput
from cnnspec.language.layer_placer import LIKE, SHARE, LayerPlacer
from cnnspec.language.like import sizes_like
from cnnspec.language.limits import LayerCounter, TooManyLayers
from cnnspec.language.names import LayerName, Names, Output
from cnnspec.language.outputs import read_outputs
from cnnspec.language.repeat import (
    REPEAT_KEYS,
    first_number,
    format_bindings,
    index_name,
    repeat_bindings,
    unresolved_bindings,
)
from cnnspec.language.scope import Scope
from cnnspec.language.sharing import Sharing
from cnnspec.language.sugar import SUGAR, sugar
from cnnspec.language.undeclared import propose_declarations
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import NORMS, Layer, find, known_kinds
from cnnspec.layers.activation import Activation
from cnnspec.layers.conv import Weighted
from cnnspec.layers.input import INPUT
from cnnspec.wording import describe, quoted

MAX_BLOCK_DEPTH = 30


class Expansion:
    """The expansion of one document: a single walk that hands each layer the output of the one before.

    After an error the walk goes on: the output is then unknown, and what depends on it is not checked.
    """

    def __init__(self, document: Document, builder: GraphBuilder, *, check_expected: bool = True) -> None:
        self.document = document
        self.names = Names()
        self.counter = LayerCounter()
        self.placer = LayerPlacer(builder, self.counter)
        self.sharing = Sharing(self.names, self.placer)
        self._check_expected = check_expected
        self.used_blocks: set[str] = set()
        self.trace: list[tuple[Span, Output]] = []
        """The items of lists (layers, uses of blocks, repeats) with their outputs, in the order of the expansion."""

    def network(self, inputs: Mapping[str, DeclaredInput]) -> dict[str, Output] | None:
        """Expand the whole network and return its outputs by name; None where it has no layers, or too many."""
        document = self.document
        if document.layers is None:
            return None
        declared = inputs or {INPUT: DeclaredInput(None, document.layers.span)}
        starts = [self.placer.input(name, given.shape, given.span) for name, given in declared.items()]
        for start in starts:
            self.names.take_input(start.node, start)
        try:
            end = self._list(document.layers.elements(), document.scope.replace(stack=document.stack), starts[0])
        except TooManyLayers:
            return None
        outputs = read_outputs(document, self.names, end)
        self.names.report_unresolved()
        return outputs

    def unused_blocks(self) -> None:
        """Expand the blocks that nothing uses, for the errors that need neither their parameters nor a shape."""
        scope = self.document.scope
        for name, block in self.document.blocks.items():
            if block is not None and name not in self.used_blocks:
                scope.collector.suppressed_codes.add("unknown-layer")
                self.counter.count = 0
                values = {**scope.values, **dict.fromkeys(block.params, UNRESOLVED)}
                inner = scope.replace(values=values, open_blocks=(name,), prefix=f"{name}.")
                with suppress(TooManyLayers):
                    self._list(block.layers.elements(), inner, Output(INPUT, None, block.span))

    def _list(self, items: tuple[YamlNode, ...], scope: Scope, current: Output) -> Output:
        for i, item in enumerate(items):
            if i == 1 and scope.begins_branch:
                scope = scope.replace(begins_branch=False)
            current = self._item(item, self._at(scope, current), current)
            self.trace.append((item.span, current))
        return current

    def _at(self, scope: Scope, current: Output) -> Scope:
        """Return the scope with the channels and the sizes that arrive, where the spec asks for them."""
        return scope.replace(arriving=arriving(current.shape)) if self.document.uses_arriving else scope

    def _item(self, item: YamlNode, scope: Scope, current: Output) -> Output:
        """Expand one item of a list: a layer, a merge, a block or a repeat."""
        entry = read_entry(scope, item, "a layer", self.document.kinds)
        if entry is None:
            for kind in [key for key in item.keys if key not in COMMON_KEYS][:1]:
                self._skip(Entry(kind, item.keys[kind], item if "name" in item.keys else item.get(kind), scope))
            return self.placer.unknown_output(current.node, item.span)
        if entry.kind == "from":
            return self._from(entry, current)
        if entry.kind == "repeat":
            return self._repeat(entry, current)
        if entry.kind in self.document.blocks:
            block = self.document.blocks[entry.kind]
            if block is not None:
                return self._block(block, entry, current)
            self._skip(entry)
            return self.placer.unknown_output(current.node, entry.span)
        cls = find(entry.kind)
        if cls is None:
            self._unknown_kind(entry)
            return self.placer.unknown_output(current.node, entry.span)
        entry = entry.with_fields()
        return self._merge(cls, entry, current) if cls.arity is None else self._layer(cls, entry, current)

    def _from(self, entry: Entry, current: Output) -> Output:
        """Return the output that a list goes on from."""
        scope, named = entry.scope, None
        if entry.config is None:
            scope.error("wrong-type", "`from` takes the name of a layer, not nothing", entry.span, help="`from: name`")
        elif scope.in_branch and not scope.begins_branch:
            remedy = "`from` is the first item of a branch"
            scope.error("misplaced-from", "`from` stands where no branch begins", entry.span, help=remedy)
        else:
            named = self.names.look_up("from", entry.config, scope)
        return named or self.placer.unknown_output(current.node, entry.span)

    def _unknown_kind(self, entry: Entry) -> None:
        """Report a kind that does not exist, with a suggestion."""
        from cnnspec.language.suggestions import suggest

        known = [*self.document.kinds, "from"]
        remedy = suggestion(entry.kind, known, "`cnnspec layers` lists the kinds")
        message = f"no layer or block is called {quoted(entry.kind)}"
        fixes = for_kind(entry.kind, entry.span, entry.config, {*self.document.kinds})
        entry.scope.error("unknown-kind", message, entry.span, help=remedy, fixes=fixes)
        certain = find(suggest(entry.kind, known, certain=True) or "")
        if certain is not None and certain.arity is not None and is_word(entry.kind):
            self._read_layer(certain, Entry(certain.kind, entry.span, entry.config, entry.scope))
        self._skip(entry)

    def _skip(self, entry: Entry) -> None:
        """Take the name of an entry that cannot be expanded, so that references and later numbers stay valid."""
        from cnnspec.language.suggestions import suggest

        name = self.names.of_layer(entry, suggest(entry.kind, known_kinds()))
        self.names.define(name, self.placer.unknown_output(name.full, entry.span))
        self.names.hide(f"{name.full}.")

    # Layers

    def _layer(self, cls: type[Layer], entry: Entry, current: Output) -> Output:
        """Place one layer, and those that its `norm` and `activation` stand for."""
        name = self.names.of_layer(entry)
        output = self._place(self._read_layer(cls, entry, current), name, entry, [current])
        for key in SUGAR:
            if issubclass(cls, Weighted) and (item := sugar(entry, key)) is not None:
                output = self._sugar_layer(key, item, name, self._at(entry.scope, output), output)
        return self._finish(name, entry, output)

    def _read_layer(self, cls: type[Layer], entry: Entry, current: Output | None = None) -> Layer | None:
        """Return a layer with its fields; with a `norm` behind it, `bias` is false where it is left out."""
        keys = (*(SUGAR if issubclass(cls, Weighted) else ()), "name", "expect", SHARE)
        overrides: dict[str, Any] = {}
        if issubclass(cls, Weighted) and sugar(entry, "norm") is not None and entry.get("bias") is None:
            overrides["bias"] = False
        if cls.like is not None:
            keys = (*keys, LIKE)
            if (node := entry.get(LIKE)) is not None:
                sizes = sizes_like(self.names, cls.like, node, entry, current)
                overrides[cls.like] = sizes or 1
                layer = read_model(cls, entry, overrides=overrides, extra_keys=keys)
                return layer if sizes else None
        instead = {LIKE: cls.like} if cls.like is not None else None
        return read_model(cls, entry, main=cls.main, overrides=overrides, extra_keys=keys, instead=instead)

    def _sugar_layer(self, key: str, item: YamlNode, before: LayerName, scope: Scope, current: Output) -> Output:
        """Place the layer that `norm` or `activation` of the layer `before` stands for."""
        entry = read_entry(scope, item, f"`{key}`")
        if entry is None:
            return self.placer.unknown_output(current.node, item.span)
        cls = find(entry.kind)
        fits = cls is not None and (entry.kind in NORMS if key == "norm" else issubclass(cls, Activation))
        if cls is None or not fits:
            known = NORMS if key == "norm" else [k for k, c in known_kinds().items() if issubclass(c, Activation)]
            remedy = suggestion(entry.kind, known, f"it takes {', '.join(known)}")
            message, fixes = f"`{key}` takes no {quoted(entry.kind)}", for_sugar(entry.kind, entry.span, known)
            scope.error("unknown-kind", message, entry.span, help=remedy, fixes=fixes)
            return self.placer.unknown_output(current.node, entry.span)
        entry = entry.with_fields()
        name = self.names.of_layer(entry)
        self.sharing.add(name.full, key, before.full)
        layer = read_model(cls, entry, main=cls.main, extra_keys=("name",))
        output = self._place(layer, name, entry, [current])
        self.names.define(name, output)
        return output

    def _place(
        self, layer: Layer | None, name: LayerName, entry: Entry, inputs: list[Output], branches: tuple[str, ...] = ()
    ) -> Output:
        """Place a layer under its name; the output is unknown where its fields are not valid."""
        if layer is None:
            return self.placer.unknown_output(name.full, entry.span)
        arrays = self.sharing.of_layer(layer, name.full, entry)
        sizes = entry.get(LIKE) if layer.like is not None else None
        liked = self.names.look_up(LIKE, sizes, entry.scope) if sizes is not None else None
        output = self.placer.place(layer, name.full, entry, inputs, branches, arrays, liked.node if liked else None)
        if output.shape is not None:
            self.names.outputs[name.full] = output
        return output

    def _finish(self, name: LayerName, entry: Entry, output: Output) -> Output:
        """Check the shape that the author expects, and let the layer's name stand for the output."""
        output = self._expect(name.given or name.full, entry, output)
        self.names.define(name, output)
        return output

    def _expect(self, name: str, entry: Entry, output: Output) -> Output:
        return check_expected(name, entry, output, self.placer.faults) if self._check_expected else output

    # Merges and their branches

    def _merge(self, cls: type[Layer], entry: Entry, current: Output) -> Output:
        """Expand the branches of a merge, and place the layer that joins them."""
        name = self.names.of_layer(entry)
        return self._finish(name, entry, self._join(cls, name, entry, current))

    def _join(self, cls: type[Layer], name: LayerName, entry: Entry, current: Output) -> Output:
        kind, config, scope = entry.kind, entry.config, entry.scope
        if config is None or not config.is_mapping:
            found = "nothing" if config is None else describe(config.plain())
            remedy = branches_from(kind, config) or f"`{kind}: {{main: [...], skip: []}}`"
            scope.error("wrong-type", f"`{kind}` takes branches by name, not {found}", entry.span, help=remedy)
            return self.placer.unknown_output(name.full, entry.span)
        fields = {*cls.model_fields, "name", "expect", SHARE}
        branches = {key: item for key, item in config.items() if key not in fields}
        own = YamlNode({k: v for k, v in config.items() if k in cls.model_fields}, config.span, config.keys)
        layer = read_model(cls, Entry(kind, entry.span, own, scope), extra_keys=config.keys)
        sources = branches_from(kind, branches.get("from")) if len(branches) == 1 else ""
        if not sources:
            ends = [self._branch(key, item, config, scope, current) for key, item in branches.items()]
        if len(branches) < 2:
            remedy = sources or ("`skip: []` is the identity" if branches else "`{main: [...], skip: []}`")
            message = f"`{kind}` joins at least two branches, and has {'one' if branches else 'none'}"
            scope.error("too-few-branches", message, entry.span, help=remedy)
            return self.placer.unknown_output(name.full, entry.span)
        return self._place(layer, name, entry, ends, tuple(branches))

    def _branch(self, key: str, item: YamlNode, merge: YamlNode, scope: Scope, current: Output) -> Output:
        """Expand a branch, which starts from the current output, or from a named layer."""
        span = merge.keys[key]
        if not item.is_list:
            remedy = "an empty list `[]` is the identity" if item.value is None else "write it as a list"
            message = f"the branch {quoted(key)} is a list of layers, not {describe(item.plain())}"
            scope.error("wrong-type", message, span, help=remedy, fixes=for_branch(merge, key))
            return self.placer.unknown_output(current.node, span)
        items = item.elements()
        source = items[0].get("from") if items and len(items[0].keys) == 1 else None
        if source is not None:
            named = self.names.look_up("from", source, scope)
            current = named or self.placer.unknown_output(current.node, items[0].span)
            items = items[1:]
        inner = scope.replace(in_branch=True, begins_branch=source is None)
        return self._list(items, inner, current)._replace(span=span)

    # Repeats and blocks

    def _repeat(self, entry: Entry, current: Output) -> Output:
        """Expand a list of layers several times: `times`, or once for each value of `each`."""
        span, config, scope = entry.span, entry.config, entry.scope
        if config is None or not config.is_mapping:
            remedy = "`repeat: {times: 3, layers: [...]}`"
            scope.error("wrong-type", "`repeat` takes `times` or `each`, and `layers`", span, help=remedy)
            return self.placer.unknown_output(current.node, span)
        unknown = unknown_keys(scope, config, REPEAT_KEYS, "`repeat`")
        layers = config.get("layers")
        if layers is None or not layers.is_list:
            if not unknown.explain("layers"):
                scope.error("missing-key", "`repeat` needs a list of `layers`", span, help="`layers: [...]`")
            return self.placer.unknown_output(current.node, span)
        most = self.counter.most
        bindings = repeat_bindings(entry, unknown, most + 1)
        if bindings and len(bindings) > most:
            self.counter.fail(entry.span_of("times"), scope)
        name, first, index = self.names.of_group(entry), first_number(entry), index_name(entry)
        start = 1 if first is None else first
        for i, values in enumerate([unresolved_bindings(config)] if bindings is None else bindings, start):
            self.counter.add(span, scope)
            shown = values or i > start
            number = {index: UNRESOLVED if first is None else i} if index else {}
            inner = scope.replace(
                values={**scope.values, **values, **number},
                stack=(Label(span, f"round {i}{format_bindings(values)}"), *scope.stack) if shown else scope.stack,
                begins_branch=scope.begins_branch and i == start,
                prefix=f"{name.full}{i}." if name else scope.prefix,
            )
            current = self._list(layers.elements(), inner, current)
            if name:
                self.names.define(LayerName(f"{name.full}{i}", None), current)
        if bindings is None:
            current = self.placer.unknown_output(current.node, span)
        if name:
            self.names.define(name, current)
            if bindings is None or first is None:
                self.names.hide(name.full)
        return current

    def _block(self, block: Block, entry: Entry, current: Output) -> Output:
        """Expand one use of a block, with its parameters bound."""
        span, scope = entry.span, entry.scope
        if block.name in scope.open_blocks:
            inwards = list(reversed(scope.open_blocks))
            circle = " → ".join([*inwards[inwards.index(block.name) :], block.name])
            remedy = "a block may use other blocks, and `repeat` says how often"
            scope.error("recursive-block", f"`{block.name}` uses itself", span, circle, help=remedy)
            return self.placer.unknown_output(current.node, span)
        if len(scope.open_blocks) >= MAX_BLOCK_DEPTH:
            scope.error("recursive-block", f"blocks are nested more than {MAX_BLOCK_DEPTH} deep", span)
            return self.placer.unknown_output(current.node, span)
        self.counter.add(span, scope)
        self.used_blocks.add(block.name)
        values = arguments(block, entry)
        name = self.names.of_group(entry)
        inner = scope.replace(
            values={**self.document.scope.values, **values},
            stack=(Label(span, f"used here{format_bindings(values)}"), *scope.stack),
            open_blocks=(block.name, *scope.open_blocks),
            prefix=f"{name.full}." if name else scope.prefix,
        )
        shared = self.sharing.of_block(name, entry)
        first = len(self.placer.builder.nodes)
        end = self._list(block.layers.elements(), inner.replace(shared=shared or scope.shared), current)
        propose_declarations(scope.collector, self.document.blocks, block, entry)
        self.sharing.end_block(name, first, entry, shared)
        if name:
            self.names.define(name, end)
        return self._expect(name.given or block.name if name else block.name, entry, end)._replace(span=span)
