"""Names that are still free."""

from __future__ import annotations

from collections.abc import Container


def free(name: str, taken: Container[str], separator: str = "") -> str:
    """Return the name, with a number from 2 on where it is taken: `conv`, `conv2`, `conv3`."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}{separator}{number}", number + 1
    return found
