"""Sets of sizes that were tried one by one, and the pattern that they have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cnnspec.layers.conv import divisors

LISTED = 8
"""The most sizes that a text lists one by one."""


@dataclass(frozen=True)
class SizeSet:
    """Sizes of which something holds: some by themselves, and from `start` on those that repeat every `period`."""

    single: tuple[int, ...] = ()
    """Those before `start`, or all of a finite set."""
    start: int = 0
    """The first of those that repeat; 0 where none do."""
    period: int = 0
    within: tuple[int, ...] = ()
    """Those from `start` up to, not including, `start + period`."""

    @property
    def first(self) -> int | None:
        """The smallest size, if there is one."""
        return self.single[0] if self.single else self.start or None

    @property
    def repeats(self) -> bool:
        """Whether it goes on without an end."""
        return self.period > 0

    def __contains__(self, n: int) -> bool:
        if n in self.single:
            return True
        return self.repeats and n >= self.start and self.start + (n - self.start) % self.period in self.within

    def __str__(self) -> str:
        parts = [_runs(self.single)] if self.single else []
        if self.repeats:
            more = "" if not self.single else "and "
            if self.period == 1:
                parts.append(f"{more}any from {self.start} up")
            elif len(self.within) == 1:
                listed = ", ".join(str(self.start + i * self.period) for i in range(3))
                parts.append(f"{more}from {self.start} up in steps of {self.period} ({listed}, …)")
            else:
                listed = _runs(self.within)
                parts.append(f"{more}{listed}, and so on every {self.period}")
        return ", ".join(parts) if parts else "none"


def _runs(sizes: Sequence[int]) -> str:
    """Return sizes as text, with those in a row as `28 to 31`."""
    runs: list[list[int]] = []
    for n in sizes:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    shown = [str(a) if a == b else f"{a} to {b}" if b > a + 1 else f"{a}, {b}" for a, b in runs]
    if len(shown) > LISTED:
        return f"{', '.join(shown[:LISTED])}, … ({len(sizes)} sizes up to {sizes[-1]})"
    return ", ".join(shown)


def pattern(found: Iterable[int], last: int, period: int) -> SizeSet:
    """Return the set with the pattern of those that were found among all sizes up to `last`.

    Its period divides `period`, three of which were tried beyond the first size. Where the last two of them hold none,
    the set is finite.
    """
    sizes = sorted(found)
    known = set(sizes)
    tail = max(1, last - 2 * period + 1)
    if not any(n >= tail for n in sizes):
        return SizeSet(tuple(sizes))
    for p in divisors(period):
        if all((n in known) == (n - p in known) for n in range(max(tail, p + 1), last + 1)):
            break
    else:
        return SizeSet(tuple(sizes))
    start = last - p + 1
    while start > 1 and (start - 1 in known) == (start - 1 + p in known):
        start -= 1
    first = min(n for n in sizes if n >= start)
    return SizeSet(tuple(n for n in sizes if n < first), first, p, tuple(n for n in sizes if first <= n < first + p))
