"""What `gpu.py` hands to its parts, and what they hand back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Where and how much is measured."""

    device: str
    """`cuda`, or `cpu` in a dry run."""
    data: Path | None
    """A directory that holds fashion-mnist."""
    compiles: bool
    """Whether torch.compile is measured."""
    until: float
    """The time, of `time.monotonic`, after which nothing further is begun."""

    @property
    def is_cuda(self) -> bool:
        return self.device == "cuda"

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.until


@dataclass
class Section:
    """A table, with notes below it; a fault is what is wrong with the project."""

    title: str
    rows: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def columns(self) -> dict[str, list[str]]:
        """Return the cells of each column; of rows that lack it, empty ones."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: [row.get(name, "") for row in self.rows] for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Return the form in JSON."""
        return {"title": self.title, "rows": self.rows, "notes": self.notes, "faults": self.faults}
