"""Networks that the tests of diagrams draw."""

from __future__ import annotations

import random

from conftest import ROOT

import cnnspec
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.layers.activation import Relu
from cnnspec.layers.conv import Conv
from cnnspec.layers.merge import Add

ZOO = sorted(path.stem for path in (ROOT / "specs").glob("*.yaml"))
TEXTBOOK = sorted(path.stem for path in (ROOT / "specs" / "textbook").glob("*.yaml"))


def load(name: str) -> Graph:
    return cnnspec.load(name).graph


def random_graph(layers: int, seed: int, *, far: float = 0.1) -> Graph:
    """A network of blocks within blocks, with branches, skips of any length, several inputs and outputs."""
    rng = random.Random(seed)
    builder = GraphBuilder(f"random{seed}")
    names = [builder.input((4, 8, 8), f"in{i}").name for i in range(rng.randint(1, 3))]
    blocks: list[str] = []
    for i in range(layers):
        if rng.random() < 0.15:
            blocks = [*blocks[: rng.randint(0, len(blocks))], f"block{i}"][-3:]
        elif rng.random() < 0.1:
            blocks = blocks[:-1]
        near = names[-4:]
        read = [rng.choice(names if rng.random() < far else near) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        read = list(dict.fromkeys(read))
        layer = Add() if len(read) > 1 else rng.choice((Conv(channels=4, kernel=(3, 3), padding="same"), Relu()))
        names.append(builder.add(".".join([*blocks, f"n{i}"]), layer, read).name)
    read_names = {name for node in builder.graph().nodes for name in node.inputs}
    outputs = [name for name in names if name not in read_names]
    return builder.graph(outputs=outputs)
