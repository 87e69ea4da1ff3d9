"""The code of every block of a network in PyTorch, from the innermost to the network itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise

from cnnspec.errors import ExportError
from cnnspec.graph.graph import Graph, Node
from cnnspec.interop.source import classes
from cnnspec.interop.source.classes import Attribute, BlockClass, BlockCode
from cnnspec.interop.source.expression import LayerCode
from cnnspec.interop.source.forward import Body, Run, Step, arguments, body, network_arguments
from cnnspec.interop.source.names import MODULE_ATTRIBUTES, is_attribute, numbered
from cnnspec.interop.source.parameters import Shapes
from cnnspec.interop.source.runs import at, consecutive, indexed, is_block
from cnnspec.interop.source.text import Argument, Call, Slot, Text, slots
from cnnspec.interop.source.torch_layers import SHARED, WRITERS
from cnnspec.interop.source.torch_windows import called, owner
from cnnspec.interop.source.tree import ROOT, Block, Tree

LONGEST_INLINE = 4
"""How many modules a chain has at most that needs no class of its own."""
FEWEST_IN_LOOP = 3
"""How many modules in turn are called in a loop."""


class Blocks:
    """The classes of a graph's blocks, and the code of the network itself."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.classes: list[BlockClass] = []
        plain: set[str] = set()
        while differing := self._write(Tree(graph, plain)):
            plain |= differing

    def _write(self, tree: Tree) -> set[str]:
        """Write all blocks; return those that share arrays with a block that they are not equal to."""
        self.tree = tree
        self.makers = {tree.modules[node.name]: node for node in reversed(self.graph.nodes) if node.arrays}
        """The first node that has the arrays of a module."""
        self.classes = []
        self.calls: dict[str, Text] = {}
        codes: dict[str, BlockCode] = {}
        count = 0
        for level in tree.levels():
            written = [self._code(tree.blocks[path]) for path in level if path]
            codes |= {code.path: code for code in written}
            own = [code for code in written if tree.blocks[code.path].module == code.path]
            groups = classes.grouped(own, count, ("channels", "in_channels", "out_channels"))
            count += len(groups)
            for found in groups:
                self._add(found)
        self.network = self._code(tree.blocks[ROOT])
        sharing = {path: block.module for path, block in tree.blocks.items() if block.module != path}
        return {path for path, module in sharing.items() if not _equal(codes[path], codes.get(module))}

    def _add(self, found: BlockClass) -> None:
        if inline := _inline(found):
            self.calls[found.example.path] = inline
            return
        self.classes.append(found)
        for i, use in enumerate(found.uses):
            self.calls[use.path] = found.call(i, use.path.rpartition(".")[2])

    # One block

    def _code(self, block: Block) -> BlockCode:
        steps = [self._step(block, member) for member in block.members]
        attributes = self._attributes(block)
        chain = block.path != ROOT and _is_chain(block, steps)
        modules = self._chain(block, attributes) if chain else None
        in_chain = modules is not None
        attributes, steps = self._runs(block, attributes if modules is None else modules, steps, in_chain)
        shapes = Shapes(0, 0)
        if block.path:
            read, made = (self.graph.by_name[name].shape[0] for name in (block.inputs[0], block.output))
            shapes = Shapes(read, made)
        return BlockCode(
            block.path,
            shapes,
            tuple(_nested(attributes)),
            None if in_chain else self._body(block, steps),
            tuple(block.features()),
        )

    def _body(self, block: Block, steps: list[Step]) -> Body:
        inputs = arguments(block.inputs, steps) if block.path else network_arguments(self.graph.inputs)
        outputs = {"": block.output}
        if not block.path:
            outputs = dict(zip(self.graph.output_names, self.graph.outputs, strict=True))
        return body(steps, inputs, outputs)

    def _step(self, block: Block, member: Node | str) -> Step:
        if isinstance(member, str):
            child = self.tree.blocks[member]
            module = self._access(block, child.module)
            code = LayerCode(lambda inputs: called(module, inputs), is_call=True)
            return Step(child.output, member.rpartition(".")[2], tuple(child.inputs), code)
        code = self._layer(block, member)
        return Step(member.name, owner(member), member.inputs, code, member.branches, joins=member.layer.arity is None)

    def _layer(self, block: Block, node: Node) -> LayerCode:
        module = self._access(block, self.tree.modules[node.name]) if node.arrays else ""
        code = WRITERS[node.kind](node, module)
        if not node.arrays:
            return code
        maker = self.makers[self.tree.modules[node.name]]
        if _numbers(code.constructor) == _numbers(WRITERS[node.kind](maker, "").constructor):
            return code
        if node.kind not in SHARED:
            raise ExportError(f"`{node.name}` has the arrays of `{maker.name}`, and other fields: it cannot be written")
        return SHARED[node.kind](node, module)

    # Modules

    def _attributes(self, block: Block) -> list[Attribute]:
        """Return the modules that a block has, in the order in which the network uses them."""
        found = []
        for path in self.tree.owned[block.module]:
            text = self.calls[path] if path in self.tree.blocks else self._constructor(path)
            found.append(Attribute(self.tree.local(path, block.module), text))
        return found

    def _constructor(self, path: str) -> Text:
        maker = self.makers[path]
        return WRITERS[maker.kind](maker, "").constructor or ()

    def _chain(self, block: Block, attributes: list[Attribute]) -> list[Attribute] | None:
        """Return the modules of a chain in order, those without arrays too; None where a layer has no module."""
        by_path = {attribute.path: attribute for attribute in attributes}
        found = []
        for member in block.members:
            name = member if isinstance(member, str) else member.name
            local = self.tree.local(name, block.path)
            if local in by_path:
                found.append(by_path.pop(local))
            elif isinstance(member, Node) and (made := self._layer(block, member).stateless) and is_attribute(local):
                found.append(Attribute(local, made))
            else:
                return None
        return None if by_path or any("." in attribute.path for attribute in found) else found

    def _access(self, block: Block, path: str) -> str:
        """Return the code by which a block reaches a module."""
        reached, code = block.module, "self"
        for part in self.tree.local(path, block.module).split("."):
            holder = reached != block.module and reached not in self.tree.blocks
            if holder:
                code += f'["{part}"]'
            elif is_attribute(part):
                code += f".{part}"
            else:
                code += f'._modules["{part}"]'
            reached = f"{reached}.{part}" if reached else part
        return code

    # Runs of blocks

    def _runs(
        self, block: Block, attributes: list[Attribute], steps: list[Step], in_chain: bool
    ) -> tuple[list[Attribute], list[Step]]:
        """Return attributes and steps with numbered modules of one class that follow each other as runs."""
        result: list[Attribute] = []
        for group in consecutive(attributes):
            found = numbered(group[0].path)
            called_in_turn = in_chain or self._calls(block, steps, group)
            if found is None or not is_block(group[0].text) or not called_in_turn:
                result += group
                continue
            word, first = found
            zero = any(a.path == f"{word}{first - 1}" for a in attributes)
            run = Run(word, first, len(group), ends=first == 0 or zero)
            result.append(Attribute(group[0].path, indexed(group, first), run))
            if not in_chain:
                start = steps.index(self._calls(block, steps, group)[0])
                code = LayerCode(partial(called, f'self.get_submodule(f"{word}{{i}}")'))
                last = steps[start + len(group) - 1]
                steps = [
                    *steps[:start],
                    replace(last, reads=steps[start].reads, code=code, run=run),
                    *steps[start + len(group) :],
                ]
        return result, steps

    def _calls(self, block: Block, steps: list[Step], group: list[Attribute]) -> list[Step]:
        """Return the steps that call the modules of a group in turn; none where others come between or they are few."""
        if len(group) < FEWEST_IN_LOOP or not is_block(group[0].text):
            return []
        paths = [f"{block.module}.{a.path}" if block.module else a.path for a in group]
        nodes = [self.tree.blocks[path].output for path in paths if path in self.tree.blocks]
        start = next((i for i, step in enumerate(steps) if step.node == nodes[0]), 0)
        found = steps[start : start + len(group)]
        in_turn = [step.node for step in found] == nodes
        alone = all(after.reads == (before.node,) for before, after in pairwise(found))
        once = Counter(read for step in steps for read in step.reads)
        return found if in_turn and alone and all(once[node] == 1 for node in nodes[:-1]) else []


