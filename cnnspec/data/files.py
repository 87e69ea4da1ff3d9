"""Datasets in files that are read whole: IDX, .npz and the binary version of CIFAR-10."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.data import idx, inputs
from cnnspec.data.memory import Part
from cnnspec.errors import DataError, InputError
from cnnspec.graph.spec import Spec

Parts = tuple[Part, Part | None]
"""The training data, and the test data if there is any."""

# IDX

_IDX_PARTS = {"train": "train", "test": "t10k"}
_IDX_ARRAYS = ("images-idx3-ubyte", "labels-idx1-ubyte")


def has_idx(folder: Path) -> bool:
    """Return whether a directory holds any file with one of MNIST's names."""
    return any(_idx_file(folder, part, array) for part in _IDX_PARTS for array in _IDX_ARRAYS)


def idx_folder(folder: Path, name: str) -> Parts:
    """Return the IDX files of a directory by MNIST's names, plain or gzip; without t10k files there is no test part."""
    train = _idx_part(folder, name, "train")
    if train is None:
        raise DataError(f"`{folder}` has test data (t10k-…) and no training data: {_idx_names('train')}")
    return train, _idx_part(folder, name, "test")


def _idx_part(folder: Path, name: str, part: str) -> Part | None:
    files = [_idx_file(folder, part, array) for array in _IDX_ARRAYS]
    if files == [None, None]:
        return None
    images, labels = files
    if images is None or labels is None:
        raise DataError(f"`{folder}` has only one file of {_idx_names(part)}")
    return Part(f"{name} ({part})", idx.read(images), idx.read(labels))


