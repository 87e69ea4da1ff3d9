"""The limit of how far blocks and repeats may expand a spec."""

from __future__ import annotations

from cnnspec.diagnostics import Span
from cnnspec.language.scope import Scope

MAX_LAYERS = 50_000


class TooManyLayers(Exception):
    """The network grows past its limit, which is reported."""


class LayerCounter:
    """Count the steps of an expansion: layers, uses of blocks and rounds of repeats."""

    def __init__(self, most: int = MAX_LAYERS) -> None:
        self.most = most
        self.count = 0

    def add(self, span: Span, scope: Scope) -> None:
        """Count one step; report an error and raise TooManyLayers at the first beyond the limit."""
        self.count += 1
        if self.count > self.most:
            self.fail(span, scope)

    def fail(self, span: Span, scope: Scope) -> None:
        """Report that the limit is exceeded, and raise TooManyLayers."""
        message = f"the network grows past {self.most:,} layers"
        scope.error("too-many-layers", message, span, "reached here")
        raise TooManyLayers
