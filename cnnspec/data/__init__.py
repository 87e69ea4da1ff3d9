"""Training data: open datasets, fit them to a network, and divide them into batches.

Uses language, graph and what is below; imports NumPy, and no backend.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from cnnspec.data import files, known, reconstruction, sources, targets
from cnnspec.data.augment import Augmentation, augmentation_for, augmentation_of, mixing_of
from cnnspec.data.batches import batches, epoch_order, steps_of
from cnnspec.data.loader import Loader
from cnnspec.data.memory import InMemory, Part, fitted
from cnnspec.data.split import Dataset, Split, held_out, split_off
from cnnspec.errors import DataError, InputError
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.wording import nearest

__all__ = [
    "Augmentation", "DataError", "Dataset", "Loader", "Split", "augmentation_of", "batches", "epoch_order", "held_out",
    "mixing_of", "open_dataset", "split_off", "steps_of",
]  # fmt: skip

EXAMPLES = "examples"
NAMES = (*known.KNOWN, known.DIGITS, EXAMPLES)


def open_dataset(
    source: str, spec: Spec, *, data_dir: str | Path | None = None, download: bool = True, skip_broken: bool = False
) -> Dataset:
    """Return the dataset that `source` names, fitted to a network and checked against its `train:` settings.

    `source` is `mnist`, `fashion-mnist`, `cifar10` (from `data_dir` or $CNNSPEC_DATA, else from the cache, into which
    they are downloaded), `digits`, `examples` (the spec's own), a directory of IDX files or of images, a table of
    samples (CSV, JSON lines, Parquet), or an .npz file with x and y. Images of another size or colour are converted as
    the spec's `input: {fit: …}` says. Raises DataError for everything that can be known to be wrong before training;
    with `skip_broken`, samples with a file that cannot be decoded are left out.
    """
    try:
        augmentation_for(spec)
        mixing_of(spec.train or Train(), spec.graph)
        return _open(source, spec, data_dir, download, skip_broken)
    except InputError as error:
        raise DataError(str(error)) from error


def _open(source: str, spec: Spec, data_dir: str | Path | None, download: bool, skip_broken: bool) -> Dataset:
    path = Path(source)
    if len(spec.inputs) > 1 and source != EXAMPLES and not path.is_file():
        raise DataError(
            f"`{spec.name}` has the inputs {', '.join(spec.inputs)}, and `{source}` holds samples of one: train it on "
            "an .npz file with an array for each, by name"
        )
    own = targets.class_names(spec)
    if source in known.KNOWN:
        parts = known.read(source, data_dir, download=download)
        return _in_memory(source, parts, known.KNOWN[source].classes, spec)
    if source == known.DIGITS:
        return _in_memory(source, known.digits(), known.NUMERALS, spec)
    if source == EXAMPLES:
        return _in_memory(source, (_examples(spec), None), own, spec)
    try:
        if path.is_dir() and files.has_idx(path):
            return _in_memory(source, files.idx_folder(path, source), own, spec)
        if path.is_dir() or (path.exists() and sources.is_listing(path)):
            return sources.open_files(path, spec, skip_broken=skip_broken)
        if path.exists():
            return _in_memory(source, _npz(path, source, spec), own, spec)
    except OSError as error:
        raise DataError(f"`{error.filename or source}` cannot be read: {error.strerror or error}") from error
    near = nearest(source, NAMES)
    forms = "a directory, a table (.csv, .jsonl, .parquet), or an .npz file"
    remedy = f"did you mean `{near}`?" if near else f"it is one of {', '.join(NAMES)}, {forms}"
    raise DataError(f"there is no data `{source}`; {remedy}")


def _npz(path: Path, source: str, spec: Spec) -> files.Parts:
    supervised = reconstruction.with_targets(spec)
    if supervised is None:
        return files.npz(path, source, labelled=False)
    by_name = not spec.graph.has_one_of_each or bool(spec.train and spec.train.targets)
    return files.named_npz(path, source, supervised) if by_name else files.npz(path, source)


def _in_memory(name: str, parts: tuple[Part, Part | None], classes: tuple[str, ...], spec: Spec) -> Dataset:
    notes = targets.compare_classes(name, classes, spec)
    train = _split(parts[0], spec, augmentation_for(spec))
    test = _split(parts[1], spec) if parts[1] is not None else None
    return Dataset(name, train, test, classes if targets.are_classes(spec) else (), notes)


def _split(part: Part, spec: Spec, augmentation: Augmentation | None = None) -> Split:
    samples = list(part.x.values()) if isinstance(part.x, dict) else [part.x]
    wanted = list(part.y.values()) if isinstance(part.y, dict) else [part.y]
    n = len(samples[0]) if samples[0].ndim else 0
    for x, y in product(samples, wanted):
        if x.ndim < 2 or y.ndim < 1:
            raise DataError(f"`{part.name}` has samples {list(x.shape)} and targets {list(y.shape)}, not [n, ...]")
        if len(x) != len(y):
            raise DataError(f"`{part.name}` has {len(x):,} samples, and {len(y):,} targets")
    if not n:
        raise DataError(f"`{part.name}` is empty")
    supervised = reconstruction.with_targets(spec)
    checked = np.zeros(n) if supervised is None else targets.checked(part.y, part.name, supervised)
    split = fitted(part, checked, spec, augmentation)
    if supervised is spec:
        return split
    assert isinstance(split, InMemory)
    return reconstruction.Reconstruction(split, spec)


def _examples(spec: Spec) -> Part:
    from cnnspec.data.examples import example_data

    if not spec.examples:
        raise DataError(f"the spec `{spec.name}` has no examples to train on")
    x, y = example_data(spec)
    one_of_each = spec.graph.has_one_of_each
    return Part(EXAMPLES, next(iter(x.values())), next(iter(y.values()))) if one_of_each else Part(EXAMPLES, x, y)
