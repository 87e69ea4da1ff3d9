"""An imported network with names for its layers, as a spec with weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from cnnspec.arrays import Arrays
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.interop.importer.network import Network, Value
from cnnspec.interop.importer.simplify import Draft, Step, simplified
from cnnspec.layers.input import INPUT


class Imported(NamedTuple):
    """A network that was imported: the spec, and its weights by name."""

    spec: Spec
    arrays: Arrays


def finished(network: Network, outputs: Mapping[str, Value], names: Mapping[str, str] | None = None) -> Imported:
    """Return the spec of a network whose outputs are these values, [n, c, ...] each.

    `names` are the names that layers are to have, by the temporary ones; others get their kind and ordinal.
    """
    steps = {
        node.name: Step(
            node.name, node.layer, list(node.inputs), dict(node.arrays), node.branches, network.hints.get(node.name, "")
        )
        for node in network.builder.nodes
    }
    draft = simplified(Draft(steps, network.arrays, {name: value.node for name, value in outputs.items()}))
    renamed = _named(draft, dict(names or {}))
    builder = GraphBuilder(network.builder.name)
    arrays: Arrays = {}
    new_arrays: dict[str, str] = {}
    settings: dict[str, Input] = {}
    for step in draft.steps.values():
        name = renamed[step.name]
        if not step.inputs:
            old = network.builder.find(step.name)
            assert old is not None
            builder.input(old.shape, name)
            settings[name] = Input(shape=old.shape)
            continue
        own = {key: new_arrays.setdefault(array, f"{name}.{key}") for key, array in step.arrays.items()}
        builder.add(name, step.layer, [renamed[x] for x in step.inputs], branches=step.branches, arrays=own)
        arrays |= {own[key]: draft.arrays[array] for key, array in step.arrays.items()}
    by_name = {_identifier(name) or node: renamed[node] for name, node in draft.outputs.items()}
    last = builder.nodes[-1].name
    graph = builder.graph(None if list(by_name.values()) == [last] else by_name)
    return Imported(Spec(network.builder.name, graph, settings), arrays)


def _named(draft: Draft, wanted: dict[str, str]) -> dict[str, str]:
    """Return a name for each layer: as wanted, or as its operation is called, or its kind and ordinal."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    inputs = [step for step in draft.steps.values() if not step.inputs]
    for step in inputs:
        found[step.name] = INPUT if len(inputs) == 1 else _unique(_identifier(step.name) or INPUT, taken)
        taken.add(found[step.name])
    for step in draft.steps.values():
        name = _identifier(wanted.get(step.name, ""))
        if step.inputs and name:
            found[step.name] = _unique(name, taken)
            taken.add(found[step.name])
    ordinals: Counter[str] = Counter()
    for step in draft.steps.values():
        if not step.inputs:
            continue
        ordinals[step.layer.kind] += 1
        if step.name not in found:
            found[step.name] = _unique(f"{step.layer.kind}{ordinals[step.layer.kind]}", taken)
            taken.add(found[step.name])
    return found


def _unique(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return next(f"{name}_{i}" for i in range(2, len(taken) + 3) if f"{name}_{i}" not in taken)


def _identifier(name: str) -> str:
    """Return a name as a spec can have it: letters, digits, underscores, and dots between them."""
    parts = [re.sub(r"\W+", "_", part).strip("_") for part in name.split(".")]
    return ".".join(part for part in parts if part)
