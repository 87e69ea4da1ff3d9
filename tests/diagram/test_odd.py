"""Networks that nobody would draw, and that are drawn nevertheless."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from cnnspec.diagram.draw import draw
from cnnspec.diagram.outline import MOST_DEPTH, Block
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.layers.activation import Relu
from cnnspec.layers.conv import Conv
from cnnspec.layers.merge import Add

ONE = Conv(channels=1, kernel=(1, 1))


def only_an_input() -> Graph:
    builder = GraphBuilder("only")
    builder.input((1, 2, 2))
    return builder.graph()


def an_unused_input() -> Graph:
    builder = GraphBuilder("unused")
    builder.input((1, 2, 2), "a")
    builder.input((1, 2, 2), "b")
    builder.add("r", Relu(), ["a"])
    return builder.graph()


def an_input_that_is_an_output() -> Graph:
    builder = GraphBuilder("passes")
    builder.input((1, 2, 2), "a")
    builder.add("r", Relu(), ["a"])
    return builder.graph(outputs=["a", "r"])


def names_of_dots() -> Graph:
    builder = GraphBuilder("dots")
    before = builder.input((1, 2, 2), "a").name
    for name in (".", "..x", "x.", "x.y", "x"):
        before = builder.add(name, ONE, [before]).name
    return builder.graph()


def one_tensor_twice() -> Graph:
    builder = GraphBuilder("twice")
    builder.input((1, 2, 2), "a")
    builder.add("sum", Add(), ["a", "a"])
    return builder.graph()


def many_branches() -> Graph:
    builder = GraphBuilder("wide")
    builder.input((1, 2, 2), "a")
    names = [builder.add(f"c{i}", ONE, ["a"]).name for i in range(100)]
    builder.add("sum", Add(), names)
    return builder.graph()


def blocks_within_blocks() -> Graph:
    builder = GraphBuilder("deep")
    before = builder.input((1, 2, 2), "a").name
    for i in range(100):
        before = builder.add(".".join([*(f"b{k}" for k in range(i)), f"c{i}"]), ONE, [before]).name
    return builder.graph()


def a_block_in_two_parts() -> Graph:
    builder = GraphBuilder("parts")
    before = builder.input((1, 2, 2), "a").name
    for name in ("b.c1", "b.c2", "between", "b.c3", "b.c4"):
        before = builder.add(name, ONE, [before]).name
    return builder.graph()


ODD = [
    only_an_input, an_unused_input, an_input_that_is_an_output, names_of_dots, one_tensor_twice, many_branches,
    blocks_within_blocks, a_block_in_two_parts,
]  # fmt: skip


@pytest.mark.parametrize("make", ODD)
def test_it_is_drawn(make) -> None:
    graph = make()
    for depth in (None, 0, 1000):
        diagram = draw(graph, depth=depth)
        ET.fromstring(diagram.svg())
        ET.fromstring(diagram.fragment())
        for width in (10, 80):
            assert max(map(len, diagram.text(width).splitlines())) <= width


def test_blocks_far_within_blocks_are_a_part_of_the_name() -> None:
    diagram = draw(blocks_within_blocks(), depth=1000)
    depths = [len(around) for item, around in diagram.outline.paths.items() if isinstance(item, Block)]
    assert max(depths) == MOST_DEPTH
    assert len(diagram.outline.root.boxes) == 100


def test_a_long_network_is_drawn() -> None:
    builder = GraphBuilder("long")
    before = builder.input((1, 2, 2), "a").name
    for i in range(1500):
        added = builder.add(f"c{i}", ONE, [before]).name
        before = builder.add(f"s{i}", Add(), [before, added]).name
    assert draw(builder.graph()).svg().count('class="layer"') == 3000
