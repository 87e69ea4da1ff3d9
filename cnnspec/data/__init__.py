"""Training data: open datasets, fit them to a network, and divide them into batches.

Uses language, graph and what is below; imports NumPy, and no backend.
"""

from __future__ import annotations

from pathlib import Path

from cnnspec.data import files, known, targets
from cnnspec.data.batches import augmented, batches, check_augment, epoch_order
from cnnspec.data.folder import open_folder
from cnnspec.data.memory import Part, fitted
from cnnspec.data.split import Dataset, Split, split_off
from cnnspec.errors import DataError, InputError
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.wording import nearest

__all__ = [
    "DataError", "Dataset", "Split", "augmented", "batches", "epoch_order", "open_dataset", "split_off",
]  # fmt: skip

EXAMPLES = "examples"
NAMES = (*known.KNOWN, known.DIGITS, EXAMPLES)


def open_dataset(source: str, spec: Spec, *, data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """Return the dataset that `source` names, fitted to a network and checked against its `train:` settings.

    `source` is `mnist`, `fashion-mnist`, `cifar10` (from `data_dir` or $CNNSPEC_DATA, else from the cache, into which
    they are downloaded), `digits`, `examples` (the spec's own), a directory of IDX files or of images with a folder
    for each class, or an .npz file with x and y. Images of another size or colour are converted as the spec's
    `input: {fit: …}` says. Raises DataError for everything that can be known to be wrong before training.
    """
    try:
        dataset = _open(source, spec, data_dir, download)
        check_augment((spec.train or Train()).augment, spec.input.shape)
    except InputError as error:
        raise DataError(str(error)) from error
    return dataset


def _open(source: str, spec: Spec, data_dir: str | Path | None, download: bool) -> Dataset:
    path = Path(source)
    if source in known.KNOWN:
        parts = known.read(source, data_dir, download=download)
        return _in_memory(source, parts, known.KNOWN[source].classes, spec)
    if source == known.DIGITS:
        return _in_memory(source, known.digits(), known.NUMERALS, spec)
    if source == EXAMPLES:
        return _in_memory(source, (_examples(spec), None), spec.classes, spec)
    try:
        if path.is_dir() and files.has_idx(path):
            return _in_memory(source, files.idx_folder(path, source), spec.classes, spec)
        if path.is_dir():
            return _of_folder(source, spec)
        if path.exists():
            return _in_memory(source, files.npz(path, source), spec.classes, spec)
    except OSError as error:
        raise DataError(f"`{error.filename or source}` cannot be read: {error.strerror or error}") from error
    near = nearest(source, NAMES)
    remedy = f"did you mean `{near}`?" if near else f"it is one of {', '.join(NAMES)}, a directory, or an .npz file"
    raise DataError(f"there is no data `{source}`; {remedy}")


def _in_memory(name: str, parts: tuple[Part, Part | None], classes: tuple[str, ...], spec: Spec) -> Dataset:
    notes = targets.compare_classes(name, classes, spec)
    train, test = (None if part is None else _split(part, spec) for part in parts)
    assert train is not None
    return Dataset(name, train, test, classes if targets.are_classes(spec) else (), notes)


def _split(part: Part, spec: Spec) -> Split:
    if part.x.ndim < 2 or part.y.ndim < 1:
        raise DataError(
            f"`{part.name}` has samples {list(part.x.shape)} and targets {list(part.y.shape)}, not [n, ...]"
        )
    if len(part.x) != len(part.y):
        raise DataError(f"`{part.name}` has {len(part.x):,} samples, and {len(part.y):,} targets")
    if not len(part.x):
        raise DataError(f"`{part.name}` is empty")
    return fitted(part, targets.checked(part.y, part.name, spec), spec)


def _of_folder(source: str, spec: Spec) -> Dataset:
    train, test, classes, notes = open_folder(Path(source), spec)
    return Dataset(source, train, test, classes, notes + targets.compare_classes(source, classes, spec))


def _examples(spec: Spec) -> Part:
    from cnnspec.data.examples import example_data

    if not spec.examples:
        raise DataError(f"the spec `{spec.name}` has no examples to train on")
    x, y = example_data(spec)
    return Part(EXAMPLES, x[spec.graph.input.name], next(iter(y.values())))
