"""The code of every block of a network in Keras, from the innermost to the network itself: functions of tensors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from cnnspec.errors import ExportError
from cnnspec.graph.graph import Graph, Node
from cnnspec.interop.naming import free
from cnnspec.interop.source import classes
from cnnspec.interop.source.classes import Attribute, BlockClass, BlockCode
from cnnspec.interop.source.expression import Expression, LayerCode, depth
from cnnspec.interop.source.forward import Body, Run, Statement, Step, arguments, body
from cnnspec.interop.source.keras_layers import WRITERS
from cnnspec.interop.source.keras_step import Link, Place, called, name_code
from cnnspec.interop.source.names import TAKEN, identifier, numbered
from cnnspec.interop.source.parameters import Shapes
from cnnspec.interop.source.runs import consecutive, indexed
from cnnspec.interop.source.text import Argument, Call, Resolved, plain
from cnnspec.interop.source.tree import ROOT, Block, Tree, prefixes
from cnnspec.weights.keras_layouts import LAYOUTS, keras_name

LONGEST_INLINE = 3
"""How many statements a block has at most that needs no function of its own where it is used once."""


NON_NEGATIVE = ("relu", "relu6", "sigmoid", "hard_sigmoid")
"""Activations behind which a border of zeros never holds the maximum."""


class Functions:
    """The functions of a graph's blocks, and the code of the network itself."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.functions: list[BlockClass] = []
        self._unequal: list[str] = []
        uses = Counter(Tree(graph).modules[node.name] for node in graph.nodes if node.arrays)
        self.shared = {module for module, count in uses.items() if count > 1}
        """The layers whose arrays others have, too."""
        plain_paths = set(self._apart())
        while inlined := self._write(Tree(graph, plain_paths)):
            plain_paths |= inlined
        if self._unequal:
            faults = "; ".join(dict.fromkeys(self._unequal))
            raise ExportError(f"{faults}: a layer of Keras that is called twice has the same fields")

    def _apart(self) -> Iterator[str]:
        """Yield the blocks that share arrays with what is outside of them: their layers are called one by one."""
        modules = Tree(self.graph).modules
        for node in self.graph.nodes:
            if modules[node.name] in self.shared:
                together = {*prefixes(node.name)} & {*prefixes(modules[node.name])}
                yield from {*prefixes(node.name), *prefixes(modules[node.name])} - together

    def _write(self, tree: Tree) -> set[str]:
        """Write all blocks; return those that are better written without a function."""
        self.tree = tree
        self.functions = []
        self.calls: dict[str, Call] = {}
        small: set[str] = set()
        for level in tree.levels():
            written = [self._code(tree.blocks[path]) for path in level if path]
            taken = {name for code in written for name in local_names(code)}
            for found in classes.grouped(written, len(self.functions), {*taken, *TAKEN}):
                _drop_unused(found)
                self.functions.append(found)
                for i, use in enumerate(found.uses):
                    (call,) = found.call(i, use.path.rpartition(".")[2])
                    assert isinstance(call, Call)
                    self.calls[use.path] = call
                statements = found.example.body.statements if found.example.body else ()
                if len(found.uses) == 1 and len(statements) < LONGEST_INLINE:
                    small.add(found.example.path)
        self.network = self._code(tree.blocks[ROOT])
        return small

    # One block

    def _code(self, block: Block) -> BlockCode:
        self._layers: dict[str, tuple[str, Call, Node]] = {}
        steps = self._runs(block, [step for member in block.members for step in self._steps(block, member)])
        shapes = Shapes(0, 0)
        if block.path:
            read, made = (self.graph.by_name[name].shape[0] for name in (block.inputs[0], block.output))
            shapes = Shapes(read, made)
        return BlockCode(block.path, shapes, (), self._body(block, steps), tuple(block.features()))

    def _body(self, block: Block, steps: list[Step]) -> Body:
        if block.path:
            inputs, outputs = arguments(block.inputs, steps), {"": block.output}
        else:
            names = self.graph.inputs
            inputs = {name: "inputs" if len(names) == 1 else f"{identifier(name)}_input" for name in names}
            outputs = dict(zip(self.graph.output_names, self.graph.outputs, strict=True))
        found = body(steps, inputs, outputs)
        made = tuple(Statement(name, (call,)) for name, call, _ in self._layers.values())
        return replace(found, statements=(*made, *found.statements))

    def _steps(self, block: Block, member: Node | str) -> Iterator[Step]:
        if isinstance(member, str):
            child = self.tree.blocks[member]
            local = self.tree.local(member, block.path)
            code = self._call(self.calls[member], name_code(local, bool(block.path)))
            yield Step(child.output, member.rpartition(".")[2], tuple(child.inputs), code)
            return
        local, reads = self.tree.local(member.name, block.path), member.inputs
        module = self.tree.modules[member.name]
        shared = module in self.shared
        positive = self.graph.by_name[reads[0]].kind in NON_NEGATIVE
        place = Place(local, self.tree.local(module, block.path), bool(block.path), shared, positive)
        *before, last = WRITERS[member.kind](member, place)
        joins = member.layer.arity is None
        for i, link in enumerate(before):
            node = f"{member.name}·{i}"
            yield Step(node, place.owner, reads, self._link(link, place, member), member.branches if joins else ())
            reads, joins = (node,), False
        branches = member.branches if joins else ()
        yield Step(member.name, place.owner, reads, self._link(last, place, member), branches, joins=joins)

    def _link(self, link: Link, place: Place, node: Node) -> LayerCode:
        """Return the call of a layer, which stands in a variable where several nodes call it."""
        if link.constructor is None or not place.shared:
            return LayerCode(link.make)
        path = f"{place.module}{link.suffix}"
        name, made, maker = self._layers.setdefault(path, (self._variable(path), link.constructor, node))
        same_arrays = [*LAYOUTS[node.kind](node)] == [*LAYOUTS[maker.kind](maker)]
        if plain((made,)) != plain((link.constructor,)) or not same_arrays:
            self._unequal.append(f"`{node.name}` has the arrays of `{maker.name}`, and other fields")
        return LayerCode(lambda inputs: called((name,), inputs, link.times))

    def _variable(self, module: str) -> str:
        words = {identifier(word) for node in self.graph.nodes for word in (node.name, *node.branches)}
        return free(f"{identifier(module)}_layer", words)

    @staticmethod
    def _call(call: Call, name: str) -> LayerCode:
        """Return the call of a block's function."""

        def make(inputs: Sequence[Expression]) -> Expression:
            given = (*(Argument(x.text) for x in inputs), *call.arguments, Argument((name,), "name"))
            return Expression((Call(call.function, given),), depth=1 + depth(inputs))

        return LayerCode(make)

    # Runs of blocks

    def _runs(self, block: Block, steps: list[Step]) -> list[Step]:
        """Return the steps with numbered blocks of one function that follow each other as loops."""
        paths = {self.tree.blocks[member].output: member for member in block.members if isinstance(member, str)}
        uses = Counter(read for step in steps for read in step.reads)
        found = [
            Attribute(self.tree.local(paths[step.node], block.path), (self.calls[paths[step.node]],))
            for step in steps
            if step.node in paths
        ]
        places = {self.tree.local(path, block.path): node for node, path in paths.items()}
        for group in consecutive(found):
            nodes = [places[attribute.path] for attribute in group]
            start = next(i for i, step in enumerate(steps) if step.node == nodes[0])
            turn = steps[start : start + len(group)]
            alone = all(after.reads == (before.node,) and uses[before.node] == 1 for before, after in pairwise(turn))
            word, first = numbered(group[0].path) or ("", 0)
            zero = places.get(f"{word}{first - 1}")
            # One block alone is a loop, too, where the number of others of its kind is a parameter.
            goes_on = block.path and turn[0].reads == (zero,)
            if not (goes_on or len(group) > 1) or [step.node for step in turn] != nodes:
                continue
            if not alone or len(turn[0].reads) > 1:
                continue
            (call,) = indexed(group, first)
            assert isinstance(call, Call)
            name = f'f"{"{name}_" if block.path else ""}{keras_name(word)}{{i}}"'
            run = Run(word.rpartition(".")[2], first, len(group), ends=first == 0 or zero is not None)
            loop = replace(turn[-1], reads=turn[0].reads, code=self._call(call, name), run=run)
            steps = [*steps[:start], loop, *steps[start + len(group) :]]
        return steps


