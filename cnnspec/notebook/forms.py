"""The forms of an object by MIME type."""

from __future__ import annotations

Forms = dict[str, str]


def forms(text: str, html: str) -> Forms:
    """Return a text and a piece of HTML as IPython takes them."""
    return {"text/plain": text, "text/html": html}
