"""The server as a process: who is served, what is refused, and that nothing is left of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live import BROKEN, GOOD, PATIENCE, Server, serving
from test_live_network import bomb, png


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for what changes nothing."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "net.yaml").write_text(GOOD)
    (folder / "secret.txt").write_text("secret of the folder")
    with serving("net.yaml", cwd=folder) as found:
        yield found


class TestWhoIsServed:
    def test_the_page_is_whole_and_strict(self, server: Server) -> None:
        status, headers, body = server.ask()
        assert status == 200
        assert b"<title>net.yaml" in body
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
        for asset in re.findall(rb'(?:href|src)="(assets/[^"]+)"', body):
            assert server.ask(asset.decode())[0] == 200

    def test_it_listens_on_the_loopback_interface_alone(self, server: Server) -> None:
        assert server.url.startswith("http://127.0.0.1:")
        table = Path("/proc/net/tcp")
        if not table.exists():
            pytest.skip("needs the table of sockets of Linux")
        listening = [line.split()[1] for line in table.read_text().splitlines()[1:] if line.split()[3] == "0A"]
        assert [place for place in listening if place.endswith(f":{server.port:04X}")] == [
            f"0100007F:{server.port:04X}"
        ]
        with socket.socket(socket.AF_INET6) as other, pytest.raises(OSError):  # noqa: PT011  (any reason)
            other.connect(("::1", server.port))

    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
    def test_its_own_names(self, server: Server, name: str) -> None:
        assert server.ask(Host=f"{name}:{server.port}")[0] == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:{port}", "",
         "[::1]:{port}", "127.0.0.1:{port}@evil.example", "0.0.0.0:{port}", "LOCALHOST.:{port}"],
    )  # fmt: skip
    def test_another_host_is_refused(self, server: Server, host: str) -> None:
        """A name of somebody else that leads to 127.0.0.1 (DNS rebinding)."""
        for path in ("", "events", "assets/page.js"):
            status, _, body = server.ask(path, Host=host.format(port=server.port))
            assert status == 400
            assert b"tiny" not in body

    @pytest.mark.parametrize(
        "origin",
        ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", "http://localhost:{port}"],
    )
    def test_another_origin_is_refused(self, server: Server, origin: str) -> None:
        origin = origin.format(port=server.port)
        assert server.ask("events", Origin=origin)[0] == 403
        assert server.post(png(8, 8), Origin=origin)[0] == 403

    def test_a_post_without_an_origin_is_refused(self, server: Server) -> None:
        assert server.ask("picture", "POST", png(8, 8))[0] == 403

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_requests_of_other_sites_are_refused(self, server: Server, site: str) -> None:
        for path in ("", "events", "assets/page.js"):
            assert server.ask(path, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="script")[0] == 403
        assert server.ask(Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe")[0] == 403

    def test_a_link_of_another_site_may_be_followed(self, server: Server) -> None:
        link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
        assert server.ask(**link)[0] == 200
        assert server.ask("picture", "POST", png(8, 8), Origin="http://evil.example", **link)[0] == 403

    def test_without_the_token_nothing_is_served(self, server: Server) -> None:
        wrong = "/" + "0" * 32
        for path in (
            "/",
            "/events",
            "/picture",
            "/assets/page.js",
            f"{wrong}/",
            f"{wrong}/events",
            server.base.rstrip("/"),
            server.base.upper(),
        ):
            status, _, body = server.ask(path)
            assert status == 403, path
            assert b"tiny" not in body
        own = f"http://127.0.0.1:{server.port}"
        assert server.ask(f"{wrong}/picture", "POST", png(8, 8), Origin=own)[0] == 403

    @pytest.mark.parametrize(
        "path",
        ["../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "assets/../../../../etc/passwd",
         "assets/..%2f..%2f..%2fetc%2fpasswd", "assets/%2e%2e/session.py", "assets/page.html", "assets//etc/passwd",
         "maps/../../../secret.txt", "maps/..%2fsecret.txt", "maps/%2fetc%2fpasswd", "net.yaml", "secret.txt",
         "assets/secret.txt", "assets/", "%00", "assets/page.css%00", "assets/..\\..\\secret.txt"],
    )  # fmt: skip
    def test_there_is_no_way_to_files(self, server: Server, path: str) -> None:
        status, _, body = server.ask(path)
        assert status == 404
        assert b"root:" not in body
        assert b"secret" not in body

    @pytest.mark.parametrize("path", ["/etc/passwd", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"])
    def test_nor_without_the_token(self, server: Server, path: str) -> None:
        assert server.ask(path)[0] == 403

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
    def test_other_methods_are_refused(self, server: Server, method: str) -> None:
        for path in ("", "events", "picture"):
            assert server.ask(path, method)[0] in (403, 405)


class TestPictures:
    def test_a_picture_is_computed(self, server: Server) -> None:
        assert server.post(png(8, 8), X_File_Name="%C3%A9t%C3%A9%3Cb%3E.png")[0] == 204
        with server.reader() as reader:
            sections = reader.until(lambda s: "été" in s["outputs"])
        assert "été&lt;b&gt;.png" in sections["outputs"]
        assert "not trained" in sections["outputs"]
        (first, *_) = re.findall(r'src="(maps/[^"]+)"', sections["maps"])
        status, headers, body = server.ask(first)
        assert (status, headers["content-type"]) == (200, "image/png")
        assert body.startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        "data", [b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4", png(8, 8)[:50]]
    )
    def test_other_files_are_refused(self, server: Server, data: bytes) -> None:
        status, headers, body = server.post(data, X_File_Name="a.png")
        assert status == 415
        assert headers["content-type"].startswith("text/plain")
        assert b"a.png" in body

    def test_a_decompression_bomb_is_refused(self, server: Server) -> None:
        assert server.post(bomb(30_000, 30_000))[0] == 415
        assert server.post(bomb(5_000, 5_000))[0] == 415

    def test_a_body_that_is_too_large_is_refused_before_it_is_read(self, server: Server) -> None:
        own = f"http://127.0.0.1:{server.port}"
        head = f"POST {server.base}picture HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {own}\r\n"
        for announced in ("Content-Length: 99999999999\r\n\r\n", "Content-Length: 16000001\r\n\r\n"):
            assert raw(server, head + announced).startswith(b"HTTP/1.1 413")

    def test_one_that_does_not_say_how_large_it_is(self, server: Server) -> None:
        own = f"http://127.0.0.1:{server.port}"
        head = f"POST {server.base}picture HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {own}\r\n"
        chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
        answer = raw(server, head + "Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 17)
        assert answer.startswith(b"HTTP/1.1 413")


def raw(server: Server, head: str, *chunks: bytes) -> bytes:
    """The beginning of the answer to bytes as they are."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall(head.encode())
        for chunk in chunks:
            connection.sendall(chunk)
        return connection.recv(100)


