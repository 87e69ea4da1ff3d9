"""NumPy's settings while calls of a plan run, which are those of one thread.

What overflows is infinite, and is reported by those who look at the numbers. Where rows of an array do not follow each
other, or a number is repeated along a row, NumPy copies operands to buffers, as many rows as fit, before it computes
(2.4 does): that halves the time of rows of 16 numbers, and doubles or triples that of 1,000. With buffers of 1,024
numbers in place of 8,192, rows of up to 1,024 take as long as before or less, and longer ones are not copied.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")

BUFFER = 1024
"""Numbers of a buffer."""


def with_plan_settings(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that is called with floating-point errors ignored, and small buffers.

    The settings are variables of the context, and the call has a context of its own: wherever an interrupt comes, the
    caller's stay what they were. NumPy before 2.0 keeps them by thread, where they are restored at the end.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return copy_context().run(_call, function, args, kwargs)

    return call


def _call(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    with np.errstate(all="ignore"):
        size = np.setbufsize(BUFFER)
        try:
            return function(*args, **kwargs)
        finally:
            np.setbufsize(size)
