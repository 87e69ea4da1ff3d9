"""The result of an export, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cnnspec import atomic
from cnnspec.diagnostics import Source
from cnnspec.display import Rich
from cnnspec.errors import ExportError
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.interop.comparison import BATCHES, TOLERANCE, Difference
from cnnspec.language.load import spec_of


class Refined(NamedTuple):
    """A comparison without the rounding of earlier layers: each layer on the same inputs, or all in float64."""

    how: Literal["layer by layer", "in float64"]
    difference: Difference


@dataclass(frozen=True)
class Exported(Rich):
    """A network in a file of another format, and how the file was verified."""

    spec: str
    format: str
    files: tuple[Path, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the format says of the model, such as its opset."""
    engine: str | None = None
    """The library that ran the file for the comparison; None where it was not verified."""
    difference: Difference | None = None
    """The largest difference of its float32 form from the network's outputs; None where it was not verified."""
    refined: Refined | None = None
    """The comparison that decided where the network amplifies rounding so much that its outputs differ by more than
    the tolerance."""
    precision: str = "float32"
    """The data type of the numbers in the file."""
    rounding: Difference | None = None
    """The largest difference of the file itself, where its data type is another than float32."""

    @property
    def bytes(self) -> int:
        """The size of the files together."""
        return sum(file.stat().st_size for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        verification: dict[str, Any] | None = None
        if self.difference is not None:
            verification = {"engine": self.engine, "batches": list(BATCHES), "tolerance": TOLERANCE}
            verification |= self.difference._asdict()
            refined = self.refined
            verification["refined"] = {"how": refined.how, **refined.difference._asdict()} if refined else None
        return {
            "spec": self.spec,
            "format": self.format,
            "files": [{"file": str(file), "bytes": file.stat().st_size} for file in self.files],
            **self.details,
            "dtype": self.precision,
            "verification": verification,
            "rounding": self.rounding._asdict() if self.rounding else None,
        }


def spec_around(given: str | Path | Source | Spec | Graph) -> Spec:
    """Return the spec, loaded if need be; a graph alone gets one without preprocessing of its own."""
    if not isinstance(given, Graph):
        return spec_of(given)
    return Spec(given.name, given, {name: Input(shape=given.by_name[name].shape) for name in given.inputs})


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; raise ExportError where it cannot be written."""
    try:
        atomic.write(path, content)
    except OSError as error:
        raise ExportError(f"`{path}` cannot be written: {error.strerror or error}") from error
