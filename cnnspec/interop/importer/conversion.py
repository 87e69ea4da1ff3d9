"""What becomes of a foreign graph: the network, its outputs, and what has no counterpart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cnnspec.errors import ImportingError
from cnnspec.interop.importer.network import Network, Operand, Unsupported, Value

FREE_BATCH = 1_000_003
"""The size that stands for a free batch: a prime that no real axis has, so that products with it can be told."""


class Missing(NamedTuple):
    """An operation that has no counterpart."""

    name: str
    op: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.op}): {self.reason}"


class Unknown:
    """What is computed from an operation that has no counterpart."""


UNKNOWN = Unknown()


@dataclass
class Converted:
    """The network of a model, and which tensors are its outputs."""

    network: Network
    outputs: dict[str, Value]
    missing: list[Missing] = field(default_factory=list)


def converted(
    network: Network,
    wanted: Mapping[str, Operand | Unknown | None],
    ends: Mapping[str, Value],
    missing: Sequence[Missing],
) -> Converted:
    """Return the network with its outputs: those that are `wanted`, and the `ends` that operations without counterpart
    read."""
    found, faults = dict[str, Value](), list(missing)
    for name, tensor in (dict(wanted) | dict(ends)).items():
        if isinstance(tensor, Value):
            try:
                found[name] = network.plain(tensor)
            except Unsupported as error:
                faults.append(Missing(name, "output", str(error)))
        elif not isinstance(tensor, Unknown):
            faults.append(Missing(name, "output", "it is a constant"))
        elif not faults:  # no operation is to blame
            faults.append(Missing(name, "output", "nothing computes it"))
    return Converted(network, found, faults)


def check_complete(source: str, found: Converted, partial: bool) -> None:
    """Raise ImportingError where operations have no counterpart, unless the import is `partial` and some are left."""
    if found.missing and not partial:
        raise ImportingError(_listed(source, found.missing))
    if not found.outputs:
        raise ImportingError(f"nothing of `{source}` can be imported:\n{_listed(source, found.missing)}")


def _listed(source: str, missing: Sequence[Missing]) -> str:
    count = len(missing)
    lines = [f"`{source}` has {count} operation{'s' * (count != 1)} without counterpart:"]
    lines += [f"  {operation}" for operation in missing]
    return "\n".join([*lines, "with `--partial`, the network ends where these begin"])
