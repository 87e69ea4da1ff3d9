"""Text to spec: declarations, expansion with names and inference, checks of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cnnspec.diagnostics import Diagnostic, Source, any_errors, in_order
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.spec import Example, Spec
from cnnspec.language.checks import check_classes, check_layers, check_loss, check_totals
from cnnspec.language.collector import DiagnosticCollector, TooManyDiagnostics
from cnnspec.language.document import Document, Opener, read_document
from cnnspec.language.examples import read_examples
from cnnspec.language.expand import Expansion
from cnnspec.layers import Shape
from cnnspec.wording import a_noun, format_shape


def build(
    source: Source,
    opener: Opener,
    *,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
) -> tuple[str, Spec | None, list[Diagnostic]]:
    """Return the spec's name, the spec (None where it has errors) and every diagnostic, sorted by place.

    `params` and `input_shape` replace the spec's own; what its author expects of the spec as written, and its
    examples, are not checked then.
    """
    collector = DiagnosticCollector()
    document = spec = None
    try:
        document = read_document(source, collector, params or {}, opener)
        if document is not None:
            spec = _expand(document, input_shape, as_written=not params and input_shape is None)
    except TooManyDiagnostics:
        pass
    found = in_order(collector.all(), source)
    name = document.name if document is not None else source.name
    if spec is None or any_errors(found):
        return name, None, found
    return name, replace(spec, warnings=tuple(found)), found


def _expand(document: Document, input_shape: Shape | None, *, as_written: bool) -> Spec | None:
    """Expand a document and check the whole; None where an error leaves out layers."""
    if input_shape is not None and not _same_rank(document, input_shape):
        return None
    shape = input_shape or (document.input.shape if document.input else None)
    builder = GraphBuilder(document.name, init=document.init)
    expansion = Expansion(document, builder, check_expected=as_written)
    end = expansion.network(shape)
    nodes = expansion.placer.nodes
    examples: tuple[Example, ...] = ()
    if end is not None:
        if nodes is not None:
            check_layers(document, nodes, expansion.placer.consumed | {end.node})
        if as_written:
            check_totals(document, end, nodes)
            examples = read_examples(document, shape, end.shape)
        check_classes(document, end)
        if nodes is not None:
            check_loss(document, nodes[-1])
    expansion.unused_blocks()
    if end is None or nodes is None or document.input is None:
        return None
    preprocessing = document.input.model_copy(update={"shape": nodes[0].shape})
    about = (document.classes, document.init, examples, document.train)
    return Spec(document.name, builder.graph(), preprocessing, *about)


def _same_rank(document: Document, shape: Shape) -> bool:
    """Report an input shape from outside that has another number of axes than the spec's own."""
    own, span = document.input, document.input_span
    if own is None or span is None or len(own.shape) == len(shape):
        return True
    message = f"an input of {format_shape(shape)} is {a_noun(shape)}, and the spec takes {a_noun(own.shape)}"
    remedy = f"{len(own.shape)} sizes, as in {format_shape(own.shape)}"
    document.scope.error("wrong-rank", message, span, f"is {format_shape(own.shape)}", help=remedy)
    return False
