"""The page of a report, in a real browser: nothing is loaded, and everything can be used."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from report_samples import CLASSIFIER, trained_run

import cnnspec
from cnnspec.report.write import report_html, write_report

pytest.importorskip("jinja2", reason="the extra `report` is not installed")
pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
pytest.importorskip("PIL", reason="the extra `report` is not installed")

if TYPE_CHECKING:
    from playwright.sync_api import Page

THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "lenet.html"
    write_report(path, "lenet", weights="lenet", inputs="boot.png")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    run = trained_run(folder, recordings=["histograms"])
    np.save(folder / "one.npy", np.full((8, 8), 90, np.uint8))
    write_report(folder / "report.html", run / "spec.yaml", run=run, inputs=str(folder / "one.npy"))
    return folder / "report.html"


def names(page: Page) -> list[str]:
    """The layers of the table that are shown, in their order."""
    found: list[str] = page.eval_on_selector_all(
        "#table tbody tr", "rows => rows.filter(r => !r.hidden).map(r => r.dataset.name)"
    )
    return found


def violations(page: Page) -> list[Any]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    return [
        (found["id"], [node["html"][:200] for node in found["nodes"]])
        for found in axe.Axe().run(page).response["violations"]
    ]


class TestLooks:
    @pytest.mark.parametrize("theme", THEMES)
    @pytest.mark.parametrize("which", ["lenet", "trained"])
    def test_it_is_accessible(self, page: Page, theme: str, which: str, request: pytest.FixtureRequest) -> None:
        page.goto(request.getfixturevalue(which).as_uri())
        page.get_by_label(theme.capitalize()).check(force=True)
        assert violations(page) == []

    @pytest.mark.parametrize("width", [400, 1400])
    def test_it_is_as_wide_as_the_window(self, page: Page, trained: Path, width: int) -> None:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(trained.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width

    def test_the_theme_follows_the_system_and_the_switch(self, page: Page, lenet: Path) -> None:
        ground = "getComputedStyle(document.body).backgroundColor"
        page.emulate_media(color_scheme="dark")
        page.goto(lenet.as_uri())
        dark = page.evaluate(ground)
        page.get_by_label("Light").check(force=True)
        light = page.evaluate(ground)
        assert light != dark
        page.get_by_label("Auto").check(force=True)
        assert page.evaluate(ground) == dark
        page.emulate_media(color_scheme="light")
        assert page.evaluate(ground) == light

    def test_plots_have_the_colours_of_the_page(self, page: Page, trained: Path) -> None:
        page.goto(trained.as_uri())
        colour = "getComputedStyle(document.querySelector('svg.plot text')).fill"
        before = page.evaluate(colour)
        page.get_by_label("Dark").check(force=True)
        assert page.evaluate(colour) != before


class TestLayers:
    def test_a_layer_of_the_diagram_shows_its_formula_and_its_lines(self, page: Page, lenet: Path) -> None:
        page.goto(lenet.as_uri())
        page.locator('.drawing .layer[data-name="conv2"]').click()
        panel = page.locator("#panel")
        assert panel.locator("h3").inner_text() == "conv2"
        assert "⌊(12 − 5 + 0 + 1) / 1⌋ = 8" in panel.inner_text()
        assert "16 × 6 × 5 × 5 = 2,400" in panel.inner_text()
        assert "conv: {channels: 16, kernel: 5}" in panel.locator("pre .own").inner_text()

    def test_the_same_by_the_keyboard(self, page: Page, lenet: Path) -> None:
        page.goto(lenet.as_uri())
        page.locator('.drawing .layer[data-name="dense1"]').focus()
        page.keyboard.press("Enter")
        assert page.locator("#panel h3").inner_text() == "dense1"
        assert page.locator("#layer").input_value() == "dense1"

    def test_every_column_sorts(self, page: Page, lenet: Path) -> None:
        page.goto(lenet.as_uri())
        order = names(page)
        heads = page.locator("#table thead th")
        for i in range(heads.count()):
            head = heads.nth(i)
            head.locator("button").click()
            first = head.get_attribute("aria-sort")
            ascending = page.eval_on_selector_all(
                "#table tbody tr", f"rows => rows.map(row => row.cells[{i}].dataset.key)"
            )
            if i and head.get_attribute("data-kind") == "number":
                assert first == "ascending"
                assert [*map(float, ascending)] == sorted(map(float, ascending))
            head.locator("button").click()
            assert head.get_attribute("aria-sort") != first
            assert page.locator("#table thead th[aria-sort]").count() == 1
        assert sorted(names(page)) == sorted(order)

    def test_sorting_by_parameters_and_by_the_keyboard(self, page: Page, lenet: Path) -> None:
        page.goto(lenet.as_uri())
        page.locator("#table").get_by_role("button", name="parameters").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        assert names(page)[:3] == ["dense1", "dense2", "conv2"]

    def test_a_filter_keeps_the_rows_with_all_words(self, page: Page, lenet: Path) -> None:
        page.goto(lenet.as_uri())
        page.get_by_label("Filter").fill("sigmoid 120")
        assert names(page) == ["sigmoid3"]
        assert page.locator("#filtered").inner_text() == "1 of 13 layers"
        page.get_by_label("Filter").fill("")
        assert len(names(page)) == 13

    def test_a_row_chooses_its_layer(self, page: Page, lenet: Path) -> None:
        page.goto(lenet.as_uri())
        page.locator("#table").get_by_role("button", name="max_pool2").click()
        assert page.locator("#panel h3").inner_text() == "max_pool2"
        assert page.locator('.drawing .layer[data-name="max_pool2"]').get_attribute("aria-pressed") == "true"

    def test_a_layer_in_a_folded_block_marks_the_block_and_brings_it_into_sight(
        self, page: Page, tmp_path: Path
    ) -> None:
        write_report(tmp_path / "report.html", "resnet18")
        page.goto((tmp_path / "report.html").as_uri())
        page.locator("#layer").select_option("stage4.unit1.conv1")
        marked = page.locator(".drawing .holds")
        assert marked.get_attribute("data-name") == "stage4.unit1"
        inside = page.evaluate(
            """() => {
              const block = document.querySelector('.holds').getBoundingClientRect();
              const frame = document.querySelector('.drawing').getBoundingClientRect();
              return block.top >= frame.top && block.bottom <= frame.bottom;
            }"""
        )
        assert inside
        page.locator("#layer").select_option("conv1")
        assert marked.count() == 0


class TestValues:
    def test_the_receptive_field_of_the_centre_and_of_a_corner(self, page: Page, lenet: Path) -> None:
        page.goto(lenet.as_uri())
        page.locator("#field-layer").select_option("conv2")
        text = page.locator("#field-text")
        assert "Unit (4, 4) of conv2 reads rows 8 to 21 and columns 8 to 21 of input" in text.inner_text()
        page.locator("#unit-row").fill("0")
        assert "rows 0 to 13 and columns 8 to 21" in text.inner_text()
        box = page.eval_on_selector(".reach", "box => [box.style.top, box.style.height, box.style.left]")
        assert box == ["0%", "50%", f"{100 * 8 / 28:.4f}%"]
        page.get_by_role("button", name="Centre").click()
        assert "rows 8 to 21" in text.inner_text()
        page.locator("#field-layer").select_option("input")
        assert "Unit (14, 14) of input reads row 14 and column 14 of input" in text.inner_text()
        page.locator("#field-layer").select_option("dense3")
        assert "The numbers of dense3 together read rows 0 to 27 (all)" in text.inner_text()
        assert page.locator("#unit").is_hidden()

    def test_scrubbing_goes_through_the_layers(self, page: Page, lenet: Path) -> None:
        page.goto(lenet.as_uri())
        scrub = page.locator("#scrub")
        scrub.focus()
        page.keyboard.press("End")
        assert page.locator("#map-name").inner_text() == "dense3"
        assert scrub.get_attribute("aria-valuetext") == "dense3"
        page.keyboard.press("ArrowLeft")
        assert page.locator("#map-name").inner_text() == "sigmoid4"
        page.get_by_role("button", name="Next layer").click()
        assert page.locator("#panel h3").inner_text() == "dense3"
        page.keyboard.press("Tab")
        page.locator("#scrub").fill("1")
        assert page.eval_on_selector("#map", "image => image.decode().then(() => image.naturalWidth)") == 3 * 24 + 2
        assert "all 6 channels" in page.locator("#map-text").inner_text()

    def test_the_boot_is_a_boot(self, page: Page, lenet: Path) -> None:
        page.goto(lenet.as_uri())
        assert page.locator(".top-classes tr").first.inner_text().split() == ["ankle", "boot", "99.6", "%"]

    def test_a_network_alone_says_what_is_missing(self, page: Page, tmp_path: Path) -> None:
        write_report(tmp_path / "report.html", "lenet")
        page.goto((tmp_path / "report.html").as_uri())
        missing = page.get_by_role("region", name="Not in this report").inner_text()
        assert all(option in missing for option in ("--weights FILE", "--input FILE", "--run RUN"))
        assert page.locator("#scrub").count() == 0
        page.locator("#field-layer").select_option("max_pool1")
        assert "6×6 pixels" in page.locator("#field-text").inner_text()


class TestTraining:
    def test_curves_matrix_classes_and_histograms(self, page: Page, trained: Path) -> None:
        page.goto(trained.as_uri())
        section = page.get_by_role("region", name="Training", exact=True)
        assert section.locator(".charts figcaption").all_inner_texts() == ["loss", "accuracy", "learning rate"]
        cells = section.locator(".confusion tbody td").all_inner_texts()
        assert sum(int(cell) for cell in cells if cell != "·") == 12
        assert section.locator(".confusion tbody th").all_inner_texts() == ["left", "right", "<b>both</b>"]
        assert section.locator(".histograms h4").all_inner_texts()[:2] == ["conv1.weight", "conv1.bias"]
        assert section.locator(".histograms").first.locator("figcaption").all_inner_texts()[:2] == [
            "weights",
            "gradients",
        ]
        assert section.get_by_role("region", name="Dead units").locator("tbody tr").count() == 2

    def test_a_run_that_has_just_begun(self, page: Page, tmp_path: Path) -> None:
        run = trained_run(tmp_path)
        for name in ("metrics.jsonl", "best.safetensors"):
            (run / name).unlink()
        write_report(tmp_path / "report.html", run / "spec.yaml", run=run)
        page.goto((tmp_path / "report.html").as_uri())
        text = page.get_by_role("region", name="Training", exact=True).inner_text()
        assert "there are no curves yet" in text
        assert "the run has not completed an epoch" in text

    def test_data_that_is_gone_is_named_with_what_to_do(self, page: Page, tmp_path: Path) -> None:
        run = trained_run(tmp_path)
        (tmp_path / "samples.npz").unlink()
        write_report(tmp_path / "report.html", run / "spec.yaml", run=run)
        page.goto((tmp_path / "report.html").as_uri())
        text = page.get_by_role("region", name="Training", exact=True).inner_text()
        assert "samples.npz" in text
        assert "--data-dir or --data says where the evaluation data is" in text
        assert page.locator(".charts svg").count() == 3


class TestText:
    HOSTILE = """\
