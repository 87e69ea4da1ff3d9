"""The options of the backend, beside the device and the dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnspec.runtime.options import checked_options


@dataclass(frozen=True)
class Options:
    """The options of `prepare`."""

    numerics: str = "default"
    """"strict" runs the graph layer by layer; "default" a plan that rounds about as much as that; "fast" allows
    methods with more rounding."""
    threads: int | None = None
    """How many threads compute; None for as many as BLAS is set to use, which its environment variables limit."""
    autotune: bool = False
    """Whether methods are chosen by a few timed runs, which are kept on disk, instead of by estimates."""

    @classmethod
    def checked(cls, options: Mapping[str, Any]) -> Options:
        """Return the options; raise BackendError where one does not exist or has a wrong value."""
        return checked_options("numpy", cls, options)
