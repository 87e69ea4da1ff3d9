"""`share: name` on a layer or on the use of a block: the weights are those of an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Set

from cnnspec.diagnostics import Label
from cnnspec.graph.graph import Node
from cnnspec.language.entry import Entry
from cnnspec.language.layer_placer import LayerPlacer
from cnnspec.language.names import LayerName, Names
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Layer, ShapeError
from cnnspec.wording import quoted

SHARE = "share"


class Sharing:
    """Which arrays each layer takes over, from the layer that its entry or a block around it names."""

    def __init__(self, names: Names, placer: LayerPlacer) -> None:
        self.names = names
        self.placer = placer

    def of_block(self, node: YamlNode, name: LayerName | None, entry: Entry) -> tuple[str, str] | None:
        """Return the prefixes of a block's layers and of those whose weights they use; report what has none."""
        scope = entry.scope
        if name is None:
            remedy = "add a `name`, which the names of its layers begin with"
            scope.error("share-mismatch", "a use of a block that shares weights has no name", node.span, help=remedy)
            return None
        other = self.names.find(SHARE, node, scope)
        if other is None:
            return None
        if not any(known.startswith(f"{other}.") for known in self.names.outputs):
            message = f"`{other}` is a layer, and a block shares the weights of another use of a block"
            scope.error("share-mismatch", message, node.span)
            return None
        return f"{name.full}.", f"{other}."

    def arrays(self, layer: Layer, name: str, entry: Entry) -> Mapping[str, str] | None:
        """Return the arrays that a layer takes over, by parameter; None where it has its own."""
        scope, node = entry.scope, entry.get(SHARE)
        if node is not None:
            if not _has_parameters(layer):
                scope.error("share-mismatch", f"`{entry.kind}` has no weights to share", node.span)
                return None
            other = self.names.find(SHARE, node, scope)
            return None if other is None else self._arrays_of(layer, other, entry)
        if scope.shared is None or not _has_parameters(layer):
            return None
        own, others = scope.shared
        return self._arrays_of(layer, others + name.removeprefix(own), entry)

    def _arrays_of(self, layer: Layer, other: str, entry: Entry) -> Mapping[str, str] | None:
        if self.placer.nodes is None:
            return None  # an error may hide the other layer
        scope, span = entry.scope, entry.span_of(SHARE)
        found: Node | None = next((node for node in self.placer.nodes if node.name == other), None)
        if found is None:
            message = f"there is no layer {quoted(other)}, whose weights this one would share"
            scope.error("share-mismatch", message, span)
        elif found.kind != entry.kind:
            label = [Label(found.span, f"is a `{found.kind}`")] if found.span else []
            message = f"a `{entry.kind}` shares no weights with `{other}`"
            scope.error("share-mismatch", message, span, "", *label)
        elif different := sorted(_keys(layer, found) ^ found.arrays.keys()):
            message = f"only one of `{other}` and the layer that shares its weights has a {different[0]}"
            scope.error("share-mismatch", message, span)
        else:
            return found.arrays
        return None


def _keys(layer: Layer, other: Node) -> Set[str]:
    """Return the names of a layer's parameters, which do not depend on its input."""
    try:
        return layer.parameters(*other.in_shapes).keys()
    except ShapeError:  # of another rank, which is reported where the layer is placed
        return other.arrays.keys()


def _has_parameters(layer: Layer) -> bool:
    return type(layer).parameters is not Layer.parameters
