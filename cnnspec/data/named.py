"""Input files of a network with several inputs: `left=one.png right=two.npy`, or an .npz file with all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnnspec.arrays import Arrays
from cnnspec.data import inputs
from cnnspec.errors import InputError
from cnnspec.graph.settings import Input
from cnnspec.wording import names, nearest


@dataclass(frozen=True, slots=True)
class NamedBatch:
    """A batch of every input by name, and the sources of each sample."""

    x: Arrays
    sources: tuple[str, ...]

    @property
    def n(self) -> int:
        """The number of samples."""
        return len(self.sources)


def read(files: Sequence[str], wanted: Mapping[str, Input], *, limit: int | None = None) -> NamedBatch:
    """Return the samples of every input; raise InputError for what is missing or does not fit.

    A network with one input takes plain files. Of several, each file is that of an input (`left=one.png`), or holds an
    array for each by name (.npz).
    """
    if len(wanted) == 1:
        ((name, graph_input),) = wanted.items()
        batch = inputs.read([file.removeprefix(f"{name}=") for file in files], graph_input, limit=limit)
        return NamedBatch({name: batch.x}, batch.sources)
    if len(files) == 1 and files[0].endswith(".npz") and "=" not in files[0]:
        return _npz(files[0], wanted, limit)
    by_input: dict[str, list[str]] = {name: [] for name in wanted}
    for file in files:
        name, equals, path = file.partition("=")
        if not equals or name not in wanted:
            near = nearest(name, wanted) if equals else None
            remedy = f"did you mean `{near}={path}`?" if near else f"write {' '.join(f'{key}=FILE' for key in wanted)}"
            raise InputError(f"`{file}` names none of the inputs {names(list(wanted))}: {remedy}")
        by_input[name].append(path)
    if missing := [name for name, paths in by_input.items() if not paths]:
        raise InputError(f"no file is given for the input {names(missing)}: add `{missing[0]}=FILE`")
    found = {name: inputs.read(paths, wanted[name], limit=limit) for name, paths in by_input.items()}
    sources = zip(*(batch.sources for batch in found.values()), strict=False)
    return _of_one_size({name: batch.x for name, batch in found.items()}, tuple(", ".join(parts) for parts in sources))


def _npz(file: str, wanted: Mapping[str, Input], limit: int | None) -> NamedBatch:
    def choose(members: list[str]) -> Sequence[str]:
        if missing := [name for name in wanted if name not in members]:
            listed = ", ".join(f"`{key}`" for key in members[:20])
            raise InputError(f"`{file}` holds {listed}, and no array for the input {names(missing)}")
        return list(wanted)

    with inputs.open_stream(file, file) as stream:
        arrays = inputs.npz_arrays(stream, file, choose)
    x = {
        name: inputs.samples_of(arrays[name], "npz", f"{file}[{name}]", graph_input, limit)
        for name, graph_input in wanted.items()
    }
    n = len(next(iter(x.values())))
    return _of_one_size(x, (file,) if n == 1 else tuple(f"{file}[{i}]" for i in range(n)))


def _of_one_size(x: Arrays, sources: tuple[str, ...]) -> NamedBatch:
    sizes = {name: len(batch) for name, batch in x.items()}
    if len(set(sizes.values())) > 1:
        counts = ", ".join(f"{n} of `{name}`" for name, n in sizes.items())
        raise InputError(f"the inputs have different numbers of samples: {counts}")
    return NamedBatch({name: np.ascontiguousarray(batch) for name, batch in x.items()}, sources)
