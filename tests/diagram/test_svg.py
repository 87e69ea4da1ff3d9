"""A diagram as SVG: well-formed, complete, readable without seeing it, and safe whatever layers are called."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from networks import ZOO, load

from cnnspec.diagram.draw import draw
from cnnspec.diagram.palette import PALETTES
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.layers.activation import Relu
from cnnspec.layers.conv import Conv

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert('x')</script>&\"\x07\x1b[31m\u202e]]>"


def hostile_graph() -> Graph:
    builder = GraphBuilder(f"{HOSTILE}net")
    name = builder.input((1, 16, 16), f"{HOSTILE}in").name
    for block in ("a", "b"):
        for i in range(2):
            layer = Conv(channels=2 + i, kernel=(3, 3))
            name = builder.add(f"{HOSTILE}{block}.{HOSTILE}{i}", layer, [name]).name
    builder.add(f"{HOSTILE}out", Relu(), [name])
    return builder.graph()


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", ZOO)
def test_every_layer_that_is_visible_has_its_name(name: str) -> None:
    graph = load(name)
    root = ET.fromstring(draw(graph, depth=99).svg())
    found = {g.get("data-name") for g in root.iter(f"{SVG}g") if g.get("class") == "layer"}
    assert found == {node.name for node in graph.nodes if node.inputs}
    shown = texts(root)
    for node in graph.nodes:
        own = node.name.rpartition(".")[2]
        assert any(text == own or text.endswith(f".{own}") or text.startswith(own[:8]) for text in shown), node.name


def test_a_folded_block_has_its_name_and_none_of_its_layers() -> None:
    root = ET.fromstring(draw(load("resnet50"), depth=0).svg())
    groups = {g.get("data-name"): g.get("class") for g in root.iter(f"{SVG}g") if g.get("data-name")}
    assert [name for name, kind in groups.items() if kind == "block"] == ["stage1", "stage2", "stage3", "stage4"]
    assert "stage1.unit0.conv1" not in groups
    assert {"256×56×56", "3 blocks, 32 layers", "1.2M params", "1.0G MACs"} <= set(texts(root))


def test_it_has_a_title_and_a_description() -> None:
    root = ET.fromstring(draw(load("lenet")).svg())
    assert root.get("role") == "img"
    labels = (root.get("aria-labelledby") or "").split()
    found = {e.get("id"): e.text or "" for e in root if e.tag in (f"{SVG}title", f"{SVG}desc")}
    assert list(found) == labels
    assert found["title"] == "Diagram of lenet"
    assert found["desc"].startswith("12 layers, 44,426 parameters, 281,640 MACs. From the top: input 1×28×28, conv1")


def test_layers_have_tooltips() -> None:
    root = ET.fromstring(draw(load("lenet")).svg())
    titles = [title.text for g in root.iter(f"{SVG}g") for title in g.findall(f"{SVG}title")]
    assert "conv1: conv 5×5, 1×28×28 to 6×24×24, 156 parameters, 86,400 MACs" in titles


@pytest.mark.parametrize("theme", PALETTES)
def test_colours_stand_in_attributes(theme: str) -> None:
    """So that programs that know no style sheets, such as those for slides, have them, too."""
    text = draw(load("lenet")).svg(theme)  # type: ignore[arg-type]
    assert PALETTES[theme]["conv-tint"] in text  # type: ignore[index]
    assert "<style" not in text
    assert "var(" not in text


def test_auto_follows_the_reader() -> None:
    text = draw(load("lenet")).svg()
    assert PALETTES["light"]["conv-tint"] in text
    assert f".f-conv-tint{{fill:{PALETTES['dark']['conv-tint']}}}" in text
    assert "@media (prefers-color-scheme: dark)" in text


def test_the_same_network_gives_the_same_file() -> None:
    assert draw(load("googlenet")).svg() == draw(load("googlenet")).svg()


@pytest.mark.parametrize("depth", [0, 9])
def test_hostile_names_stay_text(depth: int) -> None:
    diagram = draw(hostile_graph(), depth=depth)
    for text in (diagram.svg(), diagram.fragment()):
        root = ET.fromstring(text)
        assert list(root.iter(f"{SVG}script")) == []
        assert any("<script>" in shown for shown in texts(root))
        assert "\x1b" not in text
    assert "\x1b" not in diagram.text(80)


def test_long_names_are_cut_with_an_ellipsis() -> None:
    builder = GraphBuilder("net" * 100)
    builder.input((1, 8, 8))
    builder.add("layer" * 40, Conv(channels=2, kernel=(3, 3)), ["input"])
    diagram = draw(builder.graph())
    assert diagram.picture.width < 800
    assert any(text.startswith("layerlayer") and text.endswith("…") for text in texts(ET.fromstring(diagram.svg())))


def test_long_stacks_of_layers_are_one_box() -> None:
    builder = GraphBuilder("net")
    name = builder.input((1, 8, 8)).name
    for i in range(5):
        name = builder.add(f"relu{i}", Relu(), [name]).name
    assert len(draw(builder.graph()).outline.root.boxes) == 1
