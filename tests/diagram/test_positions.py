"""Where things stand in a diagram: nothing overlaps, edges cross no box, and folding changes sizes alone."""

from __future__ import annotations

import pytest
from geometry import faults
from networks import TEXTBOOK, ZOO, load, random_graph

from cnnspec.diagram.draw import READABLE, Diagram, draw
from cnnspec.diagram.outline import Block, Box
from cnnspec.diagram.wrap import wrapped
from cnnspec.graph.graph import Graph

EVERYTHING = 99


def check(graph: Graph, depth: int | None) -> Diagram:
    diagram = draw(graph, depth=depth)
    assert faults(diagram, diagram.placement) == []
    root = diagram.outline.root
    assert faults(diagram, wrapped(diagram.placement, root, diagram.grids[root])) == []
    return diagram


@pytest.mark.parametrize("name", [*ZOO, *TEXTBOOK])
def test_nothing_overlaps_in_the_zoo(name: str) -> None:
    graph = load(name)
    for depth in (None, 0, 1, EVERYTHING):
        check(graph, depth)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_overlaps_in_any_network(seed: int) -> None:
    graph = random_graph(10 + 5 * seed, seed)
    for depth in (None, 0, 1, EVERYTHING):
        check(graph, depth)


def test_a_thousand_layers_are_drawn() -> None:
    diagram = draw(random_graph(1000, 0, far=0.3), depth=EVERYTHING)
    assert len([item for item in diagram.placement.rects if isinstance(item, Box)]) > 500
    assert diagram.svg().endswith("</svg>\n")
    assert draw(random_graph(1000, 0, far=0.3)).text(80)


def test_the_depth_that_is_chosen_is_readable() -> None:
    def visible(diagram: Diagram) -> int:
        return sum(not isinstance(i, Block) or i in diagram.folded for i in diagram.placement.rects)

    assert visible(draw(load("resnet50"))) <= READABLE
    assert [b.name for b in draw(load("resnet50")).folded if "." not in b.name] == []
    assert len(draw(load("resnet152")).folded) == 4 + 50
    assert draw(load("lenet")).folded == frozenset()
    assert draw(load("siamese")).folded == frozenset()


def test_branches_stand_beside_each_other_in_the_order_of_the_text() -> None:
    diagram = draw(load("googlenet"), block="inception3a")
    x = {item.label: rect.axis for item, rect in diagram.placement.rects.items() if isinstance(item, Box)}
    assert x["conv1"] < x["conv2"] < x["conv4"] < x["max_pool1"]
    assert (x["conv2"], x["conv4"], x["max_pool1"]) == (x["conv3"], x["conv5"], x["conv6"])
    assert x["concat1"] == pytest.approx((x["conv1"] + x["max_pool1"]) / 2)


def test_the_main_path_is_straight_and_skips_are_beside_it() -> None:
    diagram = draw(load("unet_padded"))
    rects = {item.label: rect for item, rect in diagram.placement.rects.items() if not isinstance(item, Block | Box)}
    boxes = {item.label: rect for item, rect in diagram.placement.rects.items() if isinstance(item, Block | Box)}
    main = [rect for label, rect in boxes.items() if label and not label.startswith("crop")]
    assert {round(rect.axis, 3) for rect in [*main, *rects.values()]} == {round(main[0].axis, 3)}


def test_a_tall_network_goes_on_in_the_next_column() -> None:
    diagram = draw(load("resnet50"))
    assert diagram.placement.height > 2000 > 900 > diagram.picture.height


def test_long_skips_make_a_u() -> None:
    """The encoder leads down on the left, the decoder up on the right, and the skips go across."""
    diagram = draw(load("unet"))
    root = diagram.outline.root
    placement = wrapped(diagram.placement, root, diagram.grids[root])
    rects = {item.label: rect for item, rect in placement.rects.items()}
    assert rects["encoder1"].y < rects["encoder4"].y < rects["bottom"].y
    assert rects["decoder1"].y < rects["decoder4"].y < rects["up4"].y
    assert rects["dropout1"].y + rects["dropout1"].height == rects["up4"].y + rects["up4"].height
    assert rects["encoder1"].axis == rects["bottom"].axis < rects["crop1"].axis < rects["decoder1"].axis
    assert diagram.picture.height < 0.75 * diagram.placement.height


def test_layers_that_change_no_shape_are_drawn_with_the_layer_before() -> None:
    boxes = draw(load("resnet50"), block="stage1.unit1").outline.root.boxes
    assert [[layer.node.kind for layer in box.layers] for box in boxes] == [
        ["conv", "batch_norm", "relu"],
        ["conv", "batch_norm", "relu"],
        ["conv", "batch_norm"],
        ["add", "relu"],
    ]


def test_a_block_alone_has_what_it_reads_and_what_is_read_of_it_as_ends() -> None:
    root = draw(load("unet"), block="encoder2").outline.root
    ends = [(item.label, item.shape) for item in root.items if not isinstance(item, Block | Box)]
    assert ends == [("max_pool1", (64, 284, 284)), ("read outside", (128, 280, 280))]
    with pytest.raises(KeyError):
        draw(load("unet"), block="encoder9")


def test_a_block_with_one_box_is_that_box() -> None:
    outline = draw(load("yolov8n")).outline
    assert "stem.conv1" in [item.label for item in outline.root.items]


def test_shared_weights_and_several_ends_are_said() -> None:
    svg = draw(load("siamese")).svg()
    assert "weights of tower.conv1" in svg
    assert [item.label for item in draw(load("yolov8n")).outline.root.items][-2:] == ["boxes", "classes"]
