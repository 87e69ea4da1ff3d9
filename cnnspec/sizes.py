"""Sizes in bytes: parse and format them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def parse_size(text: str) -> int:
    """Return a number of bytes, written as `500MB` or `4GiB`; raise ValueError for anything else."""
    found = _SIZE.fullmatch(text)
    if not found or found[2].upper() not in _UNITS:
        raise ValueError(f"`{text}` is no size: write it as 500MB or 4GiB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def size_of(count: int) -> str:
    """Return a number of bytes in decimal units: 177.7 kB."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.95:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} PB"
