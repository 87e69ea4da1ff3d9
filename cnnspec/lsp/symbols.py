"""What a name of a spec is: of a parameter, a block or a layer."""

from __future__ import annotations

from typing import Literal, NamedTuple

from cnnspec.diagnostics import Span

What = Literal["parameter", "block", "layer"]
Spelling = Literal["written", "default", "computed"]


class Symbol(NamedTuple):
    """A name and the one place that defines it."""

    what: What
    name: str
    span: Span
    """The place of the name; of a layer with a default name, that of its kind."""
    spelling: Spelling = "written"
    """Whether the name is written there, follows from the kind, or is computed from parameters."""


class Occurrence(NamedTuple):
    """A place at which a name is written, or computed."""

    span: Span
    symbol: Symbol
