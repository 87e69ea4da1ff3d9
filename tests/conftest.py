"""What the tests of the command line share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

# The tests run in several processes: threads on top of those would wait for each other. Before anyone imports numpy.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import pytest  # noqa: E402
from click.testing import CliRunner, Result  # noqa: E402
from hypothesis import settings  # noqa: E402

# No test asserts a time: what an example takes depends on what else the machine does.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent

Cnnspec = Callable[..., Result]


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output must not depend on the terminal that the tests happen to run in."""
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "CNNSPEC_MEMORY_LIMIT", "CNNSPEC_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])  # processes inherit it: what a test adds ends with the test


@pytest.fixture
def cnnspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cnnspec:
    """Runs a command in an empty working directory and fails on anything but a clean exit."""
    from cnnspec.cli import main
    from cnnspec.language.project import cache

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache, "FOLDER", str(tmp_path.with_name(f"{tmp_path.name}-checks")))

    def run(*args: str | Path, **extra: Any) -> Result:
        result = CliRunner().invoke(main, [str(arg) for arg in args], prog_name="cnnspec", **extra)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python -m cnnspec` as a process of its own, in an empty working directory."""

    def run(*args: str | Path, code: str | None = None, **extra: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *(["-c", code] if code else ["-m", "cnnspec"]), *map(str, args)]
        environment = {**os.environ, **extra.pop("env", {})}
        return subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, env=environment, **extra
        )

    return run


@pytest.fixture(scope="session")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module `keras`, on PyTorch and with a configuration of its own: it reads both as it is imported."""
    pytest.importorskip("torch", reason="Keras runs on the extra `torch` here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        return pytest.importorskip("keras", reason="the extra `keras` is not installed")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The Chromium of the system, without a screen; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of a browser; fails at the end for a message of an error, and for a request that leaves the machine."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: None if _stays(request.url) else faults.append(f"request: {request.url}"))
    yield page
    context.close()
    assert faults == []


def _stays(url: str) -> bool:
    """Whether a request stays on this machine."""
    return urlsplit(url).scheme in ("file", "data", "blob", "about") or urlsplit(url).hostname == "127.0.0.1"
