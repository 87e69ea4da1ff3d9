"""Files of a hub: downloads by the real library from a server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnspec as package
from cnnspec import bundled
from cnnspec.errors import WeightsError
from cnnspec.weights import conversion, hub
from cnnspec.weights import files as weights

SUFFIXES = (".safetensors",)
PIN = "0123456789abcdef" * 4
COMMIT = "c" * 40
FILE = "hf://owner/name/model.safetensors"
LENET = package.load("lenet")


def refused(call: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        call(*arguments)
    return str(caught.value)


@dataclass
class Hub:
    """A server with the endpoints of a hub that a download uses, and its cache."""

    url: str
    cache: Path
    files: dict[str, bytes] = field(default_factory=dict)
    """Contents of owner/name, by path."""
    etags: dict[str, str] = field(default_factory=dict)
    """Hashes other than those of the contents."""
    gated: bool = False
    cut: int = -1
    """The bytes after which connections end; all bytes are sent where it is negative."""
    requests: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None

    def left(self) -> list[str]:
        """The contents in the cache, whole or not."""
        return [path.name for path in self.cache.rglob("blobs/*")]


def answer(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.respond(body=False)

        def do_GET(self) -> None:
            self.respond(body=True)

        def log_message(self, *arguments: Any) -> None:
            pass

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def respond(self, body: bool) -> None:
            if "/resolve/" not in self.path:  # the library asks for other things, too
                self.refuse(404, "")
                return
            owner, name, _, revision, *file = self.path.strip("/").split("/")
            hub.requests.append(f"{self.command} {self.path}")
            content = hub.files.get("/".join(file))
            if (owner, name) != ("owner", "name"):
                self.refuse(401, "RepoNotFound")
            elif hub.gated:
                self.refuse(401, "GatedRepo")
            elif revision not in ("main", "v1", COMMIT):
                self.refuse(404, "RevisionNotFound")
            elif content is None:
                self.refuse(404, "EntryNotFound")
            else:
                start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
                digest = hub.etags.get("/".join(file)) or hashlib.sha256(content).hexdigest()
                self.send_response(206 if start else 200)
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("X-Linked-Etag", f'"{digest}"')
                self.send_header("ETag", f'"{digest}"')
                self.send_header("X-Linked-Size", str(len(content)))
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                if body:
                    self.wfile.write(content[start:] if hub.cut < 0 else content[start : max(start, hub.cut)])

    return Answer


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    library = pytest.importorskip("huggingface_hub.file_download", reason="huggingface_hub is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    found = Hub(f"http://127.0.0.1:{server.server_port}", tmp_path / "cache" / "hub")
    server.RequestHandlerClass = answer(found)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    found.close = close
    settings = {
        "ENDPOINT": found.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{found.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        "HF_HUB_CACHE": str(found.cache),
        "HF_HUB_OFFLINE": False,
    }
    for name, value in settings.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        monkeypatch.setattr(library, name, value, raising=False)  # old versions have copies
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between attempts
    for name in ("HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    found.files["model.safetensors"] = (bundled.folder() / "lenet.safetensors").read_bytes()
    try:
        yield found
    finally:
        if thread.is_alive():
            close()


class TestDownloads:
    def test_a_network_has_the_weights_of_the_file(self, served: Hub) -> None:
        model = package.build("lenet", weights=FILE)
        expected = weights.read(weights.find("lenet"))
        assert all((model.state()[name] == array).all() for name, array in expected.items())
        content = served.files["model.safetensors"]
        assert served.left() == [hashlib.sha256(content).hexdigest()]

    def test_the_second_use_takes_the_cache(self, served: Hub) -> None:
        first = hub.local(FILE, SUFFIXES)
        assert hub.local(FILE, SUFFIXES) == first
        assert [request.split()[0] for request in served.requests].count("GET") == 1
        served.close()
        assert hub.local(FILE, SUFFIXES) == first
        assert hub.local(f"hf://owner/name@{COMMIT}/model.safetensors", SUFFIXES) == first

    def test_offline_it_takes_the_cache_alone(self, served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        first = hub.local(FILE, SUFFIXES)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        before = list(served.requests)
        assert hub.local(FILE, SUFFIXES) == first
        assert refused(hub.local, "hf://owner/name/other.safetensors", SUFFIXES) == (
            "`hf://owner/name/other.safetensors`: HF_HUB_OFFLINE is set, and the file is not in the cache "
            f"`{served.cache}`; download {served.url}/owner/name/resolve/main/other.safetensors where there is a "
            "connection, and pass the path of the file"
        )
        assert served.requests == before

    def test_a_revision_and_a_folder(self, served: Hub) -> None:
        served.files["deep/er/w.safetensors"] = served.files["model.safetensors"]
        hub.local("hf://owner/name@v1/deep/er/w.safetensors", SUFFIXES)
        assert served.requests[-1] == "GET /owner/name/resolve/v1/deep/er/w.safetensors"

    def test_a_content_that_is_pinned(self, served: Hub) -> None:
        digest = hashlib.sha256(served.files["model.safetensors"]).hexdigest()
        hub.local(f"{FILE}#sha256={digest}", SUFFIXES)
        assert refused(package.build, "lenet", "numpy", f"{FILE}#sha256={PIN}") == (
            f"`{FILE}#sha256={PIN}` is not used: its SHA-256 is {digest}, and the reference says {PIN}"
        )

    def test_a_content_that_is_not_what_the_hub_says(self, served: Hub) -> None:
        served.etags["model.safetensors"] = PIN
        digest = hashlib.sha256(served.files["model.safetensors"]).hexdigest()
        assert refused(hub.local, FILE, SUFFIXES).startswith(
            f"`{FILE}` is not used: its SHA-256 is {digest}, and the hub says {PIN}; delete `{served.cache}"
        )

    def test_a_file_of_the_cache_that_was_changed(self, served: Hub) -> None:
        path = hub.local(FILE, SUFFIXES).resolve()
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        message = refused(hub.local, FILE, SUFFIXES)
        assert message.endswith(f"delete `{path}` to download it again")
        path.unlink()
        assert hub.local(FILE, SUFFIXES).read_bytes() == served.files["model.safetensors"]

    def test_a_file_in_git_itself_has_another_hash(self, served: Hub) -> None:
        """Its name is git's SHA-1, with which no SHA-256 is compared."""
        served.etags["model.safetensors"] = "a" * 40
        assert hub.local(FILE, SUFFIXES).read_bytes() == served.files["model.safetensors"]

    def test_a_cache_without_links_asks_the_hub(self, served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda *arguments: False)
        served.etags["model.safetensors"] = PIN
        assert "and the hub says" in refused(hub.local, FILE, SUFFIXES)


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("hf://owner/name/no.safetensors", "`owner/name` has no file `no.safetensors` at the revision `main`"),
            ("hf://owner/name@v2/model.safetensors", "`owner/name` has no revision `v2`"),
            ("hf://owner/other/model.safetensors", "there is no repository `owner/other` at http"),
            ("hf://owner/other/model.safetensors", "or it is private: then log in with"),
            ("hf://owner/a--b/model.safetensors", "`owner/a--b` is no repository: "),
        ],
    )
    def test_what_is_not_there(self, served: Hub, text: str, reason: str) -> None:
        message = refused(hub.local, text, SUFFIXES)
        assert message.startswith(f"`{text}`: ")
        assert reason in message

    def test_a_gated_repository(self, served: Hub) -> None:
        served.gated = True
        message = refused(hub.local, FILE, SUFFIXES)
        assert f"`owner/name` is gated: accept its conditions at {served.url}/owner/name, and log in" in message

    def test_no_connection(self, served: Hub) -> None:
        served.close()
        message = refused(hub.local, FILE, SUFFIXES)
        assert message.startswith(f"`{FILE}`: the download failed (")
        assert f"; download {served.url}/owner/name/resolve/main/model.safetensors where there is" in message

    def test_a_connection_that_is_cut(self, served: Hub) -> None:
        served.cut = 1000
        assert refused(hub.local, FILE, SUFFIXES).startswith(f"`{FILE}`: the download failed (")
        assert [name for name in served.left() if not name.endswith(".incomplete")] == []
        served.cut = -1
        assert hub.local(FILE, SUFFIXES).read_bytes() == served.files["model.safetensors"]

    def test_an_interrupt_leaves_no_file(self, served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*arguments: Any, **options: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("huggingface_hub.file_download._chmod_and_move", interrupted)
            with pytest.raises(KeyboardInterrupt):
                hub.local(FILE, SUFFIXES)
        assert [name for name in served.left() if not name.endswith(".incomplete")] == []
        assert hub.local(FILE, SUFFIXES).read_bytes() == served.files["model.safetensors"]


class TestNames:
    """Messages and records have the reference, not the place in the cache."""

    def test_weights_of_another_network(self, served: Hub) -> None:
        assert refused(package.build, "mlp", "numpy", FILE).startswith(f"{FILE} does not fit the network `mlp`:")

    def test_a_broken_file(self, served: Hub) -> None:
        served.files["model.safetensors"] = b"nothing"
        for call in (lambda: package.build("lenet", weights=FILE), lambda: conversion.convert(LENET.graph, FILE)):
            assert refused(call).startswith(f"`{FILE}` is not a complete safetensors file: ")

    def test_a_broken_file_of_pytorch(self, served: Hub) -> None:
        pytest.importorskip("torch")
        served.files["model.pth"] = b"nothing"
        message = refused(conversion.convert, LENET.graph, "hf://owner/name/model.pth")
        assert message.startswith("`hf://owner/name/model.pth` cannot be read: ")

    def test_the_commands(self, served: Hub, cnnspec: Callable[..., Any], tmp_path: Path) -> None:
        shown = json.loads(cnnspec("weights", "show", FILE, "--format", "json").stdout)
        assert shown["file"] == FILE
        ran = json.loads(cnnspec("run", "lenet", "--weights", FILE, "--format", "json").stdout)
        assert ran["weights"] == FILE
        assert f"weights {FILE}" in cnnspec("run", "lenet", "--weights", FILE).stdout
        converted = cnnspec("weights", "convert", "lenet", "--from", FILE, "-o", "out.safetensors")
        assert f"weights of {FILE}" in converted.stdout
        assert weights.metadata(tmp_path / "out.safetensors") == {"spec": "lenet", "source": FILE}
        source, ours = weights.read(weights.find("lenet")), weights.read(tmp_path / "out.safetensors")
        assert all(np.array_equal(ours[name], source[name]) for name in source)

    def test_an_error_is_a_message(self, served: Hub, cnnspec: Callable[..., Any]) -> None:
        for command in (["run", "lenet", "--weights"], ["weights", "show"]):
            result = cnnspec(*command, "hf://owner/name/no.safetensors")
            assert result.exit_code == 1
            assert "has no file `no.safetensors`" in result.stderr


def test_the_variables_of_the_library_hold(served: Hub, process: Callable[..., Any], tmp_path: Path) -> None:
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE."""
    home = tmp_path / "home"
    about = {"HF_ENDPOINT": served.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    for extra in ({}, {"HF_HUB_OFFLINE": "1"}):
        result = process("weights", "show", FILE, env={**os.environ, **about, **extra})
        assert result.returncode == 0, result.stderr
        assert "conv1.weight" in result.stdout
    assert sum(request.startswith("GET") for request in served.requests) == 1
    assert len([*home.rglob("blobs/*")]) == 1
