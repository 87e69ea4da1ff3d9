"""The weights that fine-tuning starts from: those of a file by name, and layers that begin anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy.typing as npt

from cnnspec.arrays import Arrays
from cnnspec.errors import WeightsError
from cnnspec.graph.finetuning import with_arrays
from cnnspec.graph.graph import Graph
from cnnspec.graph.selection import layer_of, matching, proposal, selected
from cnnspec.weights import match, naming
from cnnspec.weights.initial import initial

_HINTED = 8
"""The most layers that the help proposes to begin anew; of another network, all of them differ."""


@dataclass
class Start:
    """The arrays to start from, and where they come from."""

    arrays: Arrays
    replaced: list[str] = field(default_factory=list)
    """The layers that begin anew."""
    ignored: list[str] = field(default_factory=list)
    """The arrays of the given weights that are not used."""


def started(graph: Graph, given: Mapping[str, npt.ArrayLike], replace: Sequence[str], seed: int, origin: str) -> Start:
    """Return every array of a graph, taken over by name; the layers that `replace` matches begin anew from the seed.

    Arrays below a name that `replace` matches are not taken, whether the network has them or not. Raise WeightsError,
    which lists all arrays that are missing, superfluous or of another shape, where the others do not fit exactly.
    """
    layers = with_arrays(graph.nodes)
    theirs = list(dict.fromkeys(layer_of(name) for name in given))
    for pattern in replace:
        if not matching([*layers, *theirs], pattern):
            raise WeightsError(
                f"`replace` has `{pattern}`, which is no layer of `{graph.name}` with weights, nor of {origin}: "
                f"{proposal(pattern, layers)}"
            )
    chosen = selected(layers, replace)
    anew = {array for node in graph.nodes if node.name in chosen for array in node.arrays.values()}
    unused = selected(theirs, replace)
    ignored = [name for name in given if name in anew or layer_of(name) in unused]
    kept = {name: array for name, array in given.items() if name not in ignored}
    expected = {name: list(p.shape) for name, p in graph.parameters.items() if name not in anew}
    if lines := match.misfits(expected, match.as_arrays(kept), most=None):
        title = f"{origin} does not fit the network `{graph.name}`:"
        raise WeightsError("\n".join([title, *lines, *_help(graph, expected, kept, replace)]))
    arrays = match.as_arrays(kept)
    if anew:
        arrays |= {name: array for name, array in initial(graph, seed).items() if name in anew}
    return Start({name: arrays[name] for name in graph.parameters}, [n for n in layers if n in chosen], ignored)


def _help(
    graph: Graph, expected: Mapping[str, list[int]], given: Mapping[str, npt.ArrayLike], replace: Iterable[str]
) -> list[str]:
    """Return what to do about arrays that do not fit."""
    owners = {array: node.name for node in reversed(graph.nodes) for array in node.arrays.values()}
    shapes = {name: list(array.shape) for name, array in match.as_arrays(given).items()}
    names = [*expected, *(name for name in given if name not in expected)]
    differing = dict.fromkeys(
        owners.get(name, layer_of(name)) for name in names if expected.get(name) != shapes.get(name)
    )
    if 0 < len(differing) <= _HINTED:
        lines = [f"  help: `replace: [{', '.join([*replace, *differing])}]` begins with new weights there"]
        if extra := [name for name in differing if name not in owners.values()]:
            lines[0] += f", and leaves out {', '.join(extra)}"
        return lines
    if known := naming.recognise(list(given)):
        return [f"  help: the names are those of {known.name}: `cnnspec weights convert` maps them onto a spec"]
    return ["  help: these are weights of another network"] if differing else []