def _drop_unused(found: BlockClass) -> None:
    """Leave out the parameters that no statement reads: Keras infers the channels that come in."""
    codes = [resolved.code for resolved in found.resolved]
    found.parameters = [p for p in found.parameters if any(re.search(rf"\b{p.name}\b", code) for code in codes)]
    names = [p.name for p in found.parameters]
    if "out_channels" in names and "in_channels" not in names and "channels" not in names:
        found.parameters = [replace(p, name=p.name.replace("out_channels", "channels")) for p in found.parameters]
        found.resolved = [Resolved(re.sub(r"\bout_channels\b", "channels", r.code), r.value) for r in found.resolved]


def local_names(code: BlockCode) -> set[str]:
    """Return the variables of a function."""
    assert code.body is not None
    return {*code.body.inputs, *(statement.target for statement in code.body.statements)}


def function_names(functions: list[BlockClass], network: BlockCode, taken: set[str]) -> Mapping[str, str]:
    """Return the names of the functions by token; no variable has one of them."""
    used = set(taken)
    for code in (network, *(found.example for found in functions)):
        used |= local_names(code)
    for found in functions:
        used |= {parameter.name for parameter in found.parameters}
    result = {}
    for token, name in classes.names(functions, ()).items():
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        result[token] = free(identifier(snake if snake not in used else f"{snake}_block"), used)
        used.add(result[token])
    return result
