"""Lints of the inputs: the order of their axes, and the units of their preprocessing."""

from __future__ import annotations

from cnnspec.diagnostics import Edit, Fix, Span
from cnnspec.graph.settings import Input
from cnnspec.language.lints.subject import Subject
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import format_shape

_FEWEST_PIXELS = 16
_PIXEL_RANGE = 255
_BEYOND = 1.5
"""A mean above this is none of numbers from 0 to 1."""


def channels_last(subject: Subject) -> None:
    """Warn of a shape that looks like height, width, channels."""
    scope = subject.document.scope
    for name, declared in subject.document.inputs.items():
        shape = declared.settings.shape if declared.settings is not None else ()
        if len(shape) != 3 or shape[2] not in (1, 3, 4) or min(shape[:2]) < _FEWEST_PIXELS:
            continue
        first = [shape[2], *shape[:2]]
        message = f"`{name}` of {format_shape(shape)} has {shape[0]} channels of {shape[1]}×{shape[2]} pixels"
        span = _value(subject, name)
        fixes = []
        if span is not None and span.text.replace(" ", "") == str(list(shape)).replace(" ", ""):
            fixes = [Fix(f"write `{name}: {first}`", (Edit(span, str(first)),))]
        remedy = f"the channels come first: `{first}`"
        scope.warning("channels-last-input", message, span or declared.span, help=remedy, fixes=fixes)


def _value(subject: Subject, name: str) -> Span | None:
    """Return the place of the value that declares an input."""
    for level in subject.document.levels:
        for path in (("input",), ("inputs", name)):
            if (node := level.get(path[0])) is not None and (len(path) == 1 or name in node.keys):
                return level.at(path)
    return None


def pixel_scale(subject: Subject) -> None:
    """Warn of a mean and a deviation in other units than the scaled pixels."""
    default = Input.model_fields["scale"].default
    for declared in subject.document.inputs.values():
        settings = declared.settings
        if settings is None:
            continue
        largest = max(map(abs, (*settings.mean, *settings.std)))
        if settings.scale == default and largest > _BEYOND:
            scaled = [float(f"{n / _PIXEL_RANGE:.4g}") for n in settings.mean]
            message = f"a mean and deviation of pixels from 0 to {_PIXEL_RANGE}, beside `scale: 1/255`"
            remedy = f"they apply to the scaled pixels: `mean: {scaled}`, and `std` likewise; or `scale: 1`"
        elif settings.scale == 1 and 0 < max(map(abs, settings.mean)) <= 1 and max(settings.std) <= 1:
            message = "a mean and deviation of pixels from 0 to 1, beside `scale: 1`"
            remedy = "leave `scale` out: it is 1/255"
        else:
            continue
        fixes = _scaled(declared.node) if settings.scale == default else []
        subject.document.scope.warning("pixel-scale", message, declared.span, help=remedy, fixes=fixes)


def _scaled(node: YamlNode | None) -> list[Fix]:
    """Return the fix that divides the mean and the deviation that an input has by the range of the pixels."""
    edits = []
    for key in ("mean", "std"):
        item = node.get(key) if node is not None else None
        numbers = item.plain() if item is not None else None
        if item is None or numbers is None or "$" in item.span.text or "\n" in item.span.text:
            continue
        several = [float(f"{n / _PIXEL_RANGE:.4g}") for n in (numbers if isinstance(numbers, list) else [numbers])]
        edits.append(Edit(item.span, str(several if isinstance(numbers, list) else several[0])))
    return [Fix(f"divide `mean` and `std` by {_PIXEL_RANGE}", tuple(edits))] if edits else []
