"""Conversion of a PyTorch state_dict to the arrays of a spec, by name, or by order and shape within a kind of layer."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.errors import WeightsError
from cnnspec.graph import selection
from cnnspec.graph.graph import Graph
from cnnspec.layers import Shape
from cnnspec.weights import alignment, hub, match, naming
from cnnspec.weights import files as weights
from cnnspec.wording import nearest

TORCH = (".pth", ".pt", ".bin", ".ckpt")
"""The suffixes of files that torch.save wrote; all others are read as safetensors."""
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")
_COUNTER = "num_batches_tracked"
_BY_NAME = "the file holds its tensors sorted by name, not as the model defines them: they are ordered 2 before 10"


class Stored(NamedTuple):
    """The header entry of one tensor of a safetensors file."""

    name: str
    dtype: str
    shape: Shape


class Pair(NamedTuple):
    """One tensor of the file, and the array of the spec that is taken from it."""

    source: str
    name: str
    source_shape: Shape
    shape: Shape
    renamed: bool
    by_name: bool


@dataclass(frozen=True)
class Conversion:
    """The arrays of a spec, the source of each, and notes on what else was done."""

    arrays: Arrays
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def convert(
    graph: Graph, path: str | Path, rename: Sequence[tuple[str, str]] = (), ignore: Sequence[str] = ()
) -> Conversion:
    """Return the arrays of `graph.parameters`, taken from a safetensors or PyTorch file with any names.

    `path` may be `hf://owner/name/file`. `rename` holds pairs (old, new): in a name that is `old`, or begins with `old`
    and a dot, `new` takes its place. `ignore` holds patterns of names that are left out, with all below them; `*`
    matches anything.
    Raises WeightsError, with every fault in one message, unless each tensor has exactly one counterpart.
    """
    found, notes = _read(path)
    found, said = _without_prefixes(found)
    notes += said
    counters = {name for name in found if name.rpartition(".")[2] == _COUNTER}
    if counters:
        notes.append(f"{len(counters)} × `{_COUNTER}` left out: inference does not use it, and the spec has none")
    kept = {name: array for name, array in found.items() if name not in counters}
    dropped = matching(kept, ignore)
    if dropped:
        notes.append(f"{len(dropped)} tensor{'s' * (len(dropped) != 1)} left out, as --ignore says")
    sources = renamed([name for name in kept if name not in dropped], rename)
    expected = {name: parameter.shape for name, parameter in graph.parameters.items()}
    shapes = {new: kept[old].shape for new, old in sources.items()}
    known = naming.recognise([*shapes])
    mapping, faults, ordered = assigned(expected, shapes, known)
    if faults:
        if known:
            remark = known.family.remark
            faults.append(f"  note: the names are those of {known.name}{': ' * bool(remark)}{remark}")
        elif _BY_NAME in notes:
            faults.append(f"  note: {_BY_NAME}; a file that torch.save wrote keeps the order of the layers")
        raise WeightsError("\n".join([f"`{path}` cannot be mapped onto `{graph.name}`:", *faults]))
    if known and ordered:
        notes = [note for note in notes if note != _BY_NAME]
        notes.append(f"the names are those of {known.name}, and the layers are taken in its order")
    pairs = tuple(
        Pair(
            sources[new],
            name,
            kept[sources[new]].shape,
            expected[name],
            new != sources[new],
            new in (name, selection.layer_of(name)),
        )
        for name, new in mapping.items()
    )
    arrays = {pair.name: kept[pair.source].reshape(pair.shape) for pair in pairs}
    if all(pair.by_name for pair in pairs):
        notes = [note for note in notes if note != _BY_NAME]  # the order was not used
    return Conversion(match.checked(graph, arrays, f"`{path}`"), pairs, tuple(notes))


def tensors(path: str | Path) -> Arrays:
    """Return the tensors of a state_dict by their names in the model, without the prefixes of wrappers."""
    return _without_prefixes(_read(path)[0])[0]


# Names


def assigned(
    expected: Mapping[str, Shape], found: Mapping[str, Shape], known: naming.Recognised | None
) -> tuple[dict[str, str], list[str], bool]:
    """Return the found name for each expected one, the faults, and whether the order of a known family was taken.

    That comes before the order of the file, which serves where the spec has the layers in another order.
    """
    if known is None:
        return *alignment.align(expected, found), False
    mapping, faults = alignment.align(expected, {new: found[old] for new, old in known.names.items()})
    if faults:
        mapping_as_it_is, remaining = alignment.align(expected, found)
        return mapping_as_it_is, remaining and faults, False
    return {name: known.names[new] for name, new in mapping.items()}, [], True


def _without_prefixes(found: Arrays) -> tuple[Arrays, list[str]]:
    """Return the tensors without the prefixes that DataParallel and torch.compile put before every name."""
    notes = []
    while prefix := next((p for p in _PREFIXES if found and all(name.startswith(p) for name in found)), None):
        found = {name.removeprefix(prefix): array for name, array in found.items()}
        notes.append(f"the prefix `{prefix}` is left out of every name")
    return found, notes


def matching(names: Mapping[str, Any], patterns: Sequence[str]) -> set[str]:
    """Return the names that a pattern matches, or that are below a name that it matches."""
    found: set[str] = set()
    for pattern in patterns:
        hits = selection.matching(names, pattern)
        if not hits:
            raise _unused("ignore", pattern, names)
        found.update(hits)
    return found


def renamed(names: Sequence[str], rules: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the tensors after all rules, applied in order, and the previous name of each."""
    now = {name: name for name in names}
    for old, new in rules:
        hits = [name for name in names if f"{now[name]}.".startswith(f"{old}.")]
        if not hits:
            raise _unused("rename", old, now.values())
        for name in hits:
            now[name] = (new + now[name].removeprefix(old)).removeprefix(".")
    sources: dict[str, str] = {}
    for name, new in now.items():
        if new in sources:
            raise WeightsError(f"after --rename, `{sources[new]}` and `{name}` are both called `{new}`")
        sources[new] = name
    return sources


