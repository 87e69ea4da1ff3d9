"""Layers chosen by their names, by the blocks that they are in, or by patterns with `*`."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

MOST_NAMES = 5
"""The most names that a message proposes."""


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """Return the names that a pattern matches, and those below a name that it matches; `*` matches anything.

    `stage1` matches `stage1.conv1` and `stage1.block2.batch_norm1`, and so do `stage1.*` and `*1`.
    """
    return [name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")]


def selected(names: Iterable[str], patterns: Iterable[str]) -> set[str]:
    """Return the names that any of the patterns matches."""
    names = list(names)
    return {name for pattern in patterns for name in matching(names, pattern)}


def prefixes(name: str) -> list[str]:
    """Return `a`, `a.b` and `a.b.c` for `a.b.c`."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def proposal(pattern: str, names: Iterable[str]) -> str:
    """Return help for a pattern that matches none of the names: those of layers and blocks that are similar."""
    from difflib import get_close_matches  # which a valid spec need not import

    names = list(names)
    known = dict.fromkeys(prefix for name in names for prefix in prefixes(name))
    if near := get_close_matches(pattern, known, MOST_NAMES, 0.7):
        return f"did you mean {' or '.join(f'`{name}`' for name in near)}?"
    top = list(dict.fromkeys(name.split(".")[0] for name in names))
    more = f" and {len(top) - MOST_NAMES} more" if len(top) > MOST_NAMES else ""
    return f"the names begin with {', '.join(f'`{name}`' for name in top[:MOST_NAMES])}{more}"


def layer_of(array: str) -> str:
    """Return the layer that an array belongs to: `a.b` for `a.b.weight`; a name without a dot is the layer's own."""
    return array.rpartition(".")[0] or array
