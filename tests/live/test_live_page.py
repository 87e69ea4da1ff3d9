"""The page in a browser: what a user sees after a save, a picture, an epoch and a restart."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from live import BROKEN, GOOD, PATIENCE, Server, serving
from test_live_network import png, saved

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect
expect.set_options(timeout=PATIENCE * 1000)

BLOCKS = """\
name: blocks
input: [1, 8, 8]
blocks:
  pair: {params: {c: int}, layers: [conv: {channels: $c, kernel: 3, padding: same}, max_pool: 2]}
layers:
  - pair: {name: first, c: 4}
  - pair: {name: second, c: 4}
  - flatten
  - dense: 3
"""
DROP = """(file) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(file.bytes)], file.name, { type: file.type }));
  const options = { bubbles: true, cancelable: true, dataTransfer: data };
  document.querySelector("#drop").dispatchEvent(new DragEvent("dragover", options));
  document.querySelector("#drop").dispatchEvent(new DragEvent("drop", options));
}"""

Serve = Callable[..., Server]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(spec: Path, *options: str | Path) -> Server:
            return stack.enter_context(serving(spec, *options, cwd=tmp_path))

        yield start


def drop(page: Page, data: bytes, name: str = "a.png", kind: str = "image/png") -> None:
    page.evaluate(DROP, {"bytes": [*data], "name": name, "type": kind})


def axe(page: Page) -> list[Any]:
    """The faults of accessibility, each with the elements that have it."""
    runner = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    found = runner.run(page).response["violations"]
    return [(fault["id"], [node["target"] for node in fault["nodes"]]) for fault in found]


def test_edit_break_and_mend(serve: Serve, page: Page, spec: Path) -> None:
    page.goto(serve(spec).url)
    diagram, status = page.locator("#diagram"), page.locator("#status")
    expect(diagram).to_contain_text("4×6×6")
    expect(status).to_contain_text("tiny: every shape fits")
    spec.write_text(GOOD.replace("channels: 4", "channels: 5"))
    expect(diagram).to_contain_text("5×6×6")
    expect(page.locator("#costs")).to_contain_text("5×6×6")
    spec.write_text(BROKEN)
    diagnostic = page.locator(".diagnostic")
    expect(diagnostic).to_contain_text("error[kernel-too-large]")
    expect(diagnostic).to_contain_text("4 |   - conv: {channels: 4, kernel: 9}")
    expect(diagnostic).to_contain_text("^ 9×9 window")
    expect(status).to_contain_text("error kernel-too-large, line 4")
    assert status.get_attribute("role") == "status"
    expect(diagram).to_contain_text("5×6×6")
    assert float(diagram.evaluate("e => getComputedStyle(e).opacity")) < 1
    assert diagnostic.bounding_box()["y"] < diagram.bounding_box()["y"]  # type: ignore[index]
    spec.write_text(GOOD.replace("kernel: 3", "kernel: 5"))
    expect(diagram).to_contain_text("4×4×4")
    expect(diagnostic).to_have_count(0)
    assert float(diagram.evaluate("e => getComputedStyle(e).opacity")) == 1


def test_what_the_reader_did_to_the_diagram_stays(serve: Serve, page: Page, spec: Path) -> None:
    spec.write_text(BLOCKS)
    page.set_viewport_size({"width": 1000, "height": 420})
    page.goto(serve(spec).url)
    fold = page.locator(".block[data-name=second] > .toggle")
    fold.focus()
    page.keyboard.press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "false")
    page.locator(".layer[data-name=dense1]").click()
    expect(page.locator("#costs tr.chosen")).to_contain_text("dense1")
    fold.focus()
    place = page.locator("#diagram")
    place.evaluate("e => { e.scrollTop = 90 }")
    costs = page.locator("#costs table").element_handle()
    spec.write_text(BLOCKS.replace("name: first, c: 4", "name: first, c: 6"))
    expect(page.locator(".block[data-name=first]")).to_contain_text("6×4×4")
    assert place.evaluate("e => e.scrollTop") == 90
    expect(fold).to_have_attribute("aria-expanded", "false")
    expect(page.locator(".block[data-name=first] > .toggle")).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".layer.chosen")).to_have_attribute("data-name", "dense1")
    expect(fold).to_be_focused()
    assert not costs.evaluate("e => e.isConnected"), "the costs have changed, too"
    svg = page.locator("#diagram svg").element_handle()
    spec.write_text(BROKEN)
    expect(page.locator(".diagnostic")).to_have_count(1)
    assert svg.evaluate("e => e.isConnected"), "what has not changed is not replaced"


def test_a_large_network(serve: Serve, page: Page, spec: Path) -> None:
    """With blocks that are folded at first; the fixture `page` sees what the page's policy refuses."""
    page.goto(serve(Path("resnet50")).url)
    unit = page.locator('.block[data-name="stage1.unit0"]')
    expect(unit).to_have_attribute("data-folded", "true")
    hidden = unit.locator("polygon[display=none]").first
    expect(hidden).to_have_count(1)
    unit.locator("> .toggle").click()
    expect(unit.locator('.layer[data-name="stage1.unit0.conv1"]').or_(unit.locator(".layer")).first).to_be_visible()


