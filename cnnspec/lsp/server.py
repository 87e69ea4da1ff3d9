"""The language server: the requests of the protocol, each answered by a function of the text."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from typing import TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from cnnspec.lsp import convert
from cnnspec.lsp.actions import actions
from cnnspec.lsp.analysis import Analysis, is_spec
from cnnspec.lsp.completion import completions
from cnnspec.lsp.definition import definition, references
from cnnspec.lsp.documents import Documents, OpenDocument
from cnnspec.lsp.hints import hints
from cnnspec.lsp.hover import hover
from cnnspec.lsp.outline import outline
from cnnspec.lsp.positions import Position, point_of, positions_of, range_of
from cnnspec.lsp.rename import CannotRename, renamable, rename
from cnnspec.version import __version__

Found = TypeVar("Found")

TRIGGERS = (" ", "$", "(", "{", "[", ",", ":")
"""The characters after which an editor asks for proposals."""
REQUEST_FAILED = -32803
"""The code of the protocol for a request that is valid and cannot be fulfilled."""


class Server(LanguageServer):
    """The language server of one editor."""

    def __init__(self) -> None:
        # The whole text is sent with each change: pygls counts other line breaks than the protocol in parts of it.
        super().__init__("cnnspec", __version__, text_document_sync_kind=types.TextDocumentSyncKind.Full)
        self.documents = Documents(self.publish, self.log)

    @property
    def encoding(self) -> str:
        """The encoding whose units the editor counts characters in."""
        return str(getattr(self.workspace.position_encoding, "value", self.workspace.position_encoding))

    def publish(self, document: OpenDocument) -> None:
        """Send the diagnostics of a document, and ask the editor for the hints anew."""
        source, analysis = document.source, document.analysis
        found = analysis.diagnostics if analysis is not None else ()
        shown = [convert.diagnostic(d, source, document.uri, self.encoding) for d in found]
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(document.uri, shown))
        workspace = self.client_capabilities.workspace
        if workspace is not None and workspace.inlay_hint is not None and workspace.inlay_hint.refresh_support:
            self.workspace_inlay_hint_refresh(None)

    def log(self, error: Exception) -> None:
        """Show an unexpected error in the editor's log; the session goes on."""
        text = "".join(traceback.format_exception(error))
        self.window_log_message(types.LogMessageParams(types.MessageType.Error, text))

    def offset(self, analysis: Analysis, position: types.Position) -> int:
        """Return the offset of a position in an analysed text."""
        return positions_of(analysis.source.text, self.encoding).offset(Position(position.line, position.character))

    async def answer(self, uri: str, compute: Callable[[Analysis], Found]) -> Found | None:
        """Compute an answer from the analysis of a document in a thread; None where there is none."""
        analysis = await self.documents.analysis(uri)
        return await asyncio.to_thread(compute, analysis) if analysis is not None else None


