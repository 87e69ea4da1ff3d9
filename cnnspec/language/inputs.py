"""The inputs of a spec: a list for an image or a vector, named axes for every number of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from pydantic import ValidationError

from cnnspec.diagnostics import Fix, Label, Span
from cnnspec.graph.settings import Input
from cnnspec.language.entry import Entry
from cnnspec.language.fields import read_model
from cnnspec.language.names import NAME_RULE, is_name
from cnnspec.language.remedies import alternatives
from cnnspec.language.repairs import replaced
from cnnspec.language.scope import InvalidValue, Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Shape
from cnnspec.layers.geometry import AXES, AXIS_NAMES, CHANNELS, axes_of
from cnnspec.layers.input import INPUT
from cnnspec.wording import a_noun, describe, names, quoted


class DeclaredInput(NamedTuple):
    """An input as a spec declares it; None for one that is invalid."""

    settings: Input | None
    span: Span
    node: YamlNode | None = None
    """How the text declares it; None where the shape is from elsewhere."""

    @property
    def shape(self) -> Shape | None:
        """The shape, where it is known."""
        return self.settings.shape if self.settings else None


def read_inputs(scope: Scope, root: YamlNode) -> dict[str, DeclaredInput]:
    """Return the inputs that `input` or `inputs` declares, by name; one that `input` declares is called `input`."""
    several = root.get("inputs")
    if (one := root.get(INPUT)) is not None:
        if several is not None:
            where, remedy = Label(root.keys[INPUT], "declares one"), "leave one of the two out"
            scope.error(
                "not-allowed-here", "`inputs` stands beside `input`", root.keys["inputs"], "", where, help=remedy
            )
        if several is not None or not _is_several(one):
            return {INPUT: DeclaredInput(read_input(scope, INPUT, one, root.keys[INPUT]), root.keys[INPUT], one)}
        span, message = root.keys[INPUT], f"`input` is one input, and here are {names([*one.keys])}"
        fixes = [replaced(span, "inputs", certain=True, said=True)]
        scope.error("wrong-type", message, span, help="`inputs` takes inputs by name", fixes=fixes)
        several = one
    assert several is not None
    if several.elements() and all(type(item.value) is int for item in several.elements()):
        span = root.keys["inputs"]
        fixes = [replaced(span, INPUT, certain=True, said=True)]
        scope.error("wrong-type", "`inputs` takes inputs by name", span, help="`input` is one", fixes=fixes)
        return {INPUT: DeclaredInput(read_input(scope, INPUT, several, span), span, several)}
    if not several.is_mapping or not several.keys:
        shown = "an empty mapping" if several.is_mapping else describe(several.plain())
        remedy = "`inputs: {left: [1, 28, 28], right: [1, 28, 28]}`"
        scope.error("wrong-type", f"`inputs` takes inputs by name, not {shown}", several.span, help=remedy)
        return {}
    found = {}
    for name, node in several.items():
        span = several.keys[name]
        if not is_name(name):
            scope.error("invalid-name", f"an input cannot be called {quoted(name)}", span, help=NAME_RULE)
        found[name] = DeclaredInput(read_input(scope, name, node, span), span, node)
    return found


def _is_several(node: YamlNode) -> bool:
    """Return whether a node holds inputs by name, and not one with its settings."""
    known = {*AXIS_NAMES, *Input.model_fields}
    return len(node.keys) > 1 and known.isdisjoint(node.keys) and all(item.elements() for _, item in node.items())


def read_input(scope: Scope, key: str, node: YamlNode, span: Span) -> Input | None:
    """Return the input that the value of a key describes; report what is wrong with it.

    It is a shape, `[1, 28, 28]`, a mapping of axis names to sizes, `{channels: 40, length: 101}`, or a mapping of
    either with preprocessing, `{shape: [1, 28, 28], scale: 1}`.
    """
    entry = Entry(key, span, node, scope)
    named = [name for name in node.keys if name in AXIS_NAMES] if node.is_mapping else []
    if named:
        shape = _named_shape(entry, node, named)
        found = read_model(Input, entry, overrides={"shape": shape or (1,)}, extra_keys=AXIS_NAMES)
        if shape is None:
            return None
        found = found or Input(shape=shape)
    elif (sizes := _behind_batch(node)) is not None:
        fix = replaced(node.span, f"[{sizes}]", certain=True, said=True)
        scope.error("wrong-type", "the batch is never written", node.span, help=f"`[{sizes}]`", fixes=[fix])
        return None
    else:
        found = read_model(Input, entry, main="shape") or _shape_alone(node)
        if found is not None and len(found.shape) not in SHORT_FORMS:
            _refuse_list(entry, node, found.shape)
            return None
    if found is not None:
        _check_preprocessing(scope, node, found)
    return found


_ANY_NUMBER = (-1, 0, None, "None", "N", "n", "B", "batch", "batch_size", "?")
"""What stands for the size of the batch in other tools."""


def _behind_batch(node: YamlNode) -> str | None:
    """Return the sizes behind a batch of no particular size; None where no such batch is written."""
    first, *others = node.elements() or (node,)
    if not others or first.value not in _ANY_NUMBER or "\n" in node.span.text:
        return None
    return ", ".join(item.span.text for item in others)


SHORT_FORMS = (1, 3)
"""How many sizes the list has: those of a vector or of an image, so that a forgotten channel is an error."""


def _refuse_list(entry: Entry, node: YamlNode, shape: Shape) -> None:
    field, written = ("shape", node.get("shape") or node) if node.is_mapping else (entry.kind, node)
    by_name = flow_of(shape)
    remedy = f"`{by_name}` for {a_noun(shape)}, or `[1, {str(list(shape))[1:]}` for an image of one channel"
    if len(shape) == 4:
        remedy = f"`{list(shape[1:])}`: the batch is never written; `{by_name}` for {a_noun(shape)}"
    message = f"`{field}` takes [channels, height, width] or [features], not a list of {len(shape)}"
    fixes = _as_image_or_by_name(shape, written.span) if "\n" not in written.span.text and len(shape) in (2, 4) else []
    entry.scope.error("wrong-type", message, written.span, help=remedy, fixes=fixes)


def _as_image_or_by_name(shape: Shape, span: Span) -> list[Fix]:
    """Return fixes of a list of two or four sizes: an image without its channel or with a batch, or axes by name."""
    sizes = list(shape[1:] if len(shape) == 4 else (1, *shape))
    as_image = replaced(span, str(sizes), certain=len(shape) == 4 and sizes[0] in (1, 3))
    named = replaced(span, flow_of(shape))
    if as_image.certain:
        return [as_image]
    found = [as_image, named] if len(shape) == 2 or shape[0] not in (1, 3) else [named, as_image]
    return [replace(fix, if_alone=True) for fix in found]


def flow_of(shape: Shape) -> str:
    """Return a shape as a spec writes it: a list for a vector or an image, axes by name for any other rank."""
    if len(shape) in SHORT_FORMS:
        return str(list(shape))
    return f"{{{', '.join(f'{name}: {n}' for name, n in by_name(shape).items())}}}"


def by_name(shape: Shape) -> dict[str, int]:
    """Return the sizes by the names of the axes, the channels first."""
    return dict(zip(axes_of(shape), shape, strict=True))


def _named_shape(entry: Entry, node: YamlNode, named: Sequence[str]) -> Shape | None:
    """Return the shape that a mapping gives by the names of the axes; report what is wrong and return None."""
    scope = entry.scope
    if "shape" in node.keys:
        where = Label(node.keys[named[0]], "names an axis")
        message, remedy = "`shape` stands beside named axes", "leave one of the two out"
        scope.error("not-allowed-here", message, node.keys["shape"], "", where, help=remedy)
        return None
    axes = next((axes for axes in AXES.values() if {*named} <= {CHANNELS, *axes}), None)
    if axes is None:
        remedy = alternatives([f"`{{{CHANNELS}: …, {': …, '.join(axes)}: …}}`" for axes in AXES.values()])
        scope.error("invalid-value", f"{names(named)} are the axes of no input", entry.span, help=remedy)
        return None
    wanted = (CHANNELS, *axes)
    if missing := [name for name in wanted if name not in named]:
        if not node.keys.keys() <= {*AXIS_NAMES, *Input.model_fields}:
            return None  # an unknown key, which is reported, may be the missing one
        remedy = f"add `{', '.join(f'{name}: …' for name in missing)}`"
        scope.error("missing-key", f"`{entry.kind}` needs {names(missing)}", entry.span, help=remedy)
        return None
    sizes = [_size(scope, name, node.get(name)) for name in wanted]
    return None if None in sizes else tuple(n for n in sizes if n is not None)


def _size(scope: Scope, name: str, node: YamlNode | None) -> int | None:
    assert node is not None
    try:
        value = scope.value(node)
    except InvalidValue:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        scope.error("wrong-type", f"`{name}` takes a whole number, not {describe(value)}", node.span)
    elif value < 1:
        scope.error("invalid-value", f"`{name}` takes a size of at least 1, not {value}", node.span)
    else:
        return value
    return None


def _check_preprocessing(scope: Scope, node: YamlNode, found: Input) -> None:
    for key in ("mean", "std"):
        numbers = getattr(found, key)
        if len(numbers) not in (1, found.shape[0]):
            message = f"`{key}` has {len(numbers)} numbers for {found.shape[0]} channels"
            scope.error("invalid-value", message, node.at((key,)), help="one number, or one for each channel")
    if 0 in found.std:
        scope.error("invalid-value", "`std` takes no zero: it divides", node.at(("std",)))


def _shape_alone(node: YamlNode) -> Input | None:
    """Return the shape of an input that is otherwise invalid, so that the layers can be checked."""
    shape = node.get("shape")
    if shape is None:
        return None
    try:
        return Input(shape=shape.plain())
    except ValidationError:
        return None