def test_a_picture_that_is_dropped(serve: Serve, page: Page, spec: Path) -> None:
    page.goto(serve(spec).url)
    expect(page.locator("#outputs")).to_contain_text("A picture runs through the network here")
    drop(page, png(8, 8), "<b>été</b>.png")
    expect(page.locator("#outputs")).to_contain_text("<b>été</b>.png (8×8 pixels); initial weights")
    expect(page.locator("#outputs")).to_contain_text("not trained")
    expect(page.locator(".classes tr")).to_have_count(3)
    image = page.get_by_alt_text("conv1: all channels")
    image.scroll_into_view_if_needed()
    page.wait_for_function("e => e.complete && e.naturalWidth > 0", arg=image.element_handle())
    spec.write_text(GOOD.replace("channels: 4", "channels: 20"))  # is renewed with the spec
    expect(page.get_by_alt_text("conv1: the first 16 of 20 channels")).to_be_visible()
    spec.write_text(BROKEN)
    expect(page.locator(".diagnostic")).to_have_count(1)
    expect(page.get_by_alt_text("conv1: the first 16 of 20 channels")).to_be_visible()


def test_a_picture_that_is_chosen_with_the_keyboard(serve: Serve, page: Page, spec: Path, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(png(8, 8))
    # from the start, since the driver does not wait until the browser hands choosers to it
    with page.expect_file_chooser() as chooser:
        page.goto(serve(spec, "--weights", saved(tmp_path)).url)
        expect(page.locator("#connection")).to_have_text("live")
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "file":
                break
        expect(page.get_by_label("Picture")).to_be_focused()
        page.keyboard.press("Space")
    chooser.value.set_files(tmp_path / "b.png")
    expect(page.locator("#outputs")).to_contain_text("weights.safetensors")


def test_files_that_are_no_pictures(chromium: Browser, serve: Serve, spec: Path) -> None:
    """The browser reports a refusal on its console, which the fixture `page` takes as a fault."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(serve(spec).url)
    sending = page.locator("#sending")
    drop(page, b"GIF89a" + bytes(50), "a.gif", "image/gif")
    expect(sending).to_contain_text("`a.gif`")
    drop(page, b"<svg onload=alert(1)>", "<i>x</i>.svg", "image/svg+xml")
    expect(sending).to_contain_text("`<i>x</i>.svg`")
    page.evaluate("send(new File([new Uint8Array(17_000_000)], 'large.png'))")
    expect(sending).to_have_text("large.png is too large")
    drop(page, png(8, 8), "good.png")
    expect(page.locator("#outputs")).to_contain_text("good.png")
    expect(sending).to_have_text("")
    context.close()


def test_networks_that_take_no_picture_say_so(serve: Serve, page: Page, spec: Path) -> None:
    spec.write_text("input: [5]\nlayers: [dense: 2]\n")
    page.goto(serve(spec).url)
    drop(page, png(8, 8))
    expect(page.locator("#outputs .fault")).to_contain_text("takes 5, and no picture")


def test_the_curves_of_a_training_move(serve: Serve, page: Page, spec: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.standard_normal((64, 1, 8, 8)).astype(np.float32), y=rng.integers(0, 3, 64))
    page.goto(serve(spec, "--run", tmp_path / "run").url)
    curves = page.locator("#curves")
    expect(curves).to_contain_text("no run is there yet")
    command = [
        sys.executable,
        "-m",
        "cnnspec",
        "train",
        spec,
        "--data",
        "data.npz",
        "--out",
        "run",
        "--epochs",
        "100000",
    ]
    training = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        chart = page.locator(".chart[aria-label^=loss]")
        expect(chart.locator("polyline")).to_be_visible()

        def epochs() -> int:
            return int((chart.get_attribute("aria-label") or "").split(";")[0].rpartition(" ")[2])

        before = epochs()
        expect(chart).not_to_have_attribute("aria-label", re.compile(rf"to {before};"))
        assert epochs() > before
        expect(curves).to_contain_text("of 100000")
        for title in ("loss", "accuracy", "learning rate"):
            expect(curves.get_by_text(title, exact=True)).to_be_visible()
    finally:
        training.send_signal(signal.SIGINT)
        training.wait(PATIENCE)


def test_a_page_finds_its_server_again(chromium: Browser, tmp_path: Path, spec: Path) -> None:
    """While the server is away the browser reports errors, which the fixture `page` takes as faults."""
    context = chromium.new_context()
    page = context.new_page()
    with serving(spec, cwd=tmp_path) as first:
        page.goto(first.url)
        expect(page.locator("#connection")).to_have_text("live")
        expect(page.locator("#diagram")).to_contain_text("4×6×6")
        first.stop()
    expect(page.locator("#connection")).to_contain_text("not connected")
    expect(page.locator("#diagram")).to_contain_text("4×6×6")
    spec.write_text(GOOD.replace("channels: 4", "channels: 7"))
    with serving(spec, "--port", str(first.port), cwd=tmp_path) as second:
        expect(page.locator("#connection")).to_have_text("live")
        expect(page.locator("#diagram")).to_contain_text("7×6×6")
        drop(page, png(8, 8), "again.png")
        expect(page.locator("#outputs")).to_contain_text("again.png")
        assert second.stop() == 0
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_accessibility(serve: Serve, page: Page, spec: Path, tmp_path: Path, theme: Any, width: int) -> None:
    records = "".join(f'{{"epoch": {i}, "step": {i}, "loss": {3 / i}, "learning_rate": 0.1}}\n' for i in range(1, 9))
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text(records)
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 800})
    spec.write_text(BLOCKS)
    page.goto(serve(spec, "--run", tmp_path).url)
    drop(page, png(8, 8))
    expect(page.locator(".classes tr")).to_have_count(3)
    expect(page.locator(".chart")).to_have_count(2)
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    spec.write_text(BLOCKS.replace("dense: 3", "dense: three"))
    expect(page.locator(".diagnostic")).to_have_count(1)
    assert axe(page) == []


def test_the_theme_can_be_chosen(serve: Serve, page: Page, spec: Path) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(serve(spec).url)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.get_by_role("button", name="Theme: automatic")
    button.click()
    expect(page.get_by_role("button", name="Theme: light")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#theme")).to_have_text("Theme: dark")
    assert page.evaluate(ground) != light
    page.reload()
    expect(page.locator("#theme")).to_have_text("Theme: dark")
    assert page.evaluate(ground) != light
    page.locator("#theme").click()
    assert page.evaluate(ground) == light


def test_500_edits_leave_the_last_state_and_nothing_else(serve: Serve, page: Page, spec: Path) -> None:
    """Broken and whole in turns, with a page that is open and a picture that is computed each time."""
    server = serve(spec)
    page.goto(server.url)
    drop(page, png(8, 8))
    expect(page.locator(".maps li")).to_have_count(5)

    def edit(count: int, last: int) -> None:
        for i in range(count):
            spec.write_text(BROKEN if i % 2 else GOOD.replace("channels: 4", f"channels: {4 + i % 7}"))
            time.sleep(0.01)
        spec.write_text(GOOD.replace("channels: 4", f"channels: {last}"))
        expect(page.locator("#diagram")).to_contain_text(f"{last}×6×6")
        expect(page.locator("[data-layer=conv1] h3")).to_contain_text(f"{last}×6×6")
        expect(page.locator(".diagnostic")).to_have_count(0)

    edit(50, 30)  # until everything is loaded and warm
    before = resources(server.process.pid)
    elements = page.evaluate("document.querySelectorAll('*').length")
    edit(500, 31)
    after = resources(server.process.pid)
    assert after["threads"] <= before["threads"] + 1
    assert after["files"] <= before["files"] + 2
    assert after["memory"] <= before["memory"] + 6 * 2**20
    assert page.evaluate("document.querySelectorAll('*').length") == elements


def test_pages_that_come_and_go_leave_nothing(chromium: Browser, serve: Serve, spec: Path) -> None:
    server = serve(spec)

    def visit(times: int) -> None:
        for _ in range(times):
            context = chromium.new_context()
            page = context.new_page()
            page.goto(server.url)
            expect(page.locator("#diagram")).to_contain_text("4×6×6")
            context.close()

    visit(3)
    before = resources(server.process.pid)
    visit(25)
    give_up = time.monotonic() + PATIENCE
    while resources(server.process.pid)["files"] > before["files"] + 4:  # connections are kept for some seconds
        assert time.monotonic() < give_up, resources(server.process.pid)
        time.sleep(0.2)
    assert resources(server.process.pid)["threads"] <= before["threads"] + 2


def resources(pid: int) -> dict[str, int]:
    """The open files, the threads and the bytes of memory of a process."""
    process = Path(f"/proc/{pid}")
    if not process.exists():
        pytest.skip("needs the table of processes of Linux")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    memory = int(status["VmRSS"].split()[0]) * 1024
    return {"files": len([*(process / "fd").iterdir()]), "threads": int(status["Threads"]), "memory": memory}
