"""An editor for the tests: a client of the language server protocol over the server's standard input and output."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 60
"""Seconds after which an answer that does not come is a failure."""


class Refused(Exception):
    """An error that the server answers with."""


class Editor:
    """Starts a server, sends it requests and notifications, and keeps what it publishes."""

    def __init__(self, folder: Path, *, encodings: list[str] | None = None) -> None:
        command = [sys.executable, "-m", "cnnspec", "lsp"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)
        self.folder = folder
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.published: queue.Queue[dict[str, Any]] = queue.Queue()
        self.requests: list[str] = []
        self.logged: list[str] = []
        self.count = 0
        self.versions: dict[str, int] = {}
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        general = {"positionEncodings": encodings} if encodings else {}
        capabilities = {
            "general": general,
            "textDocument": {
                "completion": {"completionItem": {"snippetSupport": True}},
                "documentSymbol": {"hierarchicalDocumentSymbolSupport": True},
                "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["quickfix"]}}},
            },
            "workspace": {"inlayHint": {"refreshSupport": True}},
        }
        parameters = {"processId": None, "rootUri": folder.as_uri(), "capabilities": capabilities}
        self.abilities = self.ask("initialize", **parameters)["capabilities"]
        self.tell("initialized")

    # The protocol

    def _read(self) -> None:
        assert self.process.stdout is not None
        while header := self.process.stdout.readline():
            length = int(header.split(b":")[1])
            while self.process.stdout.readline().strip():
                pass
            message = json.loads(self.process.stdout.read(length))
            if message.get("method") == "textDocument/publishDiagnostics":
                self.published.put(message["params"])
            elif message.get("method") == "window/logMessage":
                self.logged.append(message["params"]["message"])
            elif "method" in message and "id" in message:
                self.requests.append(message["method"])
                self._send({"id": message["id"], "result": None})
            elif "id" in message:
                self.answers.put(message)

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(data) + data)
        self.process.stdin.flush()

    def tell(self, method: str, **parameters: Any) -> None:
        self._send({"method": method, "params": parameters})

    def ask(self, method: str, **parameters: Any) -> Any:
        self.count += 1
        self._send({"id": self.count, "method": method, **({"params": parameters} if parameters else {})})
        answer = self.answers.get(timeout=PATIENCE)
        assert answer["id"] == self.count
        if "error" in answer:
            raise Refused(answer["error"]["message"])
        return answer["result"]

    def leave(self) -> int:
        self.ask("shutdown")
        self.tell("exit")
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End the process if it still runs."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    # Documents

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> None:
        self.versions[name] = 1
        document = {"uri": self.uri(name), "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)

    def edit(self, name: str, text: str) -> None:
        self.versions[name] += 1
        document = {"uri": self.uri(name), "version": self.versions[name]}
        self.tell("textDocument/didChange", textDocument=document, contentChanges=[{"text": text}])

    def diagnostics(self, name: str, until: Callable[[list[dict[str, Any]]], bool] = lambda found: True) -> Any:
        """The next diagnostics of a document that fulfil the condition."""
        while True:
            published = self.published.get(timeout=PATIENCE)
            if published["uri"] == self.uri(name) and until(published["diagnostics"]):
                return published["diagnostics"]

    def at(self, method: str, name: str, line: int, character: int, **more: Any) -> Any:
        place = {"textDocument": {"uri": self.uri(name)}, "position": {"line": line, "character": character}}
        return self.ask(f"textDocument/{method}", **place, **more)

    def of(self, method: str, name: str, **more: Any) -> Any:
        return self.ask(f"textDocument/{method}", textDocument={"uri": self.uri(name)}, **more)


def lines_of(start: int, end: int) -> dict[str, Any]:
    """A range of whole lines."""
    return {"start": {"line": start, "character": 0}, "end": {"line": end, "character": 0}}


def edited(text: str, edits: list[dict[str, Any]]) -> str:
    """A text with edits of the protocol made, in UTF-16 code units."""
    lines = text.split("\n")

    def offset(position: dict[str, int]) -> int:
        before = sum(len(line) + 1 for line in lines[: position["line"]])
        units = lines[position["line"]].encode("utf-16-le")[: 2 * position["character"]]
        return before + len(units.decode("utf-16-le"))

    for edit in sorted(edits, key=lambda edit: -offset(edit["range"]["start"])):
        text = text[: offset(edit["range"]["start"])] + edit["newText"] + text[offset(edit["range"]["end"]) :]
    return text
