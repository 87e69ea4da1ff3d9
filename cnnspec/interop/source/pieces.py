"""Repeated pieces of a long function as functions of their own, for networks without named blocks.

A piece is a sequence of statements that reads `x`, assigns to it, and leaves nothing else behind. Pieces that differ in
the modules that they call are one function, which takes the modules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from cnnspec.interop.naming import free
from cnnspec.interop.source.names import identifier, stem
from cnnspec.interop.source.text import INDENT, wrapped

FEWEST_LINES = 30
"""The length from which on a function is searched for pieces."""
LONGEST_PIECE = 30
OVERHEAD = 5
"""Lines that a function takes beside its statements."""

_MODULE = re.compile(r"self\.(?!training\b|get_submodule\b|_modules\b)(\w+)(?![\w.\[])")
_WORD = re.compile(r"(?<![\w.\"])([A-Za-z_]\w*)(?![\w(]|=[^=])")


class Factored(NamedTuple):
    """The lines of the functions, and the statements that call them."""

    functions: list[list[str]]
    statements: list[str]


def factored(statements: Sequence[str], variables: set[str], name: str, taken: set[str]) -> Factored:
    """Return statements with their repeated pieces as functions; `variables` are the names of tensors in them."""
    left = list(statements)
    functions: list[list[str]] = []
    while len(left) > FEWEST_LINES and (places := _best(left, variables)):
        length, starts = places
        called = free(name, taken)
        taken.add(called)
        piece = left[starts[0] : starts[0] + length]
        functions.append(_function(called, piece, variables))
        for start in reversed(starts):
            modules = [found[0] for line in left[start : start + length] for found in _MODULE.finditer(line)]
            left[start : start + length] = [f"x = {called}({', '.join(['x', *modules])})"]
    return Factored(functions, left)


def _best(statements: list[str], variables: set[str]) -> tuple[int, list[int]] | None:
    """Return the length and the places of the piece that makes the code shortest."""
    patterns = [_MODULE.sub("self.·", line) for line in statements]
    best, best_saving = None, 0
    for length in range(2, LONGEST_PIECE + 1):
        places: dict[tuple[str, ...], list[int]] = {}
        for start in range(len(statements) - length + 1):
            found = places.setdefault(tuple(patterns[start : start + length]), [])
            if not found or found[-1] + length <= start:
                found.append(start)
        for pattern, starts in places.items():
            saving = (len(starts) - 1) * (length - 1) - OVERHEAD
            if saving > best_saving and _is_piece(pattern, variables) and _ends(statements, starts, length, variables):
                best, best_saving = (length, starts), saving
    return best


def _is_piece(pattern: Sequence[str], variables: set[str]) -> bool:
    """Whether statements read nothing but `x` and what they assign to, and assign to `x` at the end."""
    known = {"x"}
    for line in pattern:
        if not (assigned := re.match(r"(\w+)(?:: Tensor)? = ", line)):
            return False
        if not _read(line, variables) <= known:
            return False
        known.add(assigned[1])
    uses_self = any(re.search(r"self\.(?!·)", line) for line in pattern)
    return pattern[-1].startswith("x = ") and not uses_self and any("·" in line for line in pattern)


def _read(line: str, variables: set[str]) -> set[str]:
    return {word for word in _WORD.findall(line.partition(" = ")[2]) if word in variables}


def _ends(statements: list[str], starts: list[int], length: int, variables: set[str]) -> bool:
    """Whether nothing that a piece assigns to, but `x`, is read behind it."""
    inside = {line.partition(" = ")[0] for line in statements[starts[0] : starts[0] + length]} - {"x"}
    for start in starts:
        open_ = set(inside)
        for line in statements[start + length :]:
            if _read(line, variables) & open_:
                return False
            open_.discard(line.partition(" = ")[0])
    return True


def _function(name: str, piece: list[str], variables: set[str]) -> list[str]:
    modules = [found[1] for line in piece for found in _MODULE.finditer(line)]
    stems = [identifier(stem(module)) for module in modules]
    arguments = _numbered([f"{word}_module" if word in variables else word for word in stems])
    given = iter(arguments)
    body = [_MODULE.sub(lambda found: next(given), line) for line in piece]
    signature = ", ".join(["x: Tensor", *(f"{argument}: nn.Module" for argument in arguments)])
    lines = wrapped(f"def {name}({signature})", 0, " -> Tensor:")
    return [*lines, *(line for statement in body for line in wrapped(statement, 1)), f"{INDENT}return x"]


def _numbered(words: list[str]) -> list[str]:
    """Return words with ordinals where they occur more than once."""
    counts: dict[str, int] = {}
    result = []
    for word in words:
        counts[word] = counts.get(word, 0) + 1
        result.append(f"{word}{counts[word]}" if words.count(word) > 1 else word)
    return result
