"""The arrays of a spec from a weights file of Keras, whose layers have the spec's names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cnnspec.errors import WeightsError
from cnnspec.graph.graph import Graph
from cnnspec.weights import keras_files, match
from cnnspec.weights.conversion import Conversion, Pair, matching, renamed
from cnnspec.weights.keras_files import Variable, Variables
from cnnspec.weights.keras_layouts import KerasArray, layouts, to_spec
from cnnspec.wording import format_shape, nearest


def convert(
    graph: Graph, path: str | Path, rename: Sequence[tuple[str, str]] = (), ignore: Sequence[str] = ()
) -> Conversion:
    """Return the arrays of `graph.parameters`, taken from a weights file of Keras.

    Layers are matched by name, with underscores for the dots of the spec's, and each array must have its shape.
    `rename` and `ignore` are of names of layers. Raises WeightsError, with every fault in one message.
    """
    expected: dict[str, list[KerasArray]] = {}
    for array in layouts(graph):
        expected.setdefault(array.layer, []).append(array)
    with keras_files.opened(path) as held:
        notes = []
        dropped = matching(held, ignore)
        if dropped:
            notes.append(f"{len(dropped)} layer{'s' * (len(dropped) != 1)} left out, as --ignore says")
        sources = renamed([name for name in held if name not in dropped], rename)
        found = {new: held[old] for new, old in sources.items()}
        if faults := _faults(expected, found):
            raise WeightsError("\n".join([f"`{path}` does not fit the network `{graph.name}`:", *faults]))
        arrays = [array for group in expected.values() for array in group]
        variables = [variable for name, group in expected.items() for variable in _in_order(group, found[name])]
        values = to_spec(arrays, [variable.read() for variable in variables])
    shaped = {name: values[name].reshape(p.shape) for name, p in graph.parameters.items()}
    pairs = tuple(
        Pair(
            f"{sources[array.layer]}/{array.title}",
            array.name,
            array.shape,
            graph.parameters[array.name].shape,
            sources[array.layer] != array.layer,
            True,
        )
        for array in arrays
    )
    return Conversion(match.checked(graph, shaped, f"`{path}`"), pairs, tuple(notes))


def _in_order(arrays: Sequence[KerasArray], variables: Sequence[Variable]) -> list[Variable]:
    """Return the variables of a layer in the order of its arrays."""
    by_path = {variable.path: variable for variable in variables}
    return list(variables) if "" in by_path else [by_path[array.path] for array in arrays]


def _faults(expected: dict[str, list[KerasArray]], found: Variables) -> list[str]:
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    wrong: dict[str, str] = {}
    for name in expected:
        if name in found:
            wrong |= _differences(name, expected[name], found[name])

    def unknown(name: str) -> str:
        near = nearest(name, missing)
        question = f"; did you mean `{near}`?" if near else ""
        return f"found {_listed(found[name])}, and the network has no such layer{question}"

    return [
        *match.listed([*wrong], "of another shape", lambda name: wrong[name]),
        *match.listed(missing, "missing", lambda name: f"expected {_listed(expected[name])}, found nothing"),
        *match.listed(extra, "that the network does not have", unknown),
    ]


def _differences(name: str, arrays: Sequence[KerasArray], variables: Sequence[Variable]) -> dict[str, str]:
    """Return how the variables of a layer differ from those that the network has, by their names."""
    by_path = {variable.path: variable for variable in variables}
    ordered = "" in by_path
    if len(arrays) != len(variables) or not (ordered or by_path.keys() == {array.path for array in arrays}):
        return {name: f"expected {_listed(arrays)}, found {_listed(variables)}"}
    return {
        f"{name}/{array.title}": f"expected {format_shape(array.shape)}, found {format_shape(variable.shape)}"
        for array, variable in zip(arrays, _in_order(arrays, variables), strict=True)
        if array.shape != variable.shape
    }


def _listed(arrays: Sequence[KerasArray] | Sequence[Variable]) -> str:
    return " and ".join(format_shape(array.shape) or "one number" for array in arrays)
