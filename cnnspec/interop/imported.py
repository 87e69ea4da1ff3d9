"""A network that was imported, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cnnspec.arrays import Arrays
from cnnspec.display import Rich
from cnnspec.errors import ImportingError
from cnnspec.graph.spec import Spec
from cnnspec.interop.comparison import TOLERANCE, Difference
from cnnspec.interop.importer.conversion import Missing
from cnnspec.interop.structure.text import compact


@dataclass(frozen=True)
class ImportedNetwork(Rich):
    """A network that was imported from another format."""

    spec: Spec
    arrays: Arrays
    """The weights by name."""
    nodes: int
    """How many operations the model has."""
    missing: tuple[Missing, ...] = ()
    """The operations that are left out, of a partial import."""
    difference: Difference | None = None
    """The largest difference of the outputs on random inputs; None where it was not measured."""

    modules: bool = False
    """Whether layers are called as the modules that they come from; in `text`, only layers with weights are."""

    varies: bool = True
    """Whether the outputs that were compared depend on the input: those of untrained weights need not."""

    @cached_property
    def text(self) -> str:
        """The text of the spec, with what repeats as blocks and repeats."""
        return compact(self.spec, self.modules)


def accepted(source: str, difference: Difference) -> Difference:
    """Return the difference of a network's outputs from those of its source; raise ImportingError where it is large."""
    if not difference.relative <= TOLERANCE:
        raise ImportingError(
            f"the imported network computes something else than `{source}`: its outputs differ by {difference}, and "
            f"{TOLERANCE:g} relative is allowed; `--no-verify` imports it nevertheless"
        )
    return difference
