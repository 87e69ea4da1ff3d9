"""`share: name` on a layer or on the use of a block: the weights are those of an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from cnnspec.diagnostics import Label, Span
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Node
from cnnspec.language.entry import Entry
from cnnspec.language.layer_placer import SHARE, LayerPlacer
from cnnspec.language.names import LayerName, Names
from cnnspec.language.scope import SharedBlock
from cnnspec.layers import Layer, ShapeError
from cnnspec.wording import quoted


class Sharing:
    """Which arrays each layer takes over, from the layer that its entry or a block around it names.

    The norm and the activation that an entry adds to its layer share as well, with those that the other entry adds.
    """

    def __init__(self, names: Names, placer: LayerPlacer) -> None:
        self.names = names
        self.placer = placer
        self._ranges: dict[str, tuple[int, int]] = {}
        """The first and the last + 1 of the nodes of each named use of a block."""
        self._owners: dict[str, str] = {}
        """The layers that share weights by their own entries, and the layers whose weights they share."""
        self._added: dict[tuple[str, str], str] = {}
        """The layers that `norm` and `activation` add, by the layer before and the key."""

    @property
    def _builder(self) -> GraphBuilder:
        return self.placer.builder

    # Layers

    def of_layer(self, layer: Layer, name: str, entry: Entry) -> Mapping[str, str] | None:
        """Return the arrays that a layer takes over, by parameter; None where it has its own."""
        node = entry.get(SHARE)
        if node is None:
            other = self._owners.get(name)
            if other is None or not _may_have_parameters(layer):
                return self._in_block(layer, name, entry)
            return self._arrays_of(layer, other, entry)
        if not _may_have_parameters(layer):
            message = f"`{entry.kind}` has no weights to share"
            entry.scope.error("share-mismatch", message, node.span, help=f"leave `{SHARE}` out")
            return None
        other = self.names.find(SHARE, node, entry.scope)
        if other is None:
            return None
        self._owners[name] = other
        return self._arrays_of(layer, other, entry)

    def add(self, name: str, key: str, before: str) -> None:
        """Remember that `norm` or `activation` of the layer `before` adds a layer, which shares as that one does."""
        self._added[before, key] = name
        other = self._builder.find(self._added.get((self._owners.get(before, ""), key), ""))
        if other is not None and other.arrays:
            self._owners[name] = other.name

    def _in_block(self, layer: Layer, name: str, entry: Entry) -> Mapping[str, str] | None:
        shared = entry.scope.shared
        if shared is None or not _may_have_parameters(layer):
            return None
        return self._arrays_of(layer, shared.other + name.removeprefix(shared.own), entry)

    def _arrays_of(self, layer: Layer, other: str, entry: Entry) -> Mapping[str, str] | None:
        if self.placer.nodes is None:
            return None  # an error may hide the other layer
        found = self._builder.find(other)
        if found is None:
            self._no_such_layer(other, entry)
            return None
        label = [Label(found.span, f"is `{found.kind}`")] if found.span else []
        keys = _keys(layer, found) if found.kind == entry.kind else set()
        if found.kind != entry.kind:
            message, remedy = f"`{entry.kind}` shares no weights with a layer of another kind, `{other}`", ""
        elif only := sorted(keys ^ found.arrays.keys()):
            theirs = only[0] in found.arrays
            message = f"`{entry.kind}` shares the weights of `{other}`, and only one of the two has a {only[0]}"
            remedy = f"`bias: {str(theirs).lower()}`" if only[0] == "bias" else ""
            label = [Label(found.span, f"has {'a' if theirs else 'no'} {only[0]}")] if found.span else []
        elif not keys and entry.get(SHARE) is not None:
            message, remedy = f"`{entry.kind}` has no weights to share here", f"leave `{SHARE}` out"
        else:
            return found.arrays
        entry.scope.error("share-mismatch", message, self._span(entry), "", *label, help=remedy)
        return None

    def _no_such_layer(self, other: str, entry: Entry) -> None:
        """Report that a layer's counterpart is no layer."""
        if other in self._ranges:
            inside = [node.name for node in self._nodes(other) if node.kind == entry.kind]
            message = f"`{other}` is a use of a block, and a layer shares the weights of one layer"
            remedy = f"did you mean `{inside[0]}`?" if inside else ""
        elif other in self.names.outputs:
            message, remedy = f"`{other}` is a repeat, and a layer shares the weights of one layer", ""
        else:
            shared = entry.scope.shared
            assert shared is not None  # a name that an entry holds was looked up
            message = (
                f"`{shared.other[:-1]}` has no layer {quoted(other.removeprefix(shared.other))} to share weights with"
            )
            remedy = "both uses of the block need layers of the same names"
        entry.scope.error("share-mismatch", message, self._span(entry), help=remedy)

    @staticmethod
    def _span(entry: Entry) -> Span:
        return entry.span_of(SHARE) if entry.get(SHARE) is not None else entry.span

    # Blocks

    def of_block(self, name: LayerName | None, entry: Entry) -> SharedBlock | None:
        """Return how a use of a block shares the weights of another; None where it does not, or cannot."""
        scope, node = entry.scope, entry.get(SHARE)
        if node is None:
            return None
        if name is None:
            if entry.get("name") is None:
                message, remedy = "a use of a block that shares weights has no name", "add a `name`"
                scope.error("share-mismatch", message, node.span, help=remedy)
            return None
        other = self.names.find(SHARE, node, scope)
        if other is None:
            return None
        if other not in self._ranges:
            place = Label(self.names.outputs[other].span, "stands here")
            message = f"`{other}` is no use of a block, and a block shares the weights of another use"
            scope.error("share-mismatch", message, node.span, "", place)
            return None
        return SharedBlock(f"{name.full}.", f"{other}.", node.span)

    def end_block(self, name: LayerName | None, first: int, entry: Entry, shared: SharedBlock | None) -> None:
        """Remember the nodes of a use of a block, from the node `first` on; report those that it should share."""
        if name is None:
            return
        self._ranges[name.full] = (first, len(self._builder.nodes))
        if shared is None or self.placer.nodes is None:
            return
        own = {node.name.removeprefix(shared.own) for node in self._nodes(name.full) if node.arrays}
        others = [node for node in self._nodes(shared.other[:-1]) if node.arrays]
        left = [node for node in others if node.name.removeprefix(shared.other) not in own]
        if left:
            label = [Label(left[0].span, "has weights")] if left[0].span else []
            message = f"`{name.given}` has no layer that shares the weights of `{left[0].name}`"
            remedy = "both uses of the block need layers of the same names"
            entry.scope.error("share-mismatch", message, shared.span, "", *label, help=remedy)
        elif not own:
            message = f"`{name.given}` has no weights to share"
            entry.scope.error("share-mismatch", message, shared.span, help=f"leave `{SHARE}` out")

    def _nodes(self, block: str) -> Sequence[Node]:
        return self._builder.nodes[slice(*self._ranges[block])]


def _keys(layer: Layer, other: Node) -> Set[str]:
    """Return the names of a layer's parameters, which do not depend on its input."""
    try:
        return layer.parameters(*other.in_shapes).keys()
    except ShapeError:  # of another rank, which is reported where the layer is placed
        return other.arrays.keys()


def _may_have_parameters(layer: Layer) -> bool:
    return type(layer).parameters is not Layer.parameters
