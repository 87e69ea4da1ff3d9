"""A candidate for a fix: an edit of the text, what it changes in the network, and how likely it is what is meant."""

from __future__ import annotations

from dataclasses import dataclass

from cnnspec.diagnostics import Edit, Label
from cnnspec.language.causes.network import Change


@dataclass(frozen=True)
class Candidate:
    """An edit of the text and the change of the network that it makes; the lowest score is the most likely."""

    score: float
    title: str
    edits: tuple[Edit, ...]
    change: Change | None
    """None where only a check of the edited text tells."""
    cause: Label | None = None
    """The layer that made the difference."""
