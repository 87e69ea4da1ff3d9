"""Lines that are wrapped at words for a terminal, with their colours."""

from __future__ import annotations

import re

from cnnspec.wording import cells

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_FIRST_GAP = re.compile(r" *\S+(?: \S+)*? {2,}")


def wrapped(line: str, width: int) -> list[str]:
    """Return a line in parts of at most so many cells; a word that is longer stays whole.

    What follows is indented to where the text begins behind a heading, as in `heading  text`, or a little more than
    the line itself.
    """
    plain = _STYLE.sub("", line)
    if cells(plain) <= width:
        return [line]
    indent = " " * _indent(plain, width)
    words = re.split(r"(?<=\S) (?!%)", line)
    lines = [words[0]]
    for word in words[1:]:
        if cells(_STYLE.sub("", f"{lines[-1]} {word}")) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word.lstrip(" "))
    return lines


def _indent(plain: str, width: int) -> int:
    heading = _FIRST_GAP.match(plain)
    if heading and cells(heading[0]) <= width // 2:
        return cells(heading[0])
    leading = len(plain) - len(plain.lstrip(" "))
    return min(leading + 2, width // 2) if leading else 0
