"""The options of the backend, beside the device and the dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from cnnspec.errors import BackendError
from cnnspec.runtime.options import NUMERICS
from cnnspec.wording import one_of


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
        known = [field.name for field in fields(cls)]
        for name, value in options.items():
            if name not in known:
                raise BackendError(f"the numpy backend has no option `{name}`; it has {', '.join(known)}")
            if name == "numerics" and value not in NUMERICS:
                raise BackendError(f"the option `numerics` is {one_of(NUMERICS)}, not {value!r}")
            if name == "threads" and value is not None and (type(value) is not int or value < 1):
                raise BackendError(f"the option `threads` is a number of at least 1, not {value!r}")
            if name == "autotune" and not isinstance(value, bool):
                raise BackendError(f"the option `autotune` is true or false, not {value!r}")
        return cls(**options)
