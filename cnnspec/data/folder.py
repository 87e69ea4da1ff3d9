"""Directories of images: a folder for each class, images with masks or other images, or images alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnspec.data.listing import PARTS, TEST, TRAIN, VALIDATION, Listing, Source, files_of, part_of
from cnnspec.data.pictures import PICTURES, Files
from cnnspec.errors import DataError

CLASS, MASK, TARGET = "class", "mask", "target"
"""The columns of a folder."""
PAIRS = {("images", "masks"): MASK, ("inputs", "targets"): TARGET}
"""The folders whose files belong together by their stems, with the column of the second."""
_NAMES = {name for names in PARTS.values() for name in names}
_IGNORED = ("Thumbs.db", "desktop.ini")
"""Files of file managers, which are ignored as hidden files are."""


def pair_of(root: Path) -> tuple[str, str] | None:
    """Return the names of the two folders of images that belong together, in the root or in its `train`; or None."""
    for place in (root, root / TRAIN):
        there = {folder.name for folder in _folders(place)} if place.is_dir() else set()
        for pair in PAIRS:
            if there >= set(pair):
                return pair
    return None


def is_plain(root: Path) -> bool:
    """Return whether a directory holds images and no folders for classes, in its `train` or in the root."""
    place = root / TRAIN if (root / TRAIN).is_dir() else root
    return not _folders(place) and any(entry.suffix.lower() in PICTURES for entry in place.iterdir())


def class_folders(root: Path) -> Source:
    """Return the images of a folder for each class, in `train` and `test` or `val`, or in the root."""
    parts = _parts(root)
    found = {part: _by_class(folder) for part, folder in parts.items()}
    classes = tuple(sorted(found[TRAIN]))
    listings = {}
    for part, by_class in found.items():
        if unknown := sorted(set(by_class) - set(classes)):
            raise DataError(f"`{parts[part]}` has classes that `{parts[TRAIN]}` has not: {_listed(unknown)}")
        files = [file for name in classes for file in by_class.get(name, ())]
        labels = [name for name in classes for _ in by_class.get(name, ())]
        listings[part] = files_of(files, str(parts[part]), {CLASS: labels})
    return Source("a folder of images for each class", listings, {CLASS: classes})


def pair_folders(root: Path, pair: tuple[str, str]) -> Source:
    """Return the images of two folders that belong together by their stems: images and masks, inputs and targets."""
    parts = {TRAIN: root} if _has(root, pair) else _parts(root)
    listings = {}
    for part, folder in parts.items():
        if missing := [name for name in pair if not (folder / name).is_dir()]:
            raise DataError(f"`{folder}` has no folder {_listed(missing)} beside its `{_other(pair, missing)}`")
        listings[part] = _paired(folder, pair)
    masks = pair == ("images", "masks")
    kind = "images with masks" if masks else "images with images as targets"
    return Source(kind, listings)


def plain_folder(root: Path) -> Source:
    """Return all images below a directory, in `train` and `test` or `val`, or in the root."""
    parts = _parts(root, of_images=True)
    return Source("images", {part: files_of(_pictures(folder), str(folder), {}) for part, folder in parts.items()})


def _has(folder: Path, pair: tuple[str, str]) -> bool:
    return all((folder / name).is_dir() for name in pair)


def _other(pair: tuple[str, str], missing: Sequence[str]) -> str:
    return next((name for name in pair if name not in missing), pair[0])


def _paired(folder: Path, pair: tuple[str, str]) -> Listing:
    first, second = (_by_stem(folder / name) for name in pair)
    for ours, theirs, name in ((first, second, pair[1]), (second, first, pair[0])):
        if alone := sorted(ours.keys() - theirs.keys()):
            others = f" (and {len(alone) - 1:,} others have none)" if len(alone) > 1 else ""
            raise DataError(
                f"`{ours[alone[0]]}` has no file of that name in `{folder / name}`{others}: add it, or remove this one"
            )
    stems = sorted(first)
    column = Files([second[stem] for stem in stems])
    return files_of([first[stem] for stem in stems], str(folder), {PAIRS[pair]: column})


def _by_stem(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in _pictures(folder):
        stem = str(Path(file).relative_to(folder).with_suffix(""))
        if stem in found:
            raise DataError(f"`{found[stem]}` and `{file}` have the same name: files belong together by their stems")
        found[stem] = file
    return found


def _parts(root: Path, *, of_images: bool = False) -> dict[str, Path]:
    """Return the folders of the parts: `train` and those beside it, or the root alone.

    A folder `train` counts where it holds folders, or images if parts are made `of_images`. Without `test`, `val` is
    the test data.
    """
    names = [folder.name for folder in _folders(root)]
    if TRAIN not in names or not (_folders(root / TRAIN) or (of_images and set(names) <= _NAMES)):
        if names and set(names) <= _NAMES - {TRAIN}:
            raise DataError(f"`{root}` has {_listed(names)} and no folder `{TRAIN}`")
        return {TRAIN: root}
    if others := sorted(set(names) - _NAMES):
        raise DataError(f"`{root}` has {_listed(others)} beside `{TRAIN}`, where only `test` or `val` can stand")
    found: dict[str, Path] = {}
    for name in names:
        part = part_of(name) or TRAIN
        if part in found:
            raise DataError(f"`{root}` has `{found[part].name}` and `{name}`, which are the same: leave one of them")
        found[part] = root / name
    if VALIDATION in found and TEST not in found:
        found[TEST] = found.pop(VALIDATION)
    return {part: found[part] for part in PARTS if part in found}


def _by_class(root: Path) -> dict[str, list[str]]:
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
    return {folder.name: _pictures(folder, "class folder") for folder in folders}


def _pictures(folder: Path, what: str = "folder") -> list[str]:
    found = sorted(
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if _counts(name) and not any(p.startswith(".") for p in Path(place).relative_to(folder).parts)
    )
    if not found:
        raise DataError(f"the {what} `{folder}` is empty")
    for file in found:
        if file.suffix.lower() not in PICTURES:
            raise DataError(f"`{file}` is not a PNG or JPEG file: convert or remove it")
    return [str(file) for file in found]


def _folders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in _IGNORED


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(f"`{name}`" for name in names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