def _unused(option: str, word: str, names: Any) -> WeightsError:
    known = dict.fromkeys(prefix for name in names for prefix in selection.prefixes(name))
    near = nearest(word, known)
    hint = f"; did you mean `{near}`?" if near else ""
    return WeightsError(f"--{option} {word}: the file has no such name, nor one below it{hint}")


# Files


def stored(path: str | Path, *, called: str | Path = "") -> list[Stored]:
    """Return the header entries of a safetensors file, in the order of the data; messages call it as `files` does."""
    weights.metadata(path, called=called)  # raises where it is not a safetensors file
    with Path(path).open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    order = sorted(header, key=lambda name: header[name]["data_offsets"])
    return [Stored(name, header[name]["dtype"], tuple(header[name]["shape"])) for name in order]


def _read(path: str | Path) -> tuple[Arrays, list[str]]:
    """Return the arrays in the order of the model's definition, as far as the file has it, and notes."""
    file = hub.local(path, (weights.SUFFIX, *TORCH))
    if file.suffix.lower() in TORCH:
        return _read_torch(file, path)
    arrays = weights.read(file, called=path)
    entries = [entry for entry in stored(file) if entry.name in arrays]
    names = [entry.name for entry in entries]
    # The safetensors library sorts by dtype and name as it writes; such an order carries no information on the layers.
    by_dtype: dict[str, list[str]] = {}
    for entry in entries:
        by_dtype.setdefault(entry.dtype, []).append(entry.name)
    if any(group != sorted(group) for group in by_dtype.values()):
        return {name: arrays[name] for name in names}, []
    return {name: arrays[name] for name in sorted(names, key=naming.natural)}, [_BY_NAME]


def _read_torch(file: Path, path: str | Path) -> tuple[Arrays, list[str]]:
    """Return the tensors of a file that torch.save wrote: a state_dict, or a checkpoint that holds one.

    Messages call it by `path`, which may be a reference to the hub.
    """
    if not file.is_file():
        raise WeightsError(f"there is no file `{path}`")
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"reading `{path}` takes PyTorch: install the extra `torch` (pip install 'cnnspec[torch]'), or save the "
            "state_dict as safetensors where there is one"
        ) from error
    try:
        with warnings.catch_warnings(action="ignore"):  # reported below
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch and pickle raise errors of any type for a broken file
        raise WeightsError(
            f"`{path}` cannot be read: it is cut short or no file of PyTorch, or it holds Python objects beside "
            "tensors, which could run code; save `model.state_dict()` alone"
        ) from error
    notes = []
    while isinstance(content, dict) and (key := next((k for k in _WRAPPERS if isinstance(content.get(k), dict)), "")):
        content = content[key]
        notes.append(f"taken from the checkpoint's `{key}`")
    if not isinstance(content, dict):
        raise WeightsError(f"`{path}` holds a {type(content).__name__}, not a state_dict")
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if others := [str(name) for name in content if name not in tensors]:
        notes.append(f"no tensors, and left out: {', '.join(others[: match.SHOWN])}{' …' * (len(others) > 10)}")
    return {str(name): _array(path, str(name), tensor) for name, tensor in tensors.items()}, notes


def _array(path: str | Path, name: str, tensor: Any) -> Array:
    import torch

    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    try:
        return np.asarray(tensor.numpy(force=True))
    except (TypeError, RuntimeError) as error:
        raise WeightsError(f"`{path}`: the tensor `{name}` ({tensor.dtype}) is not a plain array of numbers") from error
