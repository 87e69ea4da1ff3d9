"""The error of networks that cannot be written as source code."""

from __future__ import annotations

from cnnspec.errors import CnnspecError


class SourceError(CnnspecError):
    """A network that cannot be written as source code; the message names every layer that stands in the way."""
