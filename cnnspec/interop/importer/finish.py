"""An imported network with names for its layers, as a spec with weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import takewhile
from typing import NamedTuple

from cnnspec.arrays import Arrays
from cnnspec.errors import ImportingError
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.interop.importer.draft import Draft, Step
from cnnspec.interop.importer.network import Network, Value
from cnnspec.interop.importer.simplify import simplified
from cnnspec.interop.naming import free
from cnnspec.language.names import is_layer_name, is_name
from cnnspec.layers.input import INPUT


class Imported(NamedTuple):
    """A network that was imported: the spec, and its weights by name."""

    spec: Spec
    arrays: Arrays


def finished(network: Network, outputs: Mapping[str, Value], source: str) -> Imported:
    """Return the spec of a network whose outputs are these values, [n, c, ...] each.

    Layers are called after the paths of their arrays where these are known, and else by kind and ordinal; inputs and
    outputs as they are, but for what no name can hold. Raises ImportingError where two outputs of the `source` are one
    value, and where it has no layers.
    """
    steps = {
        node.name: Step(node.name, node.layer, list(node.inputs), dict(node.arrays), node.branches)
        for node in network.builder.nodes
    }
    ends = {name: value.node for name, value in outputs.items()}
    shapes = {node.name: node.shape for node in network.builder.nodes}
    draft = simplified(Draft(steps, network.arrays, ends, shapes, network.paths))
    if same := [name for name, count in Counter(draft.outputs.values()).items() if count > 1]:
        alike = " and ".join(f"`{name}`" for name, node in draft.outputs.items() if node == same[0])
        raise ImportingError(f"the outputs {alike} of the model are one tensor: a spec hands it out once")
    if not any(step.inputs for step in draft.steps.values()):
        raise ImportingError(f"`{source}` has no layers: its outputs are its inputs")
    renamed = _named(draft, network)
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
    by_name: dict[str, str] = {}
    for name, node in draft.outputs.items():
        by_name[free(identifier(name), by_name, "_")] = renamed[node]
    last = builder.nodes[-1].name
    graph = builder.graph(None if list(by_name.values()) == [last] else by_name)
    return Imported(Spec(network.builder.name, graph, settings), arrays)


def _named(draft: Draft, network: Network) -> dict[str, str]:
    """Return a name for each layer: by its arrays or module, or its kind and ordinal.

    One of several inputs keeps its own name.
    """
    found: dict[str, str] = {}
    inputs = [step for step in draft.steps.values() if not step.inputs]
    for step in inputs:
        found[step.name] = INPUT if len(inputs) == 1 else free(identifier(step.name, INPUT), found.values(), "_")
    taken, ordinals = set(found.values()), Counter[str]()
    owned: set[str] = set()
    for step in draft.steps.values():
        paths = {key: network.paths.of(draft.arrays[array]) for key, array in step.arrays.items()}
        name = path_of(paths)
        if name and not owned & set(step.arrays.values()):  # a layer that shares has no name of its own
            found[step.name] = free(name, taken, "_")
            taken.add(found[step.name])
        owned |= set(step.arrays.values())
    for step in draft.steps.values():
        kind = step.layer.kind
        ordinals[kind] += 1  # of all, as a spec counts
        if step.name in found:
            continue
        place = network.places.get(step.name)
        name = place.name_for(kind, ordinals[kind]) if place else ""
        found[step.name] = free(name if _can_be_called(name) else f"{kind}{ordinals[kind]}", taken, "_")
        taken.add(found[step.name])
    return found


def path_of(paths: Mapping[str, str]) -> str:
    """Return a name for a layer by the paths of its arrays: `stem.conv` where these are `stem.conv.weight`, …

    An array that has another name there than in the layer gives its whole path (`block.gamma`), several of them what
    they have in common. The name is empty where they have nothing in common that can be a name.
    """
    known = {key: path for key, path in paths.items() if path}
    modules = {path.removesuffix(f".{key}") for key, path in known.items()}
    if len(modules) > 1:
        modules = {path.rpartition(".")[0] for path in known.values()}
    common = takewhile(
        lambda parts: len(set(parts)) == 1, zip(*(module.split(".") for module in modules), strict=False)
    )
    name = ".".join(column[0] for column in common)
    return name if _can_be_called(name) else ""


def _can_be_called(name: str) -> bool:
    """Whether a layer may be called this."""
    return is_layer_name(name) and name != INPUT


def identifier(name: str, otherwise: str = "output") -> str:
    """Return a name as a spec can have it (see `language.names`); another one where nothing of it is left."""
    text = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or otherwise
    return text if is_name(text) else f"_{text}"
