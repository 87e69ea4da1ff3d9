"""The names of parameters and blocks in a text: what each `$name` stands for where it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cnnspec.diagnostics import Span
from cnnspec.language.expressions import references
from cnnspec.language.scope import within
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find
from cnnspec.lsp.analysis import Analysis
from cnnspec.lsp.symbols import Occurrence, Symbol

Scope = Mapping[str, Symbol]
"""The parameters by the names that they have at a place."""


def bindings(analysis: Analysis) -> Iterator[Occurrence]:
    """Yield the names of parameters and blocks that a text holds."""
    root, document = analysis.root, analysis.document
    if root is None or document is None:
        return
    spec = {
        name: Symbol("parameter", name, span)
        for level in document.levels
        if (params := level.get("params")) is not None
        for name, span in params.keys.items()
    }
    blocks = {name: Symbol("block", name, block.span) for name, block in document.blocks.items() if block is not None}
    arguments = {
        name: {key: Symbol("parameter", key, param.span) for key, param in block.params.items()}
        for name, block in document.blocks.items()
        if block is not None
    }
    yield from _Walk(spec, blocks, arguments).spec(root)


class _Walk:
    def __init__(self, params: Scope, blocks: Scope, arguments: Mapping[str, Scope]) -> None:
        self.params = params
        self.blocks = blocks
        self.arguments = arguments

    def spec(self, root: YamlNode) -> Iterator[Occurrence]:
        for key, item in root.items():
            if key == "params":
                for name, span in item.keys.items():
                    yield Occurrence(span, self.params[name])
                yield from self.values(item, self.params)
                yield from self.named_blocks(item)
            elif key == "blocks":
                for name, block in item.items():
                    yield from self.block(name, item.keys[name], block)
            elif key == "layers":
                yield from self.layers(item, self.params)
            else:
                yield from self.values(item, self.params)

    def block(self, name: str, span: Span, node: YamlNode) -> Iterator[Occurrence]:
        own = self.arguments.get(name, {})
        if name in self.blocks:
            yield Occurrence(span, self.blocks[name])
        if (params := node.get("params")) is not None:
            yield from (Occurrence(span, own[key]) for key, span in params.keys.items() if key in own)
            yield from self.values(params, self.params)
            yield from self.named_blocks(params)
        if (layers := node.get("layers")) is not None:
            yield from self.layers(layers, {**self.params, **own})

    def layers(self, node: YamlNode, scope: Scope) -> Iterator[Occurrence]:
        for item in node.elements():
            if isinstance(item.value, str):
                yield from self.kind(item.value, item.span, scope)
            for kind, config in item.items():
                yield from self.kind(kind, item.keys[kind], scope)
                yield from self.configuration(kind, config, scope)

    def kind(self, kind: str, span: Span, scope: Scope) -> Iterator[Occurrence]:
        if kind in self.blocks:
            yield Occurrence(span, self.blocks[kind])
        yield from _in_text(kind, span, scope)

    def configuration(self, kind: str, config: YamlNode, scope: Scope) -> Iterator[Occurrence]:
        cls = find(kind)
        if kind == "repeat":
            yield from self.repeat(config, scope)
        elif cls is not None and cls.arity is None:
            for key, item in config.items():
                inner = self.values if key in cls.model_fields or not item.is_list else self.layers
                yield from inner(item, scope)
        else:
            own = self.arguments.get(kind, {})
            yield from (Occurrence(span, own[key]) for key, span in config.keys.items() if key in own)
            yield from self.values(config, scope)
            if kind in self.blocks or "$" in kind:
                yield from self.named_blocks(config)

    def repeat(self, config: YamlNode, scope: Scope) -> Iterator[Occurrence]:
        own: dict[str, Symbol] = {}
        if (each := config.get("each")) is not None:
            own |= {name: Symbol("parameter", name, span) for name, span in each.keys.items()}
            yield from self.named_blocks(each)
        if (index := config.get("index")) is not None and isinstance(index.value, str):
            own[index.value] = Symbol("parameter", index.value, index.span)
        yield from (Occurrence(symbol.span, symbol) for symbol in own.values())
        for key, item in config.items():
            if key == "layers":
                yield from self.layers(item, {**scope, **own})
            else:
                yield from self.values(item, scope)

    def values(self, node: YamlNode, scope: Scope) -> Iterator[Occurrence]:
        if isinstance(node.value, str):
            yield from _in_text(node.value, node.span, scope)
        for item in (*node.elements(), *(item for _, item in node.items())):
            yield from self.values(item, scope)

    def named_blocks(self, node: YamlNode) -> Iterator[Occurrence]:
        """Yield the names of blocks among values, which a parameter may choose a block by."""
        if isinstance(node.value, str) and node.value in self.blocks:
            yield Occurrence(node.span, self.blocks[node.value])
        for item in (*node.elements(), *(item for _, item in node.items())):
            yield from self.named_blocks(item)


def _in_text(text: str, span: Span, scope: Scope) -> Iterator[Occurrence]:
    """Yield the parameters that a text refers to."""
    for name, start, end in references(text):
        if (symbol := scope.get(name)) is not None:
            yield Occurrence(within(span, text, start, end), symbol)