class TestLife:
    @pytest.fixture
    def spec(self, tmp_path: Path) -> Path:
        path = tmp_path / "net.yaml"
        path.write_text(GOOD)
        return path

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_with_open_pages_and_leaves_nothing(self, spec: Path, number: int) -> None:
        with serving(spec, cwd=spec.parent) as server, server.reader() as reader, server.reader() as other:
            reader.until(lambda s: s["status"])
            other.until(lambda s: s["status"])
            assert children(server.process.pid) == []
            status = server.stop(number)
            assert status == (0 if number == signal.SIGINT else -number)
            reader.answer.read()  # a stream that was cut off would raise IncompleteRead
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", server.port))  # is free again

    def test_ctrl_c_in_the_middle_of_a_network(self, spec: Path) -> None:
        """A network that takes minutes does not delay the end."""
        spec.write_text("input: [3, 256, 256]\nlayers:\n" + "  - conv: {channels: 64, kernel: 9, padding: same}\n" * 20)
        with serving(spec, cwd=spec.parent) as server, server.reader() as reader:
            reader.until(lambda s: s["status"])
            assert server.post(png(256, 256, 3))[0] == 204
            time.sleep(1)
            assert server.stop() == 0
            rest = reader.answer.read()
            assert b"conv20" not in rest, "it was still computing"

    def test_a_port_of_its_own_and_one_that_is_in_use(self, spec: Path, process: Any) -> None:
        with serving(spec, cwd=spec.parent) as server:
            result = process("show", spec, "--watch", "--port", server.port)
            assert result.returncode == 2
            assert f"the port {server.port} of 127.0.0.1 is in use" in result.stderr
            assert "Traceback" not in result.stderr

    def test_after_a_restart_on_the_same_port_the_address_is_the_same(self, spec: Path) -> None:
        with serving(spec, cwd=spec.parent) as first:
            first.stop()
        with serving(spec, "--port", str(first.port), cwd=spec.parent) as second:
            assert second.url == first.url
            assert second.ask()[0] == 200

    def test_it_opens_the_browser_where_it_is_asked_to(self, spec: Path) -> None:
        script = spec.parent / "browser.py"
        script.write_text("import sys; from pathlib import Path; Path(sys.argv[1]).write_text(sys.argv[2])")
        opened = spec.parent / "opened"
        with serving(spec, "--open", cwd=spec.parent, BROWSER=f"{sys.executable} {script} {opened} %s") as server:
            give_up = time.monotonic() + PATIENCE
            while not (opened.exists() and opened.read_text()):
                assert time.monotonic() < give_up
                time.sleep(0.02)
            assert opened.read_text() == server.url

    def test_ipv6_where_it_is_asked_for(self, spec: Path) -> None:
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no ::1")
        with serving(spec, "--ipv6", cwd=spec.parent) as server:
            with socket.create_connection(("::1", server.port), PATIENCE) as connection:
                request = f"GET {server.base} HTTP/1.1\r\nHost: [::1]:{server.port}\r\nConnection: close\r\n\r\n"
                connection.sendall(request.encode())
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
            assert server.ask()[0] == 200

    def test_a_broken_spec_is_served(self, spec: Path) -> None:
        spec.write_text(BROKEN)
        with serving(spec, cwd=spec.parent) as server, server.reader() as reader:
            sections = reader.until(lambda s: "kernel-too-large" in s["diagnostics"])
            assert "diagram" not in sections
            spec.write_text(GOOD)
            assert "conv1" in reader.until(lambda s: not s["state"]["broken"])["diagram"]

    def test_weights_are_watched(self, spec: Path, cnnspec: Any) -> None:
        from test_live_network import saved

        weights = spec.parent / "w.safetensors"
        with serving(spec, "--weights", str(weights), cwd=spec.parent) as server, server.reader() as reader:
            assert server.post(png(8, 8))[0] == 204
            assert "no weights" in reader.until(lambda s: "fault" in s["outputs"])["outputs"]
            saved(spec.parent).replace(weights)
            first = reader.until(lambda s: "weights " in s["outputs"] and s["maps"])["maps"]
            with weights.open("rb+") as file:  # the last bytes are a number of the last array
                file.seek(-4, os.SEEK_END)
                file.write(b"\0\0\x80\x42")
            assert reader.until(lambda s: s["maps"] != first)
            spec.write_text(GOOD.replace("dense: 3", "dense: 4"))
            assert "does not fit" in reader.until(lambda s: "fault" in s["outputs"])["outputs"]


def children(pid: int) -> list[str]:
    """The processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.exists():
        pytest.skip("needs the table of processes of Linux")
    return [child for task in tasks.iterdir() for child in (task / "children").read_text().split()]


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x"])
def test_ports_that_are_none(cnnspec: Any, tmp_path: Path, port: str) -> None:
    (tmp_path / "net.yaml").write_text(GOOD)
    result = cnnspec("show", "net.yaml", "--watch", "--port", port)
    assert result.exit_code == 2


def test_options_of_the_page_without_it(cnnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(GOOD)
    result = cnnspec("show", "net.yaml", "--port", "8000", "--open")
    assert result.exit_code == 2
    assert "--port, --open" in result.output


def test_standard_input_cannot_be_watched(cnnspec: Any) -> None:
    result = cnnspec("show", "-", "--watch")
    assert result.exit_code == 2
    assert "standard input" in result.output


def test_without_the_extra(process: Any, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(GOOD)
    code = "import sys; sys.modules['starlette'] = None\nfrom cnnspec.cli import main; main()"
    result = process("show", "net.yaml", "--watch", code=code)
    assert result.returncode == 2
    assert "pip install 'cnnspec[live]'" in result.stderr
    assert "Traceback" not in result.stderr