def _is_chain(block: Block, steps: list[Step]) -> bool:
    """Whether each step reads the one before it, and the block is worth a chain of modules."""
    before = [block.inputs[0], *(step.node for step in steps)]
    follows = all(step.reads == (read,) for step, read in zip(steps, before, strict=False))
    calls = all(step.code.is_call for step in steps)
    return follows and (calls or any(isinstance(member, str) for member in block.members))


def _nested(attributes: list[Attribute]) -> Iterator[Attribute]:
    """Yield the attributes, with those of one prefix in an nn.ModuleDict."""
    done: set[str] = set()
    for attribute in attributes:
        head = attribute.path.partition(".")[0]
        if "." not in attribute.path:
            yield attribute
        elif head not in done:
            done.add(head)
            inside = [
                replace(a, path=a.path.removeprefix(f"{head}.")) for a in attributes if a.path.startswith(f"{head}.")
            ]
            hidden = any(a.path.partition(".")[0] in MODULE_ATTRIBUTES for a in inside)
            text: Text = ("Modules({" if hidden else "nn.ModuleDict({",)
            for i, inner in enumerate(_nested(inside)):
                text = (*text, ", " if i else "", f'"{inner.path}": ', *inner.text)
            yield Attribute(head, (*text, "})"))


def _inline(found: BlockClass) -> Text | None:
    """Return a chain that is used once, and is short, as one expression."""
    code = found.example
    if len(found.uses) > 1 or code.body is not None:
        return None
    made: list[Attribute] = []
    for attribute in code.attributes:
        run = attribute.run
        if run and run.count > 1:
            made += [Attribute(f"{run.stem}{run.first + i}", at(attribute.text, i)) for i in range(run.count)]
        else:
            made.append(attribute)
    if len(made) > LONGEST_INLINE or not all(is_attribute(a.path) for a in made):
        return None
    arguments = tuple(Argument(a.text, a.path) for a in made)
    return (Call("nn.Sequential", (Argument((Call("OrderedDict", arguments),)),)),)


def _numbers(text: Text | None) -> list[Slot]:
    return [replace(slot, owner="") for slot in slots(text or ())]


def _equal(a: BlockCode, b: BlockCode | None) -> bool:
    """Whether two blocks are the same code with the same numbers."""
    return b is not None and a.key == b.key and [s.value for s in a.slots] == [s.value for s in b.slots]
