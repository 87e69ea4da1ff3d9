"""Text to spec: declarations, expansion with names and inference, checks of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from cnnspec.diagnostics import Diagnostic, Source, any_errors, in_order
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Example, Spec
from cnnspec.language.checks import check_chosen_layers, check_layers, check_losses, check_totals
from cnnspec.language.classes import read_classes
from cnnspec.language.collector import DiagnosticCollector, TooManyDiagnostics
from cnnspec.language.document import Document, Opener, read_document
from cnnspec.language.examples import read_examples
from cnnspec.language.expand import Expansion
from cnnspec.language.ignore import ignored_codes, not_ignored
from cnnspec.language.inputs import DeclaredInput
from cnnspec.language.lints.run import lint
from cnnspec.language.lints.subject import Subject
from cnnspec.layers import Shape
from cnnspec.layers.input import INPUT
from cnnspec.wording import a_noun, format_shape, names


class Built(NamedTuple):
    """What a text is: its name, the spec (None where it has errors), and every diagnostic, sorted by place."""

    name: str
    spec: Spec | None
    diagnostics: list[Diagnostic]
    layers: int
    """How many layers were placed."""
    expansion: Expansion | None = None
    """The expansion, with what is known of a spec with errors, too; None where the text holds no spec."""


def build(
    source: Source,
    opener: Opener,
    *,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    fixes: bool = True,
    notes: bool = False,
    expectations: bool = True,
) -> Built:
    """Build the spec of a text; with `notes`, the diagnostics hold what is worth knowing, too.

    `params` and `input_shape` replace the spec's own; what its author expects of the spec as written, and its
    examples, are not checked then, nor without `expectations`. With `fixes`, the diagnostics propose some, which are
    not tried yet.
    """
    collector = DiagnosticCollector(proposes_fixes=fixes)
    document = spec = expansion = None
    layers, as_written = 0, expectations and not params and input_shape is None
    try:
        document = read_document(source, collector, params or {}, opener)
        if document is not None:
            builder = GraphBuilder(document.name, init=document.init)
            expansion = Expansion(document, builder, check_expected=as_written)
            try:
                spec = _expand(expansion, input_shape, as_written=as_written)
            finally:
                layers = len(builder.nodes)
            if spec is not None and not any_errors(collector.diagnostics):
                lint(Subject(document, spec, expansion.placer.placed, expansion.used_blocks), notes=notes)
    except TooManyDiagnostics:
        pass
    found = in_order(not_ignored(collector.all(), document, notes=notes), source)
    name = document.name if document is not None else source.name
    if spec is None or any_errors(found):
        return Built(name, None, found, layers, expansion)
    warnings = tuple(d for d in found if d.severity == "warning")
    return Built(name, replace(spec, warnings=warnings), found, layers, expansion)


def _expand(expansion: Expansion, input_shape: Shape | None, *, as_written: bool) -> Spec | None:
    """Expand a document and check the whole; None where an error leaves out layers."""
    document = expansion.document
    inputs = document.inputs if input_shape is None else _with_shape(document, input_shape)
    if inputs is None:
        return None
    outputs = expansion.network(inputs)
    nodes = expansion.placer.nodes
    examples: tuple[Example, ...] = ()
    classes = read_classes(document, outputs)
    if outputs is not None:
        if nodes is not None:
            check_chosen_layers(document, nodes)
            check_layers(document, nodes, expansion.placer.consumed | {output.node for output in outputs.values()})
        if as_written:
            check_totals(document, outputs, nodes, expansion.placer.faults)
            shapes = ({name: given.shape for name, given in inputs.items()}, {n: o.shape for n, o in outputs.items()})
            examples = read_examples(document, *shapes)
        check_losses(document, outputs, nodes)
    if expansion.placer.faults:
        from cnnspec.language.causes.find import explain  # which a spec without faults need not load

        explain(document, expansion.placer, expansion.names, inputs)
    expansion.unused_blocks()
    settings = {name: given.settings for name, given in inputs.items() if given.settings is not None}
    if outputs is None or nodes is None or len(settings) < max(1, len(inputs)):
        return None
    graph = expansion.placer.builder.graph({name: output.node for name, output in outputs.items()})
    return Spec(
        document.name, graph, settings, classes, document.init, examples, document.train, ignored_codes(document)
    )


def _with_shape(document: Document, shape: Shape) -> dict[str, DeclaredInput] | None:
    """Return the one input with another shape, which must have as many axes; report where it cannot have it."""
    if not document.inputs:
        return {INPUT: DeclaredInput(Input(shape=shape), document.layers.span)} if document.layers else {}
    if len(document.inputs) > 1:
        (first, *_), scope = document.inputs.values(), document.scope
        message = f"an input of {format_shape(shape)} is given, and the spec has {names(list(document.inputs))}"
        scope.error("not-allowed-here", message, first.span, help="the shapes of several inputs stand in the spec")
        return None
    ((name, (own, span, _)),) = document.inputs.items()
    if own is None or len(own.shape) == len(shape):
        replaced = own.model_copy(update={"shape": shape}) if own else Input(shape=shape)
        return {name: DeclaredInput(replaced, span)}
    message = f"an input of {format_shape(shape)} is {a_noun(shape)}, and the spec takes {a_noun(own.shape)}"
    remedy = f"{len(own.shape)} sizes, as in {format_shape(own.shape)}"
    document.scope.error("wrong-rank", message, span, f"is {format_shape(own.shape)}", help=remedy)
    return None
