"""What objects show in a notebook: the text, and the HTML."""

from __future__ import annotations

import base64
import io
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import cnnspec
from cnnspec.display import RENDERERS, Rich
from cnnspec.interop.comparison import Difference
from cnnspec.interop.exported import Exported
from cnnspec.interop.imported import ImportedNetwork
from cnnspec.notebook import html
from cnnspec.runtime.feature_maps import FeatureMaps
from cnnspec.training.evaluation import Evaluation, evaluate_split
from cnnspec.training.result import Result

if TYPE_CHECKING:
    from playwright.sync_api import Page

EVIL = '<script>alert(1)</script>"&'


def forms(thing: Any) -> dict[str, str]:
    return thing._repr_mimebundle_()


def evaluated() -> Evaluation:
    from cnnspec.data.memory import InMemory
    from cnnspec.graph.training import CrossEntropy

    spec = cnnspec.loads("input: [4]\nlayers: [dense: 3]\n")
    x = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    return evaluate_split(cnnspec.build(spec), InMemory(x, np.arange(30) % 3, spec.input), CrossEntropy())


def maps(name: str = "lenet") -> FeatureMaps:
    x = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)
    return cnnspec.build(name, weights="lenet").feature_maps(x)


RESULT = Result(
    epochs=[
        {"epoch": 1, "loss": 2.0, "accuracy": 0.25, "test_loss": 1.5, "test_accuracy": 0.5},
        {"epoch": 2, "loss": 1.0, "accuracy": 0.75, "test_loss": 1.0, "test_accuracy": 0.625},
    ],
    best_epoch=2,
)
THINGS: dict[str, Callable[[], Any]] = {
    "graph": lambda: cnnspec.load("lenet").graph,
    "spec": lambda: cnnspec.load("lenet"),
    "deep": lambda: cnnspec.load("resnet50"),
    "several": lambda: cnnspec.load("siamese"),
    "report": lambda: cnnspec.check("lenet"),
    "faulty": lambda: cnnspec.check(cnnspec.Source("bad.yaml", "input: [1, 4, 4]\nlayers: [conv: {kernel: 9}]\n")),
    "model": lambda: cnnspec.build("lenet"),
    "evaluation": evaluated,
    "result": lambda: RESULT,
    "maps": maps,
    "imported": lambda: ImportedNetwork(cnnspec.load("lenet"), {}, 12, difference=Difference(1e-7, 1e-8)),
    "exported": lambda: Exported(
        "lenet", "onnx", (Path(__file__),), {"opset": 18}, "onnxruntime", Difference(1e-7, 1e-8)
    ),
}


