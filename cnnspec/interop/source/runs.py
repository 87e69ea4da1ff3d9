"""Numbered modules of one class, made in a loop: equal ones, or with channels that grow by the same number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from cnnspec.interop.source.classes import Attribute
from cnnspec.interop.source.names import numbered
from cnnspec.interop.source.text import Argument, Call, Slot, Text, slots


def consecutive(attributes: list[Attribute]) -> Iterator[list[Attribute]]:
    """Yield the attributes in groups: numbered one after another and made alike, or one alone."""
    group: list[Attribute] = []
    for attribute in attributes:
        if group and not _continues(group, attribute):
            yield group
            group = []
        group.append(attribute)
    if group:
        yield group


def _continues(group: list[Attribute], attribute: Attribute) -> bool:
    before, own = numbered(group[-1].path), numbered(attribute.path)
    if before is None or own != (before[0], before[1] + 1) or not is_block(attribute.text):
        return False
    if _made(group[-1].text) != _made(attribute.text):
        return False
    steps = [_difference(a, b) for a, b in pairwise([*group, attribute])]
    return steps[0] is not None and all(step == steps[0] for step in steps)


def is_block(text: Text) -> bool:
    """Whether a text makes a block of a class."""
    return len(text) == 1 and isinstance(text[0], Call) and text[0].function.startswith("§")


def _made(text: Text) -> tuple[str, int]:
    call = text[0]
    assert isinstance(call, Call)
    return call.function, len(call.arguments)


def _difference(a: Attribute, b: Attribute) -> tuple[int, ...] | None:
    """Return by how much the arguments grow, 0 where they do not; None where they differ otherwise."""
    found = []
    for one, other in zip(slots(a.text), slots(b.text), strict=True):
        if type(one.value) is type(other.value) is int and one.role in ("channels", "in_channels"):
            found.append(_whole(other) - _whole(one))
        elif one.value == other.value:
            found.append(0)
        else:
            return None
    return tuple(found)


def indexed(group: list[Attribute], first: int) -> Text:
    """Return what makes the i-th module of a run."""
    call = group[0].text[0]
    assert isinstance(call, Call)
    index = "i" if first == 0 else f"(i - {first})"
    steps = _difference(*group[:2]) if len(group) > 1 else None
    arguments = []
    for argument, step in zip(call.arguments, steps or [0] * len(call.arguments), strict=True):
        (slot,) = argument.text
        assert isinstance(slot, Slot)
        text: Text = (slot, " + ", Slot(step, "step", slot.owner), f" * {index}") if step else (slot,)
        arguments.append(Argument(text, argument.keyword, argument.default))
    return (Call(call.function, tuple(arguments)),)


def at(text: Text, i: int) -> Text:
    """Return what makes the module of a run that comes `i` after the first."""
    (call,) = text
    assert isinstance(call, Call)
    arguments = []
    for argument in call.arguments:
        slot, *progression = argument.text
        assert isinstance(slot, Slot)
        if progression:
            step = progression[1]
            assert isinstance(step, Slot)
            slot = replace(slot, value=_whole(slot) + i * _whole(step))
        arguments.append(replace(argument, text=(slot,)))
    return (Call(call.function, tuple(arguments)),)


def _whole(slot: Slot) -> int:
    assert isinstance(slot.value, int)
    return slot.value
