"""What is watched: the spec, its parameters, the weights, the run, and how the network is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnspec.layers import Shape
from cnnspec.runtime.options import Execution


@dataclass(frozen=True)
class Watched:
    """The options of the live page."""

    spec: str
    """A path, or the name of a bundled spec."""
    params: Mapping[str, Any] = field(default_factory=dict)
    input_shape: Shape | None = None
    """The shape of the input, in place of the spec's."""
    weights: str | None = None
    """As `--weights` takes them; None for those that the spec names, or else initial ones."""
    run: Path | None = None
    """The folder of a run whose curves are shown."""
    execution: Execution = field(default_factory=Execution)