class Checked(HTMLParser):
    """Fails for elements that are not closed, and collects names of elements and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", THINGS)
class TestEvery:
    def test_it_has_text_and_html(self, name: str) -> None:
        found = forms(THINGS[name]())
        assert [*found] == ["text/plain", "text/html"]
        assert len(found["text/plain"]) > 20

    def test_the_html_is_whole_and_runs_nothing(self, name: str) -> None:
        parsed = Checked(forms(THINGS[name]())["text/html"])
        assert parsed.found[0] == ("div", {"class": html.SCOPE})
        for tag, attributes in parsed.found:
            assert tag not in ("script", "link", "iframe", "object")
            assert not [key for key in attributes if key.startswith("on") or key == "id"]
            assert not (attributes.get("src") or "data:").startswith(("http", "//"))

    def test_its_pictures_are_described(self, name: str) -> None:
        for tag, attributes in Checked(forms(THINGS[name]())["text/html"]).found:
            if tag == "img":
                assert attributes["alt"]
            if tag == "svg":
                assert attributes["aria-label"]

    def test_one_form_alone(self, name: str) -> None:
        thing = THINGS[name]()
        assert [*thing._repr_mimebundle_(include=["text/plain"])] == ["text/plain"]
        assert [*thing._repr_mimebundle_(exclude=["text/plain"])] == ["text/html"]


class TestScope:
    def test_every_rule_begins_with_the_class(self) -> None:
        rules = re.findall(r"([^{}]+)\{[^{}]*\}", html.style())
        assert len(rules) > 20
        for selectors in rules:
            for selector in selectors.split(","):
                assert f".{html.SCOPE}" in selector

    def test_classes_within_have_a_prefix(self) -> None:
        names = set(re.findall(r"\.([a-z][\w-]*)", html.style())) - {html.SCOPE, "vscode-dark", "vscode-high-contrast"}
        assert {name for name in names if not name.startswith("cs-")} == set()


class TestNetworks:
    def test_the_layers_and_the_totals(self) -> None:
        text, shown = forms(cnnspec.load("lenet")).values()
        for part in ("conv2", "16×8×8", "44,426", "281,640"):
            assert part in text
            assert part in shown

    def test_the_diagram_for_both_themes(self) -> None:
        images = [a for tag, a in Checked(forms(cnnspec.load("lenet").graph)["text/html"]).found if tag == "img"]
        assert [image["class"] for image in images] == ["cs-light", "cs-dark"]
        light, dark = (base64.b64decode((image["src"] or "").partition(",")[2]).decode() for image in images)
        assert light.startswith("<svg")
        assert "conv2" in light
        assert light != dark

    def test_many_layers_are_folded(self) -> None:
        assert "<details open>" in forms(cnnspec.load("lenet"))["text/html"]
        assert "<details>" in forms(cnnspec.load("resnet50"))["text/html"]

    def test_errors(self) -> None:
        text, shown = forms(THINGS["faulty"]()).values()
        assert "error[" in text
        assert '<b class="cs-error">error[' in shown
        assert "<table" not in shown

    def test_warnings(self) -> None:
        text = "input: [1, 9, 9]\nlayers: [conv: {channels: 2, kernel: 5, padding: 2}]\n"
        report = cnnspec.check(cnnspec.Source("w.yaml", text))
        assert report.ok
        assert '<b class="cs-warning">warning[' in forms(report)["text/html"]
        assert "every shape fits, 1 warning" in forms(report)["text/html"]

    def test_names_and_messages_are_escaped(self) -> None:
        layers = f"[conv: {{channels: 2, kernel: 3}}, relu: {{nme: 1}}] # {EVIL}"
        text = f"name: '{EVIL}'\ninput: [1, 4, 4]\nlayers: {layers}\n"
        for written in (text, text.replace(": {nme: 1}", "")):
            shown = forms(cnnspec.check(cnnspec.Source("x.yaml", written)))["text/html"]
            assert "<script" not in shown
            assert "&lt;script&gt;" in shown


class TestTraining:
    def test_metrics_classes_and_confusion(self) -> None:
        found = evaluated()
        text, shown = forms(found).values()
        assert f"accuracy {100 * (found.accuracy or 0):.2f} %" in text
        assert "most often confused with" in shown
        assert shown.count("rgba(") == 9

    def test_several_outputs(self) -> None:
        one = evaluated()
        both = Evaluation(30, 2.0, None, None, outputs={"first": one, EVIL: one}, metrics={"loss": 2.0})
        text, shown = forms(both).values()
        assert "first: accuracy" in text
        assert "<script" not in shown

    def test_curves(self) -> None:
        text, shown = forms(RESULT).values()
        assert "loss           █▁  2.0000 → 1.0000" in text
        assert shown.count("<polyline") == 4
        assert 'aria-label="test accuracy: 50.00 % → 62.50 %"' in shown

    def test_nothing_to_draw(self) -> None:
        text, shown = forms(Result()).values()
        assert text == "0 epochs"
        assert "<polyline" not in shown


class TestMaps:
    def pictures(self, found: FeatureMaps) -> list[Any]:
        from PIL import Image

        sources = re.findall(r'src="data:image/png;base64,([^"]+)"', forms(found)["text/html"])
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(source))).convert("RGBA")) for source in sources]

    def test_a_picture_for_each_layer(self) -> None:
        found = self.pictures(maps())
        assert len(found) == 6
        assert {picture.shape[2] for picture in found} == {4}

    def test_its_pixels_are_the_values(self) -> None:
        values = np.array([[[[0.0, 1.0], [0.5, 0.0]]]])
        (picture,) = self.pictures(FeatureMaps("net", {"conv1": values}))
        assert picture.shape == (48, 48, 4)
        assert picture[0, 0].tolist() == [68, 1, 84, 255]
        assert picture[0, 47].tolist() == [253, 231, 37, 255]

    def test_the_limits_are_stated(self) -> None:
        many = FeatureMaps("net", {f"conv{i}": np.zeros((1, 40, 3, 3)) for i in range(20)})
        shown = forms(many)["text/html"]
        assert "16 of 40 maps" in shown
        assert "the first 12 of 20 layers" in shown

    def test_signals_and_volumes(self) -> None:
        found = FeatureMaps("net", {"a": np.zeros((1, 2, 9)), "b": np.zeros((1, 2, 5, 4, 4))})
        assert "slice 3 of 5" in forms(found)["text/html"]
        assert len(self.pictures(found)) == 2

    def test_none(self) -> None:
        assert "0 layers" in forms(FeatureMaps("net", {}))["text/plain"]

    def test_without_pillow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "PIL", None)
        text, shown = forms(maps()).values()
        assert "conv1  [2, 6, 24, 24]" in text
        assert "<img" not in shown
        assert "cnnspec[images]" in shown
        assert "[2, 16, 4, 4]" in shown


class TestLookup:
    def test_every_class_with_a_rich_form_has_a_renderer(self) -> None:
        for name in RENDERERS:
            home = f"cnnspec.{cnnspec._HOMES.get(name, 'runtime.feature_maps')}"
            __import__(home)
            assert issubclass(getattr(sys.modules[home], name), Rich)

    def test_nothing_is_imported_before_a_notebook_asks(self, process: Callable[..., CompletedProcess[str]]) -> None:
        code = "import sys, cnnspec; g = cnnspec.load('lenet').graph; early = {*sys.modules}; g._repr_mimebundle_()\n"
        code += "print('cnnspec.notebook' in early, 'cnnspec.notebook' in sys.modules)"
        assert process(code=code).stdout.split() == ["False", "True"]


THEMES = {"light": ("#fff", "rgba(0,0,0,.87)", "true"), "dark": ("#111", "rgba(255,255,255,.87)", "false")}
"""The ground, the ink, and the mark of JupyterLab's themes."""


