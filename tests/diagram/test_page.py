"""A diagram in a page: blocks fold by click and by keyboard, to where Python puts things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from networks import load, random_graph
from test_svg import hostile_graph

from cnnspec.diagram.assets import script, stylesheet
from cnnspec.diagram.draw import Diagram, draw
from cnnspec.graph.graph import Graph

if TYPE_CHECKING:
    from playwright.sync_api import Page

STATE = """
(svg) => {
  const hidden = (e) => e.parentElement.closest('.block[data-folded="true"]');
  const numbers = (text) => (text ?? "").match(/-?[0-9.]+/g)?.map(Number) ?? [];
  const shown = [...svg.querySelectorAll("[data-id]")].filter((e) => !hidden(e));
  const edges = [...svg.querySelectorAll(".edge")].filter((e) => !hidden(e));
  return {
    size: numbers(svg.getAttribute("viewBox")),
    items: shown.map((e) => [Number(e.dataset.id), ...numbers(e.getAttribute("transform"))]),
    frames: shown.filter((e) => e.dataset.folded === "false").map((e) => [
      Number(e.querySelector(":scope > rect").getAttribute("width")),
      Number(e.querySelector(":scope > rect").getAttribute("height")),
    ]),
    lines: edges.map((e) => numbers(e.children[0].getAttribute("d"))),
    heads: edges.map(({children: [, head]}) => head.style.display ? [] : numbers(head.getAttribute("points"))),
  };
}
"""

OUTSIDE = """
() => [...document.querySelectorAll(".box text, .end text, .closed text, .open text")].filter((text) => {
  const inner = text.getBoundingClientRect();
  const rects = [...text.closest(".box, .end, .closed, .open").querySelectorAll("rect")];
  const right = Math.max(...rects.map((rect) => rect.getBoundingClientRect().right));
  return inner.width && inner.right > right;
}).map((text) => text.textContent)
"""

OVERLAPPING = """
() => [...document.querySelectorAll(".box, .end, .closed, .open")].flatMap((card) => {
  const texts = [...card.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
  return texts.filter(([, a], i) => texts.some(([, b], j) => i < j && a.width && b.width
    && a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom)).map(([text]) => text);
})
"""


def show(page: Page, *fragments: str, theme: str = "light") -> None:
    style = f"{stylesheet()} body {{ background: var(--paper); color: var(--ink); font-family: sans-serif; }}"
    head = f"<head><title>Diagrams</title><style>{style}</style></head>"
    page.set_content(
        f'<!doctype html><html lang="en" data-theme="{theme}">{head}'
        f"<body><main><h1>Diagrams</h1>{''.join(fragments)}</main><script>{script()}</script></body></html>"
    )


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Positions are alike, but for the rounding of their last digit."""
    assert one.keys() == other.keys()
    for key, values in one.items():
        if key == "size":
            assert values == pytest.approx(other[key], abs=1), key
            continue
        assert len(values) == len(other[key]), key
        for a, b in zip(values, other[key], strict=True):
            assert a == pytest.approx(b, abs=0.11), key


def folded_by_hand(graph: Graph, names: list[str]) -> Diagram:
    """The diagram that Python draws where all blocks are folded but these."""
    diagram = draw(graph, depth=0)
    return Diagram(diagram.outline, frozenset(block for block in diagram.folded if block.name not in names))


@pytest.mark.parametrize(
    ("graph", "names"),
    [
        (load("resnet50"), ["stage1", "stage3", "stage3.unit0", "stage3.unit5"]),
        (load("googlenet"), ["stem", "inception4a"]),
        (load("siamese"), ["twin"]),
        (load("yolov8n"), ["stage3", "stage3.c2f", "boxes", "sppf"]),
        (load("attention_unet"), ["gate4", "bottom"]),
    ],
    ids=lambda value: value.name if isinstance(value, Graph) else "",
)
def test_unfolding_puts_everything_where_python_does(page: Page, graph: Graph, names: list[str]) -> None:
    show(page, draw(graph, depth=0).fragment(), folded_by_hand(graph, names).fragment())
    for name in names:
        page.locator("svg").first.locator(f'.block[data-name="{name}"] > .toggle').click()
    ours, pythons = (page.locator("svg").nth(i).evaluate(STATE) for i in (0, 1))
    assert len(ours["items"]) > len(names)
    same(ours, pythons)


@pytest.mark.parametrize("seed", range(3))
def test_folding_puts_everything_where_python_does(page: Page, seed: int) -> None:
    graph = random_graph(60, seed)
    show(page, draw(graph, depth=9).fragment(), draw(graph, depth=0).fragment())
    first = page.locator("svg").first
    for i in reversed(range(first.locator(".toggle").count())):
        first.locator(".toggle").nth(i).evaluate(
            "(toggle) => toggle.dispatchEvent(new MouseEvent('click', {bubbles: true}))"
        )
    ours, pythons = (page.locator("svg").nth(i).evaluate(STATE) for i in (0, 1))
    same(ours, pythons)


def test_the_keyboard_folds_and_moves_on(page: Page) -> None:
    show(page, draw(load("resnet50"), depth=0).fragment())
    toggle = page.locator('.block[data-name="stage1"] > .toggle')
    toggle.focus()
    for key, expanded in (("Enter", "true"), ("Space", "false"), ("ArrowRight", "true"), ("ArrowRight", "true")):
        page.keyboard.press(key)
        assert toggle.get_attribute("aria-expanded") == expanded
    assert page.locator('.block[data-name="stage1.unit0"] > .toggle').is_visible()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.parentElement.dataset.name") == "stage1.unit0"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert toggle.get_attribute("aria-expanded") == "false"
    assert page.locator('.block[data-name="stage1.unit0"] > .toggle').is_hidden()


@pytest.mark.parametrize("way", ["click", "Enter", "Space"])
@pytest.mark.parametrize("view", ["graph", "stack"])
def test_choosing_a_layer_tells_the_page(page: Page, way: str, view: Any) -> None:
    show(page, draw(load("lenet"), view=view).fragment())
    page.evaluate("window.chosen = []")
    page.evaluate("document.addEventListener('cnnspec:layer', (e) => window.chosen.push(e.detail.name))")
    layer = page.locator('.layer[data-name="conv2"]')
    if way == "click":
        layer.click()
    else:
        layer.focus()
        page.keyboard.press(way)
    assert page.evaluate("window.chosen") == ["conv2"]
    assert page.locator(".layer.chosen").get_attribute("data-name") == "conv2"


def test_layers_and_blocks_are_as_other_pages_expect_them(page: Page) -> None:
    show(page, draw(load("resnet50"), depth=1).fragment())
    layer = page.locator('.layer[data-name="conv1"]')
    assert [layer.get_attribute(name) for name in ("role", "tabindex")] == ["button", "0"]
    assert layer.get_attribute("aria-label") == (
        "conv1: conv 7×7 /2, 3×224×224 to 64×112×112, 9,408 parameters, 118,013,952 MACs"
    )
    toggle = page.locator('.block[data-name="stage1"] > .toggle')
    assert toggle.get_attribute("aria-label") == "block stage1: 32 layers, 215,808 parameters, 667,942,912 MACs"


def test_a_diagram_that_comes_later_folds_too(page: Page) -> None:
    show(page)
    page.evaluate(
        "(text) => document.querySelector('main').innerHTML = text", draw(load("resnet50"), depth=0).fragment()
    )
    page.locator('.block[data-name="stage2"] > .toggle').click()
    assert page.locator('.block[data-name="stage2.unit0"] > .toggle').is_visible()


def test_a_page_keeps_what_is_unfolded_and_leads_to_a_layer(page: Page) -> None:
    graph = load("resnet50")
    show(page, draw(graph, depth=0).fragment(), folded_by_hand(graph, ["stage1", "stage1.unit0"]).fragment())
    svg, other = page.locator("svg").first, page.locator("svg").nth(1)
    names = other.evaluate("(svg) => cnnspecDiagram.unfolded(svg)")
    assert names == ["stage1", "stage1.unit0"]
    svg.evaluate("(svg, names) => cnnspecDiagram.unfold(svg, names)", names)
    same(svg.evaluate(STATE), other.evaluate(STATE))
    svg.evaluate("(svg) => cnnspecDiagram.reveal(svg, 'stage4.unit1.conv2')")
    assert svg.locator(".layer.chosen").get_attribute("data-name") == "stage4.unit1.conv2"
    assert svg.locator(".layer.chosen").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_accessibility_violations(page: Page, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    stack = draw(load("lenet"), view="stack").fragment()
    show(page, draw(load("resnet50"), depth=0).fragment(), draw(load("siamese")).fragment(), stack, theme=theme)
    page.locator('.block[data-name="stage1"] > .toggle').click()
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", ["lenet", "resnet50", "unet", "siamese", "yolov8n", "convnext_tiny", "r3d_18"])
def test_texts_fit_into_their_boxes(page: Page, name: str) -> None:
    show(page, draw(load(name), depth=99).fragment(), draw(load(name), depth=0).fragment())
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(OVERLAPPING) == []


def test_hostile_names_run_nothing(page: Page) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a name ran: {dialog.message}"))
    show(page, draw(hostile_graph(), depth=0).fragment())
    page.locator(".toggle").first.click()
    assert page.locator("svg script").count() == 0
