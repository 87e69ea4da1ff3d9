"""Golden texts: sections of Markdown files, each with what is printed for it as its `text` block."""

from __future__ import annotations

import re
from pathlib import Path


def rewrite(file: Path, title: str, rendered: str) -> None:
    """Replace the golden text of the section with a title; nothing printed leaves no block."""
    text = file.read_text(encoding="utf-8")
    head, start, section = text.partition(f"## {title}\n")
    section, following, rest = section.partition("\n## ")
    section = re.sub(r"\n*```text\n(?:.*\n)*?```", "", section).rstrip("\n")
    section += f"\n\n```text\n{rendered}\n```\n" if rendered else "\n"
    file.write_text(head + start + section + following + rest, encoding="utf-8")