name: '</script><script>alert(1)</script><img src=x onerror=alert(2)>'
input: [1, 8, 8]
classes: ['</title><b>', '$x^2$ "&amp;']
layers:
  - conv: {channels: 2, kernel: 3}   # </script><script>alert(3)</script>
  - flatten
  - dense: 2
"""

    def test_names_stay_text(self, page: Page, tmp_path: Path) -> None:
        spec = tmp_path / "<img src=x onerror=alert(4)>.yaml"
        spec.write_text(self.HOSTILE, "utf-8")
        image = tmp_path / "a'\"<script>alert(5)<!--.npy"
        np.save(image, np.zeros((8, 8), np.uint8))
        write_report(tmp_path / "report.html", spec, inputs=str(image))
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        page.goto((tmp_path / "report.html").as_uri())
        assert page.locator("h1").inner_text() == "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
        assert page.locator("script").count() == 3
        assert page.locator("img[src=x]").count() == 0
        assert sorted(page.locator(".top-classes th").all_inner_texts()) == ['$x^2$ "&amp;', "</title><b>"]
        assert "</script><script>alert(3)</script>" in page.locator("#panel pre").inner_text()

    def test_the_page_may_load_nothing(self, lenet: Path) -> None:
        text = lenet.read_text("utf-8")
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        assert policy
        assert "default-src &#39;none&#39;" in policy[1]
        assert "http://" not in policy[1]
        links = re.findall(r'\b(?:src|href)="([^"]*)"', text.split("<script", 1)[0])
        assert {link[:5] for link in links if link[0] != "#"} == {"data:"}

    def test_a_script_that_is_not_the_pages_own_does_not_run(self, page: Page, lenet: Path, tmp_path: Path) -> None:
        """Without the fixture's judgement of messages: the browser reports that it refused."""
        context = page.context.browser.new_context()  # type: ignore[union-attr]
        other = context.new_page()
        changed = lenet.read_text("utf-8").replace("</body>", "<script>document.title = 'ran'</script></body>")
        (tmp_path / "changed.html").write_text(changed, "utf-8")
        other.goto((tmp_path / "changed.html").as_uri())
        assert other.title() == "lenet: report"
        context.close()

    def test_the_data_of_the_page_is_json(self, lenet: Path) -> None:
        text = lenet.read_text("utf-8")
        found = re.search(r'id="layer-data">(.*?)</script>', text, re.DOTALL)
        assert found
        assert [layer["name"] for layer in json.loads(found[1])["layers"]][:2] == ["input", "conv1"]


def test_specs_with_several_inputs_and_other_ranks(tmp_path: Path, page: Page) -> None:
    shapes = {"siamese": "Receptive field", "m5": "reads no image", "vit_tiny": "Receptive field"}
    for spec, expected in shapes.items():
        (tmp_path / f"{spec}.html").write_text(report_html(spec), "utf-8")
        page.goto((tmp_path / f"{spec}.html").as_uri())
        assert expected in page.locator("#field").inner_text()


def test_the_spec_of_a_text_and_a_spec_that_is_loaded(tmp_path: Path) -> None:
    by_text = report_html(cnnspec.Source("a.yaml", CLASSIFIER))
    assert "<title>tiny: report</title>" in by_text
    assert "<title>tiny: report</title>" in report_html(cnnspec.loads(CLASSIFIER))
