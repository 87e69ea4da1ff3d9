"""Layers that training leaves as they are, and those that it changes at a rate of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from cnnspec.errors import TrainingError
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.selection import matching, proposal, selected
from cnnspec.graph.training import Train


class SettingFault(NamedTuple):
    """A setting of `train:` that does not fit the network."""

    code: str
    path: tuple[str | int, ...]
    """The key of the setting, and the key or the index in it."""
    message: str
    help: str


def frozen(graph: Graph, train: Train) -> Graph:
    """Return the graph with the layers of `freeze` marked as frozen; raise TrainingError where settings do not fit.

    Its values at inference are the same. In training, a frozen layer computes as at inference, and none of its arrays
    changes.
    """
    check_settings(graph.nodes, train)
    chosen = _frozen_names(graph.nodes, train)
    nodes = tuple(_frozen(node) if node.name in chosen else node for node in graph.nodes)
    return replace(graph, nodes=nodes) if chosen else graph


def check_settings(nodes: Sequence[Node], train: Train) -> None:
    """Raise TrainingError where `freeze` and `rates` do not fit the network, with all that is wrong."""
    if found := list(faults(nodes, train)):
        raise TrainingError("\n".join(f"{fault.message}: {fault.help}" for fault in found))


def check_frozen(graph: Graph, train: Train) -> None:
    """Raise TrainingError where settings do not fit, or the graph's frozen layers are not those of `freeze`."""
    check_settings(graph.nodes, train)
    marked = {node.name for node in graph.nodes if node.frozen}
    if differing := sorted(marked ^ _frozen_names(graph.nodes, train)):
        state = "frozen" if differing[0] in marked else "not frozen"
        raise TrainingError(
            f"`{differing[0]}` is {state} in this model, and `freeze` says otherwise: build the model of a spec "
            "with these training settings"
        )


def norms_behind_frozen(graph: Graph) -> list[str]:
    """Return the layers that normalise the batch behind a frozen layer with weights, and are not frozen themselves."""
    frozen_layers = {node.name for node in graph.nodes if node.frozen and node.arrays}
    return [node.name for node in graph.nodes if node.normalises_batch and not frozen_layers.isdisjoint(node.inputs)]


def with_arrays(nodes: Iterable[Node]) -> list[str]:
    """Return the names of the layers that have arrays."""
    return [node.name for node in nodes if node.arrays]


def faults(nodes: Sequence[Node], train: Train) -> Iterator[SettingFault]:
    """Yield what is wrong with `freeze` and `rates`: names without layers, arrays that are shared, nothing to train."""
    layers = [node.name for node in nodes if node.inputs]
    unknown = [
        *unmatched("freeze", train.freeze, layers),
        *unmatched("rates", train.rates, with_arrays(nodes)),
    ]
    yield from unknown
    if unknown:
        return
    chosen = _frozen_names(nodes, train)
    if crossing := _crossing(nodes, {name: name in chosen for name in layers}):
        one, other = sorted(crossing, key=lambda name: name not in chosen)
        message = f"`{one}` is frozen and shares weights with `{other}`, which is not"
        yield SettingFault("share-mismatch", ("freeze",), message, f"freeze `{other}` as well, or neither of them")
    if crossing := _crossing(nodes, factors_by_layer(nodes, train.rates)):
        one, other = crossing
        message = f"`{one}` and `{other}` share weights, and have different `rates`"
        yield SettingFault("share-mismatch", ("rates",), message, "give both the same factor")
    if chosen and not any(p.trainable for node in nodes if node.name not in chosen for p in node.parameters.values()):
        message = "`freeze` leaves no layer that can be trained"
        yield SettingFault(
            "invalid-value", ("freeze",), message, "leave out the layers to be trained, such as the last"
        )


def unmatched(setting: str, patterns: Iterable[str], layers: Sequence[str]) -> Iterator[SettingFault]:
    """Yield a fault for each of the patterns of a setting that matches none of the layers."""
    for i, pattern in enumerate(patterns):
        if not matching(layers, pattern):
            message = f"`{setting}` has `{pattern}`, which is no layer" + " with weights" * (setting != "freeze")
            path = (setting, pattern if setting == "rates" else i)
            yield SettingFault("unknown-layer", path, message, proposal(pattern, layers))


def factors_by_layer(nodes: Iterable[Node], rates: Mapping[str, float]) -> dict[str, float]:
    """Return the factor of the learning rate of each layer: that of the last pattern that matches, or 1."""
    factors = {node.name: 1.0 for node in nodes}
    for pattern, factor in rates.items():
        factors |= dict.fromkeys(matching(factors, pattern), factor)
    return factors


def factors_by_array(nodes: Sequence[Node], rates: Mapping[str, float]) -> dict[str, float]:
    """Return the factor of the learning rate of each array by its name."""
    factors = factors_by_layer(nodes, rates)
    return {array: factors[node.name] for node in nodes for array in node.arrays.values()}


def _frozen_names(nodes: Iterable[Node], train: Train) -> set[str]:
    return selected((node.name for node in nodes if node.inputs), train.freeze) if train.freeze else set()


def _frozen(node: Node) -> Node:
    parameters = {key: parameter._replace(trainable=False) for key, parameter in node.parameters.items()}
    return replace(node, frozen=True, parameters=parameters)


def _crossing(nodes: Iterable[Node], values: Mapping[str, object]) -> tuple[str, str] | None:
    """Return the first two layers that share an array and have different values."""
    owners: dict[str, str] = {}
    for node in nodes:
        for array in node.arrays.values():
            owner = owners.setdefault(array, node.name)
            if values[owner] != values[node.name]:
                return owner, node.name
    return None
