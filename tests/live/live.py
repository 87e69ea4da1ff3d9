"""A server of the live page as a process, and what the tests do with it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

for _module in ("starlette", "uvicorn", "watchfiles", "jinja2", "PIL"):
    pytest.importorskip(_module, reason="the extra `live` is not installed")

COMMAND = (sys.executable, "-u", "-m", "cnnspec", "show")
GOOD = """\
name: tiny
input: [1, 8, 8]
layers:
  - conv: {channels: 4, kernel: 3}
  - relu
  - flatten
  - dense: 3
"""
BROKEN = GOOD.replace("kernel: 3", "kernel: 9")
PATIENCE = 30.0
"""Seconds until a test gives up; nothing that works takes nearly as long."""


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def base(self) -> str:
        """The path of the page, with the token."""
        return urlsplit(self.url).path

    def ask(
        self, path: str = "", method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """The status, the headers and the body of an answer, of events the first part.

        A path without a slash in front is below the token.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.putrequest(method, path if path.startswith("/") else self.base + path, skip_host="Host" in named)
            for name, value in named.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            endless = answer.msg.get_content_type() == "text/event-stream"
            return answer.status, answer.msg, answer.read1() if endless else answer.read()
        finally:
            connection.close()

    def post(self, data: bytes, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Hand a picture over, as the page does."""
        return self.ask("picture", "POST", data, **{"Origin": f"http://127.0.0.1:{self.port}"} | headers)

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """A connection to the events."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", self.base + "events")
            yield Reader(connection.getresponse())
        finally:
            connection.close()

    def stop(self, number: int = signal.SIGINT) -> int:
        """End the server by a signal; return its status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


class Reader:
    """The sections as the page has them."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.answer = answer
        self.sections: dict[str, Any] = {}

    def until(self, fits: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Read events until the sections fit; return them."""
        give_up = time.monotonic() + PATIENCE
        while not ("state" in self.sections and "maps" in self.sections and fits(self.sections)):
            assert time.monotonic() < give_up, self.sections
            line = self.answer.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                self.sections |= json.loads(line[6:])
        return self.sections


@contextmanager
def serving(spec: Path | str, *options: Path | str, cwd: Path, **environment: str) -> Iterator[Server]:
    """A server that is ended with the block."""
    process = subprocess.Popen(
        [*COMMAND, str(spec), "--watch", *map(str, options)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "CNNSPEC_CACHE": str(cwd / "cache"), **environment},
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", line := process.stdout.readline())
        assert found, line
        yield Server(process, found.group())
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
