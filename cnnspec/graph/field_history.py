"""How the receptive field of a node comes about, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from cnnspec.graph.costs import receptive_fields
from cnnspec.graph.graph import Graph
from cnnspec.layers.base import Fields
from cnnspec.layers.traced_field import TracedField


class FieldStep(NamedTuple):
    """A layer that changes the receptive field, and the formulas along each axis."""

    name: str
    fields: Fields
    """The receptive field behind it, along each axis."""
    formulas: tuple[tuple[str, ...], ...]
    """The formulas of each axis, one after the other; none of the input."""


def traced_fields(graph: Graph) -> dict[str, Fields]:
    """Return the receptive field of each node along each axis, with its steps: what `field_history` goes back along."""
    return receptive_fields(graph, TracedField.start)


def field_history(graph: Graph, name: str, traced: Mapping[str, Fields] | None = None) -> list[FieldStep]:
    """Return the layers that change the receptive field on the way from an input to a node, with their formulas.

    Where branches meet, it is the way through the branch whose field is the largest. Nothing where the node has no
    receptive field. `traced` is what `traced_fields` returns, for many nodes of one graph.
    """
    found = traced_fields(graph) if traced is None else traced
    if not found[name]:
        return []
    history: list[FieldStep] = []
    node = graph.by_name[name]
    while True:
        fields = found[node.name]
        formulas = tuple(field.steps if isinstance(field, TracedField) else () for field in fields)
        if not node.inputs:
            return [FieldStep(node.name, fields, formulas), *history[::-1]]
        widest = max(node.inputs, key=lambda read: math.prod(field.size for field in found[read]))
        # A merge on the way tells nothing where the widest branch is the largest along every axis.
        if any(formulas) and (node.name == name or len(node.inputs) == 1 or fields != found[widest]):
            history.append(FieldStep(node.name, fields, formulas))
        node = graph.by_name[widest]
