"""A diagram on a terminal: within its width, with branches beside each other, in ASCII where nothing else is known."""

from __future__ import annotations

import pytest
from networks import ZOO, load, random_graph

from cnnspec.diagram.draw import draw
from cnnspec.wording import cells

LENET = """\
lenet
12 layers, 44,426 parameters, 281,640 MACs

      ┌────────────────┐
      │ input  1×28×28 │
      └────────┬───────┘
               ▼
┌────────────────────────────┐
│ conv1              6×24×24 │
│ conv 5×5                   │
│ + sigmoid                  │
│ 156 params · 86.4k MACs    │
└──────────────┬─────────────┘
               ▼
"""
BRANCHES = """\
googlenet: inception3a
20 layers, 155,872 parameters, 121,626,624 MACs

                              +----------------+
                              | stem.max_pool2 |
                              |      192x28x28 |
                              +--------+-------+
         +-------------------+---------+---------+-------------------+
         v                   v                   v                   v
"""


def test_boxes_are_drawn() -> None:
    assert draw(load("lenet")).text(100).startswith(LENET)


def test_branches_stand_beside_each_other() -> None:
    text = draw(load("googlenet"), block="inception3a").text(82, ascii_only=True)
    assert text.startswith(BRANCHES)
    assert text.isascii()


@pytest.mark.parametrize("width", [40, 60, 100])
@pytest.mark.parametrize("name", ZOO)
def test_it_fits(name: str, width: int) -> None:
    graph = load(name)
    for depth in (None, 99):
        for line in draw(graph, depth=depth).text(width).splitlines():
            assert cells(line) <= width
            assert line == line.rstrip()


@pytest.mark.parametrize("seed", range(5))
def test_a_list_takes_the_place_of_what_is_too_wide(seed: int) -> None:
    graph = random_graph(200, seed, far=0.5)
    diagram = draw(graph, depth=99)
    text = diagram.text(60)
    assert max(map(cells, text.splitlines())) <= 60
    assert "reads" in text
    assert "┌" not in text
    for box in diagram.outline.root.boxes:
        assert f"{box.label}  " in text


def test_more_blocks_are_folded_where_it_is_narrow() -> None:
    diagram = draw(load("siamese"))
    assert "▾ tower" in diagram.text(100)
    assert "▸ tower" in diagram.text(50)


def test_every_box_has_its_edge() -> None:
    """Each box but the input has an arrow above it."""
    text = draw(load("resnet50"), depth=0).text(80)
    assert text.count("▼") == text.count("┌") - 1