def _idx_file(folder: Path, part: str, array: str) -> Path | None:
    stem = f"{_IDX_PARTS[part]}-{array}"
    names = [text + end for text in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _idx_names(part: str) -> str:
    return " and ".join(f"{_IDX_PARTS[part]}-{array}[.gz]" for array in _IDX_ARRAYS)


# .npz

_WITHOUT_TEST = ("x_train", "y_train")
_WITH_TEST = (*_WITHOUT_TEST, "x_test", "y_test")


def npz(path: Path, name: str, *, labelled: bool = True) -> Parts:
    """Return the arrays `x` and `y`, or `x_train`, `y_train` and, if present, `x_test`, `y_test`, of a .npz file.

    Where the samples need not be `labelled`, `y` may be missing; its place is taken by zeros.
    """

    def choose(members: list[str]) -> tuple[str, ...]:
        there = {key for key in ("x", "y", *_WITH_TEST) if key in members}
        for keys in (("x", "y"), _WITHOUT_TEST, _WITH_TEST):
            if there == set(keys):
                return keys
        raise InputError(
            f"`{name}` holds {', '.join(f'`{key}`' for key in members[:20])}; a dataset has `x` and `y`, or `x_train` "
            "and `y_train` and, for testing, `x_test` and `y_test`"
        )

    def choose_samples(members: list[str]) -> tuple[str, ...]:
        there = tuple(key for key in ("x", "x_train", "x_test") if key in members)
        samples_alone = there in (("x",), ("x_train",), ("x_train", "x_test"))
        return there if samples_alone and not {"y", "y_train"} & {*members} else choose(members)

    with path.open("rb") as file:
        found = inputs.npz_arrays(file, name, choose if labelled else choose_samples)
    for key in [key for key in found if key.startswith("x")]:
        found.setdefault(f"y{key[1:]}", np.zeros(found[key].shape[:1]))
    if "x" in found:
        return Part(f"{name} (train)", found["x"], found["y"]), None
    parts = [
        Part(f"{name} ({part})", found[f"x_{part}"], found[f"y_{part}"])
        for part in ("train", "test")
        if f"x_{part}" in found
    ]
    return parts[0], (parts[1] if len(parts) == 2 else None)


def named_npz(path: Path, name: str, spec: Spec) -> Parts:
    """Return the arrays of a .npz file by name: one for each input, and for each output that is trained.

    A network with one input also takes `x`. The targets of an output are the array that the spec's `train: {targets}`
    names, one that is called as the output, or `y`. All end in `_train`, and in `_test` for testing, where there are
    both.
    """
    given = spec.train.targets if spec.train else {}
    wanted = {key: [key, *(["x"] if len(spec.inputs) == 1 else [])] for key in spec.inputs}
    labels = {key: _array_of(key, given[key]) if key in given else [key, "y"] for key in spec.losses}
    alternatives = [*wanted.values(), *labels.values()]

    def chosen(members: list[str], end: str) -> list[str] | None:
        found = [next((key for key in names if f"{key}{end}" in members), None) for names in alternatives]
        return None if None in found else [key for key in found if key is not None]

    plan: dict[str, list[str]] = {}

    def choose(members: list[str]) -> list[str]:
        for ends in (("",), ("_train", "_test"), ("_train",)):
            keys = {end: chosen(members, end) for end in ends}
            if None not in keys.values():
                plan.update({end: found for end, found in keys.items() if found is not None})
                return list(dict.fromkeys(f"{key}{end}" for end, found in plan.items() for key in found))
        needed = ", ".join(" or ".join(f"`{key}`" for key in names) for names in alternatives)
        raise InputError(
            f"`{name}` holds {', '.join(f'`{key}`' for key in members[:20])}; `{spec.name}` needs {needed}, all as "
            "they are, or ending in `_train` and, for testing, in `_test`"
        )

    with path.open("rb") as file:
        arrays = inputs.npz_arrays(file, name, choose)
    parts = []
    for end, keys in plan.items():
        x = {key: arrays[f"{array}{end}"] for key, array in zip(wanted, keys, strict=False)}
        y = {key: arrays[f"{array}{end}"] for key, array in zip(labels, keys[len(wanted) :], strict=True)}
        part = f"{name} ({end.removeprefix('_') or 'train'})"
        one_output = len(spec.graph.outputs) == 1
        parts.append(Part(part, _one_of(x) if len(x) == 1 else x, _one_of(y) if one_output else y))
    return parts[0], (parts[1] if len(parts) == 2 else None)


def _array_of(output: str, names: tuple[str, ...]) -> list[str]:
    if len(names) != 1:
        raise InputError(f"`targets: {{{output}: …}}` names {len(names)} arrays, and an output has one in a .npz file")
    return list(names)


def _one_of(arrays: Arrays) -> Array:
    (array,) = arrays.values()
    return array


# CIFAR-10

CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR10_FOLDER = "cifar-10-batches-bin"
_CIFAR10 = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
_CIFAR10_SAMPLE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_LARGEST_BATCH = 10_000 * _RECORD


def cifar10(folder: Path, name: str) -> Parts:
    """Return CIFAR-10 in its binary version (https://www.cs.toronto.edu/~kriz/cifar.html), unpacked or not."""
    batches = dict(_cifar10_batches(folder))
    parts = []
    for part, names in _CIFAR10.items():
        missing = [file for file in names if file not in batches]
        if missing:
            raise DataError(f"`{folder}` has no {', '.join(missing)}: unpack or download {CIFAR10_ARCHIVE} anew")
        records = np.concatenate([_records(batches.pop(file), file, folder) for file in names])
        parts.append(Part(f"{name} ({part})", records[:, 1:].reshape(-1, *_CIFAR10_SAMPLE), records[:, 0]))
    return parts[0], parts[1]


def _cifar10_batches(folder: Path) -> Iterator[tuple[str, bytes]]:
    wanted = [name for names in _CIFAR10.values() for name in names]
    if (folder / CIFAR10_FOLDER).is_dir():
        for name in wanted:
            if (folder / CIFAR10_FOLDER / name).is_file():
                yield name, (folder / CIFAR10_FOLDER / name).read_bytes()
        return
    path = folder / CIFAR10_ARCHIVE
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in wanted and member.size <= _LARGEST_BATCH and (file := archive.extractfile(member)):
                    yield name, file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"`{path}` is cut short or damaged ({error}); remove it and download it anew") from error


def _records(content: bytes, name: str, folder: Path) -> Array:
    if not content or len(content) % _RECORD:
        raise DataError(f"`{name}` in `{folder}` is cut short: {len(content):,} bytes are no whole number of images")
    return np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
