"""Which data is opened, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataOptions:
    """A dataset as a user names it; without a source, the one of the spec's `train:`."""

    source: str | None = None
    """A dataset's name, a directory, a table, or an .npz file."""
    folder: Path | None = None
    """The directory that holds the named datasets."""
    resize: bool = False
    """Whether images of another size or colour are fitted to the network."""
    download: bool = True
    """Whether a named dataset that is missing is downloaded."""
    skip_broken: bool = False
    """Whether samples with a file that cannot be decoded are left out; otherwise they are errors."""
    workers: int = 0
    """How many processes decode files; 0 for threads of this process."""
