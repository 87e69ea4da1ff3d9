"""The blocks of a graph: the tree that the dotted names of its layers make, and which of them can be called.

A block is called as a function where it has one output and everything that it reads is there when it is called; and
where its arrays are its own, or all those of one other block. Any other is only a prefix of names: its layers are
called one by one from the block around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cnnspec.errors import ExportError
from cnnspec.graph.graph import Graph, Node

ROOT = ""


@dataclass
class Block:
    """A callable block: the network itself, or the layers with a common prefix."""

    path: str
    module: str
    """The block whose arrays it uses: itself, or the one that it shares with."""
    inputs: list[str] = field(default_factory=list)
    """The nodes outside of it that it reads, in the order of reading."""
    output: str = ""
    members: list[Node | str] = field(default_factory=list)
    """Its layers, and the paths of the blocks in it, in the order of execution."""

    def features(self) -> Iterator[str]:
        """Yield words for what it does: add to its input, shrink the image."""
        nodes = [member for member in self.members if isinstance(member, Node)]
        if any(node.layer.sums_inputs and set(node.inputs) & set(self.inputs) for node in nodes):
            yield "Residual"
        if any(w.stride > 1 for node in nodes for w in node.windows):
            yield "Down"


class Tree:
    """The callable blocks of a graph by path; `plain` are paths that must not become blocks."""

    def __init__(self, graph: Graph, plain: Iterable[str] = ()) -> None:
        self.graph = graph
        self.modules = {node.name: module_path(node) for node in graph.nodes}
        self.alive = _alive(graph)
        self.blocks = {ROOT: Block(ROOT, ROOT)}
        self._plain = set(plain)
        self._find()
        self._fill()
        self.owned = self._owned()
        """The modules of each block by path, in the order of use: layers with arrays, and blocks."""

    def home(self, path: str) -> str:
        """Return the innermost block around a node or a block."""
        return next(prefix for prefix in prefixes(path) if prefix in self.blocks)

    def local(self, path: str, block: str) -> str:
        """Return a path as it is within a block."""
        return path.removeprefix(f"{block}.") if block else path

    def levels(self) -> list[list[str]]:
        """Return the paths of the blocks by height: those that have no others in them first."""
        heights = dict.fromkeys(self.blocks, 0)
        for path in sorted(self.blocks, key=lambda path: -path.count(".") - bool(path)):
            for prefix in prefixes(path):
                if prefix in heights:
                    heights[prefix] = max(heights[prefix], heights[path] + 1)
        order = {node.name: i for i, node in enumerate(self.graph.nodes)}
        levels: list[list[str]] = [[] for _ in range(max(heights.values()) + 1)]
        for path in sorted(heights, key=lambda path: order.get(self.blocks[path].output, len(order))):
            levels[heights[path]].append(path)
        return levels

    def _find(self) -> None:
        inside: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            for prefix in prefixes(node.name):
                if prefix:
                    inside.setdefault(prefix, []).append(node)
        order = {node.name: i for i, node in enumerate(self.graph.nodes)}
        readers: dict[str, set[str]] = {}
        for node in self.graph.nodes:
            if node.name in self.alive:
                for read in node.inputs:
                    readers.setdefault(read, set()).add(node.name)
        for path, nodes in inside.items():
            if path in order and self.graph.by_name[path].arrays:
                raise ExportError(
                    f"`{path}` is a layer with arrays and a prefix of other layers: rename one of the two"
                )
            block = self._block(path, nodes, order, readers)
            if block is not None and path not in self._plain:
                self.blocks[path] = block
        while lost := [path for path, block in self.blocks.items() if block.module not in self.blocks]:
            for path in lost:
                del self.blocks[path]

    def _block(self, path: str, nodes: list[Node], order: dict[str, int], readers: dict[str, set[str]]) -> Block | None:
        """Return the block of a path, if it can be called."""
        names = {node.name for node in nodes}
        outputs = [
            node.name for node in nodes if node.name in self.graph.outputs or readers.get(node.name, set()) - names
        ]
        alive = [node for node in nodes if node.name in self.alive]
        module = self._module_of(path, nodes)
        if len(outputs) != 1 or module is None:
            return None
        reads = dict.fromkeys(read for node in alive for read in node.inputs if read not in names)
        if not reads or any(order[read] > order[outputs[0]] for read in reads):
            return None
        return Block(path, module, list(reads), outputs[0])

    def _module_of(self, path: str, nodes: list[Node]) -> str | None:
        """Return the block whose arrays all of the nodes use; None where these are of several."""
        homes = [(node.name, module) for node in nodes if node.arrays and (module := self.modules[node.name])]
        if all(module.startswith(f"{path}.") for _, module in homes):
            return path
        name, module = homes[0]
        local = name.removeprefix(path)
        other = module.removesuffix(local)
        return other if all(found == other + name.removeprefix(path) for name, found in homes) else None

    def _fill(self) -> None:
        """Give each block its members, in the order in which they can run."""
        order = {node.name: i for i, node in enumerate(self.graph.nodes)}
        found: list[tuple[int, str, Node | str]] = []
        for path, block in self.blocks.items():
            if path:
                found.append((order[block.output], self.home(path), path))
        for node in self.graph.nodes:
            if node.name in self.alive and node.inputs:
                found.append((order[node.name], self.home(node.name), node))
        for _, home, member in sorted(found, key=lambda entry: (entry[0], isinstance(entry[2], str))):
            self.blocks[home].members.append(member)

    def _owned(self) -> dict[str, list[str]]:
        found: dict[str, dict[str, None]] = {path: {} for path in self.blocks}
        for node in self.graph.nodes:
            path = self.modules[node.name]
            inner, *around = [p for p in prefixes(path) if p in self.blocks]
            if node.arrays:
                found[inner][path] = None
            for outer in around:
                if self.blocks[inner].module == inner:
                    found[outer][inner] = None
                inner = outer
        return {path: list(paths) for path, paths in found.items()}


def prefixes(name: str) -> Iterator[str]:
    """Yield the prefixes of a dotted name, the longest first, down to the root."""
    while name:
        name = name.rpartition(".")[0]
        yield name


def module_path(node: Node) -> str:
    """Return the name of the layer whose arrays a node has; its own where it has none.

    Raises ExportError where its arrays are those of several layers.
    """
    paths = {name.removesuffix(f".{key}") for key, name in node.arrays.items()}
    if any(not name.endswith(f".{key}") for key, name in node.arrays.items()) or len(paths) > 1:
        listed = ", ".join(f"`{name}`" for name in node.arrays.values())
        raise ExportError(f"the arrays of `{node.name}` are not those of one layer: {listed}")
    return paths.pop() if paths else node.name


def _alive(graph: Graph) -> set[str]:
    """Return the nodes that an output depends on."""
    found = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.name in found:
            found.update(node.inputs)
    return found
