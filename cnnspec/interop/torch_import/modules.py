"""Modules of PyTorch that are one layer, whose operations say less than they do: their settings are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cnnspec.interop.importer.network import Network, Place, Value
from cnnspec.layers import Layer
from cnnspec.layers.dropout import Dropout, SpatialDropout
from cnnspec.layers.function import Softsign
from cnnspec.layers.norm import LocalResponseNorm


@dataclass(frozen=True)
class Leaf:
    """The operations of one call of a module that is a layer."""

    layer: Layer
    x: str
    """The name of the node that it reads."""
    y: str
    """The name of the node whose value is its output."""
    parts: Sequence[str]

    def add(self, network: Network, x: Value) -> Value:
        """Add the layer."""
        if isinstance(self.layer, LocalResponseNorm | SpatialDropout):
            return network.add(self.layer, network.image(x).node)
        return network.add(self.layer, x.node).seen(x.view)


def _dropout(module: Any) -> Layer | None:
    return Dropout(rate=module.p) if 0 < module.p < 1 else None


def _spatial_dropout(module: Any) -> Layer | None:
    return SpatialDropout(rate=module.p) if 0 < module.p < 1 else None


def _local_response_norm(module: Any) -> Layer:
    return LocalResponseNorm(size=module.size, alpha=module.alpha, beta=module.beta, k=module.k)


def _softsign(module: Any) -> Layer:
    return Softsign()


LEAVES: dict[str, Callable[[Any], Layer | None]] = {
    "torch.nn.modules.dropout.Dropout": _dropout,
    **{f"torch.nn.modules.dropout.Dropout{rank}d": _spatial_dropout for rank in (1, 2, 3)},
    "torch.nn.modules.normalization.LocalResponseNorm": _local_response_norm,
    "torch.nn.modules.activation.Softsign": _softsign,
}
"""The modules that are one layer of one input, by class; None where they compute nothing."""


class Modules:
    """Which module each operation belongs to."""

    def __init__(self, module: Any, nodes: Sequence[Any]) -> None:
        self.module = module
        self.nodes = list(nodes)
        self.places = {node.name: i for i, node in enumerate(self.nodes)}

    def layer_from(self, node: Any) -> Leaf | None:
        """Return the layer that a module is whose operations begin with a node; None where it is no such module."""
        stack = list((node.meta.get("nn_module_stack") or {}).items())
        if not stack:
            return None
        key, (path, cls) = stack[-1]
        make = LEAVES.get(cls if isinstance(cls, str) else f"{cls.__module__}.{cls.__qualname__}")
        layer = make(self.module.get_submodule(path)) if make else None
        if layer is None:
            return None
        parts = []
        for other in self.nodes[self.places[node.name] :]:
            if key not in (other.meta.get("nn_module_stack") or {}):
                break
            parts.append(other)
        names = {part.name for part in parts}
        read = {x.name for part in parts for x in part.all_input_nodes} - names
        if len(read) != 1:
            return None
        return Leaf(layer, read.pop(), parts[-1].name, [part.name for part in parts])

    def place(self, node: Any) -> Place:
        """Return the innermost module that an operation belongs to."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path = str(stack[-1][0]) if stack else ""
        return Place(path, bool(list(self.module.get_submodule(path).children())))

    def described(self, node: Any) -> str:
        """Return where an operation stands, for messages: its module, and the line of code."""
        path = self.place(node).path
        lines = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines()]
        files = [line for line in lines if line.startswith("File ") and "/torch/" not in line]
        where = files[-1].removeprefix("File ").split(", in ")[0].replace('"', "") if files else ""
        return ", ".join(part for part in (path and f"`{path}`", where) if part) or node.name
