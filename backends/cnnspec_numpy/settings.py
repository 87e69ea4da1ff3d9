"""NumPy's settings while calls of a plan run, which are those of one thread.

What overflows is infinite, and is reported by those who look at the numbers. Where rows of an array do not follow each
other, or a number is repeated along a row, NumPy copies operands to buffers, as many rows as fit, before it computes
(2.4 does): that halves the time of rows of 16 numbers, and doubles or triples that of 1,000. With buffers of 1,024
numbers in place of 8,192, rows of up to 1,024 take as long as before or less, and longer ones are not copied.
"""

from __future__ import annotations

from types import TracebackType

import numpy as np

BUFFER = 1024
"""Numbers of a buffer."""


class PlanSettings:
    """A context in which floating-point errors are ignored, and buffers are small."""

    def __enter__(self) -> None:
        """Set them."""
        self._errors = np.errstate(all="ignore")
        self._errors.__enter__()
        self._size = np.setbufsize(BUFFER)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore what was set before."""
        np.setbufsize(self._size)
        self._errors.__exit__(kind, error, traceback)
