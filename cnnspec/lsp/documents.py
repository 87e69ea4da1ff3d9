"""The open documents and their analyses, which are made in the background, a moment after the last change.

YAML texts that are no specs have none, and nothing is said of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cnnspec.diagnostics import Source
from cnnspec.language.document import Opener
from cnnspec.language.files import open_base
from cnnspec.lsp.analysis import Analysis, is_spec

DELAY = 0.2
"""Seconds without a change after which a text is analysed."""


@dataclass
class OpenDocument:
    """An open text, and its latest analysis, which may be of an earlier state of it."""

    uri: str
    source: Source
    analysis: Analysis | None = None
    version: int = 0
    """Counts what makes another analysis necessary."""
    running: asyncio.Future[Analysis | None] | None = field(default=None, repr=False)
    """The analysis of the text as it is."""


class Documents:
    """The open documents by address.

    `publish` is called with each document whose text has been analysed, `report` with an unexpected error. One analysis
    runs at a time, in a thread, so that the server answers meanwhile.
    """

    def __init__(self, publish: Callable[[OpenDocument], None], report: Callable[[Exception], None]) -> None:
        self.by_uri: dict[str, OpenDocument] = {}
        self._publish = publish
        self._report = report
        self._worker = ThreadPoolExecutor(1, "analysis")

    def opened(self, uri: str, name: str, text: str) -> None:
        """Take an open document, and analyse it and those that may extend it."""
        self.by_uri[uri] = OpenDocument(uri, Source(name, text))
        self._schedule(self.by_uri[uri], 0)
        self.refresh(besides=uri)

    def changed(self, uri: str, text: str) -> None:
        """Take another text of a document, and analyse it and those that may extend it, a moment later."""
        document = self.by_uri[uri]
        document.source = Source(document.source.name, text)
        self._schedule(document, DELAY)
        self.refresh(besides=uri)

    def closed(self, uri: str) -> None:
        """Forget a document."""
        document = self.by_uri.pop(uri, None)
        if document is not None:
            document.version += 1
        self.refresh()

    def refresh(self, besides: str = "") -> None:
        """Analyse anew the documents that extend another text, which may have changed."""
        for document in self.by_uri.values():
            known = document.analysis
            root = known.root if known is not None else None
            if document.uri != besides and root is not None and "extends" in root.keys:
                self._schedule(document, DELAY)

    async def analysis(self, uri: str) -> Analysis | None:
        """Return the analysis of a document's text as it is now; None where it is not open, or changes meanwhile."""
        document = self.by_uri.get(uri)
        return await asyncio.shield(document.running) if document is not None and document.running else None

    def _schedule(self, document: OpenDocument, delay: float) -> None:
        document.version += 1
        document.running = asyncio.ensure_future(self._analysed(document, document.version, delay))

    async def _analysed(self, document: OpenDocument, version: int, delay: float) -> Analysis | None:
        await asyncio.sleep(delay)
        if document.version != version:
            return None
        if not is_spec(document.source.text):
            document.analysis = None
            self._publish(document)
            return None
        source, earlier, opener = document.source, document.analysis, self._opener()

        def analyse() -> Analysis | None:
            return Analysis(source, opener, earlier) if document.version == version else None

        try:
            found = await asyncio.get_running_loop().run_in_executor(self._worker, analyse)
        except Exception as error:  # a fault of ours must not end the session
            self._report(error)
            return None
        if found is not None and document.version == version:
            document.analysis = found
            self._publish(document)
        return found

    def _opener(self) -> Opener:
        """Return what opens the text that a spec extends: as it is in the editor, if it is open there."""
        texts = {document.source.name: document.source for document in self.by_uri.values()}

        def open_text(name: str, extending: Source) -> Source:
            found = open_base(name, extending)
            return texts.get(found.name, found)

        return open_text
