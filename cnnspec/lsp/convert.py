"""From what is known of a spec to the types of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lsprotocol import types
from pygls.uris import from_fs_path

from cnnspec import bundled
from cnnspec.diagnostics import PAGES, Diagnostic, Edit, Label, Source, Span
from cnnspec.lsp.completion import Completion
from cnnspec.lsp.completion import What as Proposed
from cnnspec.lsp.hints import Hint
from cnnspec.lsp.outline import Entry
from cnnspec.lsp.outline import What as Listed
from cnnspec.lsp.positions import Range, positions_of, range_of

_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "note": types.DiagnosticSeverity.Information,
}
_PROPOSED: Mapping[Proposed, types.CompletionItemKind] = {
    "kind": types.CompletionItemKind.Class,
    "block": types.CompletionItemKind.Function,
    "field": types.CompletionItemKind.Field,
    "word": types.CompletionItemKind.EnumMember,
    "parameter": types.CompletionItemKind.Variable,
    "layer": types.CompletionItemKind.Reference,
    "file": types.CompletionItemKind.File,
}
_LISTED: Mapping[Listed, types.SymbolKind] = {
    "section": types.SymbolKind.Namespace,
    "parameter": types.SymbolKind.Constant,
    "input": types.SymbolKind.Variable,
    "block": types.SymbolKind.Function,
    "layer": types.SymbolKind.Class,
    "merge": types.SymbolKind.Operator,
    "branch": types.SymbolKind.Array,
    "repeat": types.SymbolKind.Array,
}
UNNECESSARY = ("unused-", "unread-")
"""How the codes of what can be left out begin, which editors show faded."""


def as_range(found: Range) -> types.Range:
    """Return a range of the protocol."""
    return types.Range(types.Position(*found.start), types.Position(*found.end))


def uri_of(source: Source, own: Source, uri: str) -> str | None:
    """Return the address of a text: of the open one, of a file or of a bundled spec; None where it has none."""
    if source.name == own.name:
        return uri
    path = Path(source.name)
    found = path if path.is_file() else bundled.find(source.name)
    return from_fs_path(str(found.resolve())) if found is not None else None


def location(span: Span, own: Source, uri: str, encoding: str) -> types.Location | None:
    """Return the location of a span; None where its text has no address."""
    address = uri_of(span.source, own, uri)
    return types.Location(address, as_range(range_of(span, encoding))) if address is not None else None


def diagnostic(found: Diagnostic, own: Source, uri: str, encoding: str) -> types.Diagnostic:
    """Return a diagnostic; one of a spec that the text extends is at its start, with its place beside it."""
    span = found.label.span
    is_here = span.source.name == own.name
    others = [*([] if is_here else [Label(span, found.label.text or found.message)]), *found.others]
    related = [
        types.DiagnosticRelatedInformation(place, label.text or "here")
        for label in others
        if (place := location(label.span, own, uri, encoding)) is not None
    ]
    start = Span(own, 1, 1, 1, 1)
    return types.Diagnostic(
        range=as_range(range_of(span if is_here else start, encoding)),
        message=message(found),
        severity=_SEVERITIES[found.severity],
        code=found.code,
        code_description=types.CodeDescription(f"{PAGES.as_uri()}#{found.code}"),
        source="cnnspec",
        related_information=related or None,
        tags=[types.DiagnosticTag.Unnecessary] if found.code.startswith(UNNECESSARY) else None,
    )


def message(found: Diagnostic) -> str:
    """Return the text of a diagnostic: its message, its label, its notes, its fixes and its help."""
    label = [found.label.text] if found.label.text else []
    fixes = [f"fix: {fix.title}" for fix in found.fixes]
    return "\n".join([found.message, *label, *found.notes, *fixes, *([f"help: {found.help}"] if found.help else [])])


def workspace_edit(edits: Iterable[Edit], own: Source, uri: str, encoding: str) -> types.WorkspaceEdit | None:
    """Return the edits by address; None where one is of a text without an address."""
    changes: dict[str, list[types.TextEdit]] = {}
    for span, text in edits:
        address = uri_of(span.source, own, uri)
        if address is None:
            return None
        changes.setdefault(address, []).append(types.TextEdit(as_range(range_of(span, encoding)), text))
    return types.WorkspaceEdit(changes)


def completion(found: Completion, rank: int, replaced: types.Range, snippets: bool) -> types.CompletionItem:
    """Return a proposal: `rank` is its place in the list, `replaced` the text before the cursor that it replaces."""
    snippet = found.snippet if snippets else ""
    return types.CompletionItem(
        label=found.label,
        kind=_PROPOSED[found.what],
        detail=found.detail or None,
        documentation=types.MarkupContent(types.MarkupKind.Markdown, found.about) if found.about else None,
        sort_text=f"{rank:04}",
        text_edit=types.TextEdit(replaced, snippet or found.text),
        insert_text_format=types.InsertTextFormat.Snippet if snippet else types.InsertTextFormat.PlainText,
    )


def hint(found: Hint, source: Source, encoding: str) -> types.InlayHint:
    """Return an inlay hint at the end of its line."""
    end = source.line_starts[found.line - 1] + len(source.lines[found.line - 1].rstrip())
    position = positions_of(source.text, encoding).of(end)
    return types.InlayHint(
        types.Position(*position),
        found.text,
        kind=types.InlayHintKind.Type,
        tooltip=found.tooltip,
        padding_left=True,
    )


def symbol(entry: Entry, encoding: str) -> types.DocumentSymbol:
    """Return an entry of the outline, with those within it."""
    return types.DocumentSymbol(
        name=entry.name or "…",
        kind=_LISTED[entry.what],
        range=as_range(range_of(entry.span, encoding)),
        selection_range=as_range(range_of(entry.name_span, encoding)),
        detail=entry.detail or None,
        children=[symbol(inner, encoding) for inner in entry.inside],
    )