def make_server() -> Server:
    """Return a server with all of its features."""
    server = Server()
    feature = server.feature

    @feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: types.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        server.documents.opened(document.uri, to_fs_path(document.uri) or document.uri, document.text)

    @feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: types.DidChangeTextDocumentParams) -> None:
        uri = params.text_document.uri
        server.documents.changed(uri, server.workspace.get_text_document(uri).source)

    @feature(types.TEXT_DOCUMENT_DID_SAVE)
    async def saved(params: types.DidSaveTextDocumentParams) -> None:
        server.documents.refresh(besides=params.text_document.uri)

    @feature(types.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: types.DidCloseTextDocumentParams) -> None:
        uri = params.text_document.uri
        server.documents.closed(uri)
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))

    @feature(types.TEXT_DOCUMENT_HOVER)
    async def hovered(params: types.HoverParams) -> types.Hover | None:
        def compute(analysis: Analysis) -> types.Hover | None:
            found = hover(analysis, server.offset(analysis, params.position))
            if found is None:
                return None
            text = types.MarkupContent(types.MarkupKind.Markdown, found.markdown)
            return types.Hover(text, convert.as_range(range_of(found.span, server.encoding)))

        return await server.answer(params.text_document.uri, compute)

    @feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=TRIGGERS))
    async def completed(params: types.CompletionParams) -> types.CompletionList | None:
        uri = params.text_document.uri
        document = server.documents.by_uri.get(uri)
        if document is None or not is_spec(document.source.text):
            return None
        source, known = document.source, document.analysis or await server.documents.analysis(uri)
        positions = positions_of(source.text, server.encoding)
        offset = positions.offset(Position(params.position.line, params.position.character))
        ability = server.client_capabilities.text_document
        item = ability.completion.completion_item if ability is not None and ability.completion is not None else None
        snippets = bool(item is not None and item.snippet_support)

        def compute() -> list[types.CompletionItem]:
            return [
                convert.completion(found, rank, convert.as_range(positions.range(found.start, offset)), snippets)
                for rank, found in enumerate(completions(source, known, offset))
            ]

        return types.CompletionList(False, await asyncio.to_thread(compute))

    @feature(types.TEXT_DOCUMENT_INLAY_HINT)
    async def hinted(params: types.InlayHintParams) -> list[types.InlayHint] | None:
        def compute(analysis: Analysis) -> list[types.InlayHint]:
            first, last = (
                point_of(analysis.source, server.offset(analysis, end))[0]
                for end in (params.range.start, params.range.end)
            )
            return [convert.hint(found, analysis.source, server.encoding) for found in hints(analysis, first, last)]

        return await server.answer(params.text_document.uri, compute)

    @feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    async def listed(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol] | None:
        def compute(analysis: Analysis) -> list[types.DocumentSymbol]:
            return [convert.symbol(entry, server.encoding) for entry in outline(analysis)]

        return await server.answer(params.text_document.uri, compute)

    @feature(types.TEXT_DOCUMENT_DEFINITION)
    async def defined(params: types.DefinitionParams) -> types.Location | None:
        uri = params.text_document.uri

        def compute(analysis: Analysis) -> types.Location | None:
            span = definition(analysis, server.offset(analysis, params.position))
            return convert.location(span, analysis.source, uri, server.encoding) if span is not None else None

        return await server.answer(uri, compute)

    @feature(types.TEXT_DOCUMENT_REFERENCES)
    async def referred(params: types.ReferenceParams) -> list[types.Location] | None:
        uri = params.text_document.uri

        def compute(analysis: Analysis) -> list[types.Location]:
            spans = references(analysis, server.offset(analysis, params.position))
            return [types.Location(uri, convert.as_range(range_of(span, server.encoding))) for span in spans]

        return await server.answer(uri, compute)

    @feature(types.TEXT_DOCUMENT_PREPARE_RENAME)
    async def prepared(params: types.PrepareRenameParams) -> types.PrepareRenamePlaceholder | None:
        def compute(analysis: Analysis) -> types.PrepareRenamePlaceholder:
            found = renamable(analysis, server.offset(analysis, params.position))
            return types.PrepareRenamePlaceholder(
                convert.as_range(range_of(found.span, server.encoding)), found.symbol.name
            )

        return await server.answer(params.text_document.uri, _or_refused(compute))

    @feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))
    async def renamed(params: types.RenameParams) -> types.WorkspaceEdit | None:
        uri = params.text_document.uri

        def compute(analysis: Analysis) -> types.WorkspaceEdit | None:
            edits = rename(analysis, server.offset(analysis, params.position), params.new_name)
            return convert.workspace_edit(edits, analysis.source, uri, server.encoding)

        return await server.answer(uri, _or_refused(compute))

    @feature(
        types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])
    )
    async def fixed(params: types.CodeActionParams) -> list[types.CodeAction] | None:
        uri = params.text_document.uri

        def compute(analysis: Analysis) -> list[types.CodeAction]:
            start, end = (server.offset(analysis, place) for place in (params.range.start, params.range.end))
            return [
                types.CodeAction(
                    found.fix.title,
                    kind=types.CodeActionKind.QuickFix,
                    diagnostics=[convert.diagnostic(found.diagnostic, analysis.source, uri, server.encoding)],
                    is_preferred=found.preferred,
                    edit=edit,
                )
                for found in actions(analysis, start, end)
                if (edit := convert.workspace_edit(found.fix.edits, analysis.source, uri, server.encoding)) is not None
            ]

        return await server.answer(uri, compute)

    return server


def _or_refused(compute: Callable[[Analysis], Found]) -> Callable[[Analysis], Found]:
    """Return the function with a refusal of the protocol in place of the error of a name that cannot be changed."""

    def refused(analysis: Analysis) -> Found:
        try:
            return compute(analysis)
        except CannotRename as error:
            raise JsonRpcException(str(error), REQUEST_FAILED) from None

    return refused


def serve() -> None:
    """Run the server on standard input and output, until the editor ends it."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # an editor shows the log of a server as errors
    make_server().start_io()
