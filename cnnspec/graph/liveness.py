"""Which values are alive while a network runs: when each is last read, and which share memory."""

from __future__ import annotations

from cnnspec.graph.graph import Graph


def released_after(graph: Graph) -> list[list[str]]:
    """Return, for each node, the values that nothing reads once it has run; never the outputs of the network.

    A value that nothing reads at all is released right after its own node.
    """
    last = {node.name: i for i, node in enumerate(graph.nodes)}
    for i, node in enumerate(graph.nodes):
        for name in node.inputs:
            last[name] = i
    released: list[list[str]] = [[] for _ in graph.nodes]
    for name, i in last.items():
        if name not in graph.outputs:
            released[i].append(name)
    return released


def buffers(graph: Graph) -> dict[str, str]:
    """Return, for each node, the node in whose memory its value lies at inference: its own, or that of its input."""
    owner: dict[str, str] = {}
    for node in graph.nodes:
        owner[node.name] = owner[node.inputs[0]] if node.layer.aliases_input and node.inputs else node.name
    return owner


def buffers_released_after(graph: Graph) -> list[list[str]]:
    """Return, for each node, the buffers (by their owner) that hold no live value once it has run."""
    owner = buffers(graph)
    users: dict[str, int] = {}
    for name in owner.values():
        users[name] = users.get(name, 0) + 1
    found: list[list[str]] = []
    for released in released_after(graph):
        found.append([])
        for name in released:
            users[owner[name]] -= 1
            if not users[owner[name]]:
                found[-1].append(owner[name])
    return found