@pytest.mark.parametrize("theme", THEMES)
class TestInABrowser:
    @pytest.fixture
    def notebook(self, page: Page, theme: str) -> Page:
        """A page with every form, as JupyterLab shows them."""
        ground, ink, is_light = THEMES[theme]
        parts = "".join(forms(thing())["text/html"] for thing in THINGS.values())
        page.set_content(
            f'<!doctype html><html lang="en"><head><title>Notebook</title><style>body {{background: {ground}; '
            f'color: {ink}}}</style></head><body data-jp-theme-light="{is_light}"><main><h1>Notebook</h1>{parts}'
            '<table id="own"><thead><tr><th>a</th></tr></thead><tbody><tr><td>b</td></tr></tbody></table>'
            "</main></body></html>"
        )
        return page

    def test_it_is_accessible(self, notebook: Page, theme: str) -> None:
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
        for details in notebook.locator("details").all():
            details.evaluate("element => element.open = true")
        assert axe.Axe().run(notebook).response["violations"] == []

    def test_the_diagram_has_the_colours_of_the_theme(self, notebook: Page, theme: str) -> None:
        shown = [image for image in notebook.locator("img.cs-light, img.cs-dark").all() if image.is_visible()]
        assert {image.get_attribute("class") for image in shown} == {f"cs-{theme}"}

    def test_the_page_keeps_its_own_styles(self, notebook: Page, theme: str) -> None:
        style = "element => [getComputedStyle(element).textAlign, getComputedStyle(element).borderBottomWidth]"
        assert notebook.locator("#own th").evaluate(style) == ["center", "0px"]

    def test_nothing_is_wider_than_the_page(self, notebook: Page, theme: str) -> None:
        notebook.set_viewport_size({"width": 600, "height": 800})
        assert notebook.evaluate("document.documentElement.scrollWidth") <= 600
