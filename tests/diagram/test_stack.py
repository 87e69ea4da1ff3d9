"""The stack view: feature maps of a chain as slabs, and a clear error for what is no chain."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from networks import ZOO, load
from test_svg import SVG, texts

from cnnspec.diagram.draw import draw
from cnnspec.errors import DiagramError

CHAINS = ["alexnet", "allconv28", "dcgan_discriminator", "dcgan_generator", "lenet", "lenet5", "m5", "mlp", "nin"]


@pytest.mark.parametrize("name", CHAINS)
def test_every_shape_is_there(name: str) -> None:
    graph = load(name)
    diagram = draw(graph, view="stack")
    for text in (diagram.svg(), diagram.fragment()):
        shown = texts(ET.fromstring(text))
        assert shown[0] == name
        last = graph.output.shape
        assert "×".join(map(str, last)) in shown
    assert diagram.png(1.0).startswith(b"\x89PNG")


def test_maps_shrink_and_thicken() -> None:
    root = ET.fromstring(draw(load("lenet"), view="stack").svg())
    slabs = {g.get("data-name"): g for g in root.iter(f"{SVG}g") if g.get("class") == "layer"}
    assert list(slabs) == ["conv1", "max_pool1", "conv2", "max_pool2", "flatten1", "dense1", "dense2", "dense3"]

    def front(name: str) -> tuple[float, float]:
        """The thickness and the height of the front of a slab."""
        points = (slabs[name].findall(f"{SVG}polygon")[-1].get("points") or "").split()
        corners = [tuple(map(float, point.split(","))) for point in points]
        xs, ys = zip(*corners, strict=True)
        return max(xs) - min(xs), max(ys) - min(ys)

    assert front("conv1")[1] > front("max_pool1")[1] > front("conv2")[1] > front("max_pool2")[1]
    assert front("conv1")[0] == pytest.approx(front("max_pool1")[0], abs=0.3)
    assert front("conv2")[0] > front("conv1")[0]


def test_maps_of_one_size_stand_together() -> None:
    shown = texts(ET.fromstring(draw(load("vgg16"), view="stack").svg()))
    assert shown[shown.index("64×224×224") :][:2] == ["64×224×224", "2 × conv 3×3, relu"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("resnet50", "`stage1.unit0.conv1` and `stage1.unit0.shortcut` read `max_pool1`"),
        ("siamese", r"it has 2 inputs \(first, second\)"),
        ("yolov8n", r"it has 2 outputs \(boxes, classes\)"),
    ],
)
def test_what_is_no_chain_is_refused(name: str, why: str) -> None:
    with pytest.raises(DiagramError, match=f"`{name}` is no chain, {why}: .*use the graph view"):
        draw(load(name), view="stack")


def test_every_spec_is_drawn_or_refused() -> None:
    for name in ZOO:
        graph = load(name)
        is_chain = graph.has_one_of_each and all(
            node.inputs == ((before.name,) if before else ())
            for before, node in zip((None, *graph.nodes), graph.nodes, strict=False)
        )
        if is_chain:
            assert draw(graph, view="stack").svg()
        else:
            with pytest.raises(DiagramError):
                draw(graph, view="stack")
