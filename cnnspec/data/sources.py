"""Datasets of files: opened by their kind, and fitted to a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data import cells, folder, parquet, reconstruction, table, targets
from cnnspec.data.augment import augmentation_for
from cnnspec.data.listing import TARGET_COLUMNS, TEST, TRAIN, VALIDATION, Listing, Source, column
from cnnspec.data.pictures import Pictures
from cnnspec.data.record_targets import MaskTarget, PictureTarget, SampleItself, Target, Values
from cnnspec.data.records import Records
from cnnspec.data.split import Dataset, Split, Subset
from cnnspec.errors import DataError
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Columns, Loss, Train
from cnnspec.layers import Shape
from cnnspec.wording import format_shape, names, noun


def find(path: Path, columns: Columns, *, of_images: bool = False) -> Source:
    """Return what a directory or a file lists; raise DataError for what belongs to no dataset.

    `of_images` takes a directory without anything else as images alone, as class folders otherwise.
    """
    name = str(path)
    if path.is_file():
        return parquet.parquet(name, {TRAIN: [path]}, columns) if _is_parquet(path) else table.table(path, columns)
    if (pair := folder.pair_of(path)) is not None:
        return folder.pair_folders(path, pair)
    if tables := table.tables_in(path):
        return table.table_folder(path, tables, columns)
    if tables_of := parquet.parquet_in(path):
        return parquet.parquet(name, tables_of, columns)
    return folder.plain_folder(path) if of_images else folder.class_folders(path)


def is_listing(path: Path) -> bool:
    """Return whether a file is a table of samples."""
    return table.is_table(path) or _is_parquet(path)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == parquet.SUFFIX


def open_files(path: Path, spec: Spec, *, skip_broken: bool = False) -> Dataset:
    """Return a dataset of files, fitted to a network; raise DataError where it does not fit.

    With `skip_broken` all files are decoded once, and samples with a broken one are left out.
    """
    name, train = str(path), spec.train or Train()
    if len(spec.inputs) > 1:
        raise DataError(
            f"`{spec.name}` has the inputs {', '.join(spec.inputs)}, and `{name}` holds samples of one: train it on "
            "an .npz file with an array for each, by name"
        )
    shape = spec.input.shape
    if len(shape) != 3:
        raise DataError(
            f"`{name}` holds images, and `{spec.name}` takes {noun(shape)}s of {format_shape(shape)}: let the spec's "
            "input be an image" + (", and begin with `flatten`" if len(shape) == 1 else "")
        )
    source = find(path, train.columns, of_images=reconstruction.with_targets(spec) is None)
    binder = _Binder(name, source, spec, train)
    augmentation = augmentation_for(spec)
    splits: dict[str, Split] = {}
    skipped: dict[str, int] = {}
    notes = [*source.notes]
    for part, records in binder.splits().items():
        kept = np.arange(records.n)
        if skip_broken and (broken := records.broken()):
            kept = np.setdiff1d(kept, np.array(list(broken)))
            if not len(kept):
                raise DataError(
                    f"all {records.n:,} files of `{source.parts[part].name}` are broken: {next(iter(broken.values()))}"
                )
            more = f" and {len(broken) - 1:,} others" if len(broken) > 1 else ""
            notes.append(
                f"skipped {len(broken):,} of {records.n:,} samples ({part}): {next(iter(broken.values()))}{more}"
            )
        if skip_broken:
            skipped[part] = records.n - len(kept)
        crops = part == TRAIN and augmentation is not None and augmentation.crops
        if augmentation is not None and crops:
            records.check_cropped(kept, augmentation)
        if spec.input.fit == "exact" and (not crops or train.validation):
            records.check_sizes(kept)
        splits[part] = records if len(kept) == records.n else Subset(records, kept)
    notes += targets.compare_classes(name, binder.classes, spec)
    notes += binder.empty_classes(splits[TRAIN])
    return Dataset(
        name,
        splits[TRAIN],
        splits.get(TEST),
        binder.classes,
        tuple(notes),
        splits.get(VALIDATION),
        skipped if skip_broken else None,
    )


class _Binder:
    """Makes the targets of a network's outputs from the columns of a source."""

    def __init__(self, name: str, source: Source, spec: Spec, train: Train) -> None:
        self.name, self.source, self.spec, self.train = name, source, spec, train
        self.parts = source.parts
        self.classes: tuple[str, ...] = ()
        """The names of the classes of the first output that has some."""
        self.strata: dict[str, Array] = {}

    def splits(self) -> dict[str, Records]:
        """Return the split of each part."""
        found: dict[str, dict[str, Target]] = {part: {} for part in self.parts}
        for output, loss in self.spec.losses.items():
            for part, target in self._of_output(output, loss).items():
                found[part][output] = target
        by_name = len(self.spec.graph.outputs) > 1
        return {
            part: Records(
                listing.pictures,
                found[part],
                self.spec.input,
                classes=self.strata.get(part),
                by_name=by_name,
            )
            for part, listing in self.parts.items()
        }

    def empty_classes(self, split: Split) -> list[str]:
        """Return a note on the classes without a sample in the training data, if there are any."""
        if not self.classes or split.strata is None:
            return []
        counts = np.bincount(split.strata, minlength=len(self.classes))
        empty = [name for name, count in zip(self.classes, counts, strict=False) if not count]
        return [f"no sample of the training data has the class {names(empty)}"] if empty else []

    def _of_output(self, output: str, loss: Loss) -> Mapping[str, Target]:
        """Return the targets of an output for each part."""
        shape = self.spec.graph.output_nodes[output].shape
        if misfit := loss.misfit(shape, output if len(self.spec.graph.outputs) > 1 else ""):
            raise DataError(f"{misfit}: {loss.remedy(shape)}")
        if reconstruction.reconstructs(self.spec, output):
            reconstruction.check(self.spec, output, loss)
            return dict.fromkeys(self.parts, SampleItself(self.spec.input))
        columns = self._columns(output, loss, shape)
        if len(shape) > 1:
            return self._maps(output, loss, shape, columns)
        if any(not isinstance(listing.columns[key], Sequence) for listing in self.parts.values() for key in columns):
            raise self._misfit(output, f"images as targets, and the output is {format_shape(shape)}")
        return {part: Values(values) for part, values in self._values(output, loss, shape, columns).items()}

    def _columns(self, output: str, loss: Loss, shape: Shape) -> tuple[str, ...]:
        """Return the columns of the targets of an output: those that the spec names, or those that fit."""
        there = self.parts[TRAIN].columns
        given = self.train.targets.get(output) or (self.train.columns.target if len(self.spec.losses) == 1 else ())
        if given:
            return tuple(column(there, key, (), self.name, "the targets", "target") for key in given)
        if not there:
            raise DataError(
                f"`{self.name}` has images and no targets: train an autoencoder with `target: input`, or add targets"
            )
        if output in there and len(self.spec.losses) > 1:
            return (output,)
        if len(there) == 1 or (loss.targets != "classes" and len(shape) == 1 and len(there) == prod(shape)):
            return tuple(there)
        key = "target" if len(self.spec.losses) == 1 else f"targets: {{{output}: …}}"
        return (column(there, None, (output, *TARGET_COLUMNS), self.name, "the targets", key),)

    def _values(self, output: str, loss: Loss, shape: Shape, columns: Sequence[str]) -> dict[str, Array]:
        """Return classes [n], or labels or numbers [n, ...], of each part, for an output that is a vector."""
        spec_names = self.spec.classes_of.get(output, ())
        own = self.source.classes.get(columns[0], ()) if len(columns) == 1 else ()
        known: tuple[str, ...] = ()
        if loss.targets == "classes":
            if len(columns) > 1:
                raise self._misfit(output, f"{len(columns)} columns as targets, and {loss.title} takes one class")
            found, known = cells.classes(self.parts, columns[0], own, spec_names)
            self.strata = self.strata or found
        elif loss.targets == "labels":
            found, known = self._labels(columns, own, spec_names, shape)
        elif own:
            raise DataError(
                f"`{self.name}` holds classes, and {loss.title} compares numbers: use `loss: cross_entropy`"
            )
        else:
            found = cells.numbers(self.parts, columns)
        wanted = shape if loss.targets != "classes" else ()
        if found[TRAIN].shape[1:] != wanted:
            count = found[TRAIN].shape[1]
            listed = f" ({', '.join(known[:10])})" if known else ""
            raise self._misfit(output, f"{count} targets for each sample{listed}, and the output has {shape[0]}")
        self._check_classes(output, loss, shape, known, found)
        self.classes = self.classes or known
        return found

    def _labels(
        self, columns: Sequence[str], own: Sequence[str], spec_names: Sequence[str], shape: Shape
    ) -> tuple[dict[str, Array], tuple[str, ...]]:
        """Return labels [n, labels]; of two classes, for an output of one number, whether it is the second."""
        if own:
            indices, known = cells.classes(self.parts, columns[0], own, spec_names)
            self.strata = self.strata or indices
            found = {part: np.eye(len(known))[values] for part, values in indices.items()}
        else:
            found, known = cells.labels(self.parts, columns, spec_names)
        if shape == (1,) and len(known) == 2 and all((values.sum(axis=1) == 1).all() for values in found.values()):
            return {part: values[:, 1:] for part, values in found.items()}, ()
        return found, known

    def _check_classes(
        self, output: str, loss: Loss, shape: Shape, known: Sequence[str], found: Mapping[str, Array]
    ) -> None:
        """Raise DataError where the classes are not those of an output that tells classes apart."""
        if loss.targets != "classes":
            return
        count = loss.classes(shape)
        if known and len(known) != count:
            raise self._misfit(
                output,
                f"{len(known)} classes, and {self._of(output)} has {count} outputs: end it with `dense: {len(known)}`, "
                "or whatever makes as many outputs",
            )
        for part, values in found.items():
            wrong = np.flatnonzero((values < 0) | (values >= count))
            if len(wrong):
                raise DataError(
                    f"{self.parts[part].where(int(wrong[0]))}: the class is {values[wrong[0]]}, and the classes of "
                    f"{self._of(output)} are 0 to {count - 1}"
                )

    def _maps(self, output: str, loss: Loss, shape: Shape, columns: Sequence[str]) -> Mapping[str, Target]:
        """Return masks, or images as targets, for an output that is a map."""
        found = {part: self._pictures(listing, columns, output, shape) for part, listing in self.parts.items()}
        if loss.targets == "numbers":
            if len(shape) != 3:
                raise self._misfit(output, f"images as targets, and the output is {format_shape(shape)}")
            preprocessing = self._preprocessing(shape)
            return {part: PictureTarget(pictures, preprocessing) for part, pictures in found.items()}
        if shape[1:] != self.spec.input.shape[1:] or (loss.targets == "labels" and shape[0] != 1):
            takes = "one channel and " if loss.targets == "labels" else ""
            raise self._misfit(
                output,
                f"masks, for an output of {takes}the height and width of the input, "
                f"{format_shape(self.spec.input.shape[1:])}; this one is {format_shape(shape)}: `resize` or `crop` "
                "makes it so",
            )
        return {
            part: MaskTarget(
                pictures,
                self.spec.input,
                classes=loss.classes(shape),
                ignore=loss.ignored,
                binary=shape[0] == 1,
                numbers=loss.targets == "labels",
            )
            for part, pictures in found.items()
        }

    def _pictures(self, listing: Listing, columns: Sequence[str], output: str, shape: Shape) -> Pictures:
        found = listing.pictures_in(columns[0]) if len(columns) == 1 else None
        if found is None:
            what = names(list(columns))
            raise self._misfit(
                output,
                f"{what} as target{'s' if len(columns) > 1 else ''}, and the output is {format_shape(shape)}, which "
                "takes an image or a mask for each sample: end it with a vector, or use folders `images` and `masks`, "
                "or `inputs` and `targets`",
            )
        return found

    def _preprocessing(self, shape: Shape) -> Input:
        """Return the preprocessing of images as targets, which is that of the input."""
        given = self.spec.input
        if shape[0] != given.shape[0] and (len(given.mean) > 1 or len(given.std) > 1):
            raise DataError(
                f"images as targets are scaled as the input is, which has a `mean` or `std` for each of its "
                f"{given.shape[0]} channels, and the output has {shape[0]}: give one number for all"
            )
        return given.model_copy(update={"shape": shape})

    def _misfit(self, output: str, what: str) -> DataError:
        outputs = f" for `{output}`" if len(self.spec.graph.outputs) > 1 else ""
        return DataError(f"`{self.name}` has{outputs} {what}")

    def _of(self, output: str) -> str:
        return f"`{self.spec.name}`" if len(self.spec.graph.outputs) == 1 else f"`{output}` of `{self.spec.name}`"
