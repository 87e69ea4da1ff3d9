"""The columns of a table of samples."""

from __future__ import annotations

from cnnspec.graph.settings import Settings
from cnnspec.graph.training.types import Names


class Columns(Settings):
    """Names of the columns of a table of samples, where they are not the usual ones."""

    image: str | None = None
    """The column of the images; by default `path`, `file`, `filename`, `file_name`, `image` or `img`."""
    target: Names = ()
    """The column or the columns of the targets, of a network with one output."""
    split: str | None = None
    """The column that says which part a sample belongs to, `train`, `test` or `validation`; by default `split`."""
