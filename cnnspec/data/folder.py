"""A directory of images with a folder for each class; images are decoded on demand and not kept."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data import images, inputs
from cnnspec.data.augment import Augmentation, augmentation_for
from cnnspec.data.targets import are_classes, class_names
from cnnspec.errors import DataError, InputError
from cnnspec.graph.spec import Spec
from cnnspec.wording import format_shape, noun

PICTURES = (".png", ".jpg", ".jpeg")
_TRAIN, _TESTS = "train", ("test", "val")
_IGNORED = ("Thumbs.db", "desktop.ini")
"""Files of file managers, which are ignored as hidden files are."""


@dataclass(frozen=True)
class ImageFiles:
    """The image files of one part, by class."""

    folder: Path
    by_class: dict[str, list[Path]]


class FolderSplit:
    """A split whose samples are files."""

    def __init__(self, pictures: ImageFiles, classes: tuple[str, ...], spec: Spec) -> None:
        self.files = [file for name in classes for file in pictures.by_class.get(name, ())]
        counts = [len(pictures.by_class.get(name, ())) for name in classes]
        self.targets = np.repeat(np.arange(len(classes), dtype=np.int64), counts)
        self.n = len(self.files)
        self._input = spec.input
        self._threads = ThreadPoolExecutor(thread_name_prefix="decode")

    @property
    def strata(self) -> Array:
        """The class of each sample."""
        return self.targets

    def load(self, indices: Array, augmentation: Augmentation | None = None) -> tuple[Array, Array]:
        """Return the images, decoded by several threads and scaled as the spec's `input` says, and their classes."""
        samples = list(self._threads.map(lambda index: self._sample(index, augmentation), indices))
        return np.stack(samples), self.targets[indices]

    def check_augmented(self, augmentation: Augmentation) -> None:
        """Raise DataError for images whose headers give a size that the augmentation cannot crop to the network's."""
        for file, size in zip(self.files, self._threads.map(_shape, self.files), strict=True):
            augmentation.check(str(file), size[1:], pixels=True)

    def check_sizes(self) -> None:
        """Raise DataError for images whose headers give another size than the network's."""
        shape = self._input.shape
        found = zip(self.files, self._threads.map(_shape, self.files), strict=True)
        wrong = [(file, size) for file, size in found if not images.may_fit(size, shape)]
        if wrong:
            file, size = wrong[0]
            others = f" (and {len(wrong) - 1:,} other images do not fit either)" if len(wrong) > 1 else ""
            raise DataError(f"{images.misfit(str(file), size, shape)}{others}")

    def _sample(self, index: int, augmentation: Augmentation | None) -> Array:
        file = self.files[index]
        shape = self._input.shape
        try:
            with file.open("rb") as stream:
                pixels = images.decode(stream, str(file))
            if augmentation is not None and augmentation.crops:
                shape = (shape[0], *pixels.shape[1:])
            pixels = images.fit(pixels, shape, str(file), self._input.fit)
        except InputError as error:
            raise DataError(str(error)) from error
        except OSError as error:
            raise DataError(f"`{file}` cannot be read: {error.strerror or error}") from error
        if augmentation is not None:
            pixels, _ = augmentation.one(pixels, self.targets[index], index)
        x: Array = inputs.scaled(pixels[None], self._input)[0].astype(np.float32)
        return x


def open_folder(root: Path, spec: Spec) -> tuple[FolderSplit, FolderSplit | None, tuple[str, ...], tuple[str, ...]]:
    """Return the training part, the test part if there is one, the classes, and notes.

    With a folder `train` that holds folders, the class folders are in it and in `test` (or `val`); else in the root.
    Classes have the spec's order if it names them all, and are sorted otherwise.
    """
    if not are_classes(spec):
        raise DataError(f"`{root}` holds classes, and mean squared error compares numbers: use `loss: cross_entropy`")
    if len(spec.input.shape) != 3:
        raise DataError(
            f"`{root}` is a folder of images, and `{spec.name}` takes {noun(spec.input.shape)}s of "
            f"{format_shape(spec.input.shape)}: let the spec's input be an image"
            + (", and begin with `flatten`" if len(spec.input.shape) == 1 else "")
        )
    parts, notes = _parts(root)
    train, *tests = [ImageFiles(folder, _by_class(folder)) for folder in parts]
    classes = tuple(sorted(train.by_class))
    for part in tests:
        unknown = sorted(set(part.by_class) - set(classes))
        if unknown:
            raise DataError(f"`{part.folder}` has classes that `{train.folder}` has not: {_listed(unknown)}")
    own = class_names(spec)
    if set(classes) <= set(own):
        classes = own
    splits = [FolderSplit(part, classes, spec) for part in (train, *tests)]
    augmentation = augmentation_for(spec)
    crops = augmentation is not None and augmentation.crops
    held_out = spec.train is not None and spec.train.validation > 0
    if augmentation is not None and crops:
        splits[0].check_augmented(augmentation)
    if spec.input.fit == "exact":
        for split in splits[1:] if crops and not held_out else splits:
            split.check_sizes()
    return splits[0], (splits[1] if tests else None), classes, notes


def _parts(root: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Return the folders that hold the class folders of the training part and of the test part, and notes."""
    names = [folder.name for folder in _folders(root)]
    if _TRAIN not in names or not _folders(root / _TRAIN):
        if names and set(names) <= set(_TESTS):
            raise DataError(f"`{root}` has {_listed(names)} and no folder `{_TRAIN}`")
        return [root], ()
    others = sorted(set(names) - {_TRAIN, *_TESTS})
    if others:
        raise DataError(f"`{root}` has {_listed(others)} beside `{_TRAIN}`, where only `test` or `val` can stand")
    tests = [name for name in _TESTS if name in names]
    notes = tuple(f"`{root / name}` is not read: `{tests[0]}` is the test data" for name in tests[1:])
    return [root / name for name in (_TRAIN, *tests[:1])], notes


def _by_class(root: Path) -> dict[str, list[Path]]:
    """Return the images below each class folder, sorted; raise DataError for files that belong to no class."""
    stray = [entry for entry in root.iterdir() if entry.is_file() and _counts(entry.name)]
    folders = _folders(root)
    if not folders:
        raise DataError(
            f"`{root}` holds no folders: a dataset is a folder of images for each class, or MNIST's files "
            "(train-images-idx3-ubyte.gz …)"
        )
    if stray:
        raise DataError(f"`{min(stray)}` lies outside of the class folders {_listed(f.name for f in folders)}")
    return {folder.name: _pictures(folder) for folder in folders}


def _pictures(folder: Path) -> list[Path]:
    found = sorted(
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if _counts(name) and not any(p.startswith(".") for p in Path(place).relative_to(folder).parts)
    )
    if not found:
        raise DataError(f"the class folder `{folder}` is empty")
    for file in found:
        if file.suffix.lower() not in PICTURES:
            raise DataError(f"`{file}` is not a PNG or JPEG file: convert or remove it")
    return found


def _folders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in _IGNORED


def _shape(file: Path) -> tuple[int, int, int]:
    try:
        with file.open("rb") as stream:
            return images.shape(stream, str(file))
    except OSError as error:
        raise DataError(f"`{file}` cannot be read: {error.strerror or error}") from error


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(f"`{name}`" for name in names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
