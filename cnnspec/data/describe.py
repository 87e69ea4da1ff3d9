"""Description of a dataset without a network: counts, sizes, colours, broken files, duplicates."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data import files, folder, known, pictures, sources
from cnnspec.data.listing import Listing, Source
from cnnspec.data.memory import Part
from cnnspec.data.pictures import BrokenFileError, Pictures
from cnnspec.data.record_targets import mask_values
from cnnspec.data.summaries import Channels, Summary, summary, sums
from cnnspec.errors import DataError, InputError
from cnnspec.graph.training import Columns
from cnnspec.wording import format_shape

_CHUNK = 1024
"""How many samples wait for a thread at a time."""
Progress = Callable[[int, int], None]
"""Is called with the number of samples that are done, and that of all."""


@dataclass
class PartDescription:
    """One part of a dataset."""

    samples: int
    name: Callable[[int], str]
    """Returns the name of a sample."""
    columns: Mapping[str, Summary]
    """What each column of values holds."""
    sizes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    """How many images have each height and width."""
    channels: Counter[int] = field(default_factory=Counter)
    """How many images have each number of channels; opaque alpha is none."""
    colours: dict[int, Channels] = field(default_factory=dict)
    """The pixels of the images with each number of channels."""
    masks: dict[str, Counter[int]] = field(default_factory=dict)
    """How many pixels of the masks in each column have each value."""
    broken: list[str] = field(default_factory=list)
    """The messages of files that cannot be decoded."""
    faults: list[str] = field(default_factory=list)
    """The messages of masks of another size than their images."""
    first: dict[bytes, int] = field(default_factory=dict)
    """The first sample with each content."""
    repeated: dict[bytes, list[int]] = field(default_factory=dict)
    """All samples of a content that occurs more than once."""
    are_pixels: bool = True

    def duplicates(self) -> list[list[str]]:
        """Return the names of the samples whose pixels are equal, a list for each content."""
        return [[self.name(i) for i in some] for some in self.repeated.values()]

    def add(self, index: int, seen: Seen) -> None:
        """Add what was found in a sample."""
        self.broken += seen.broken
        self.faults += seen.faults
        for column, counts in seen.masks.items():
            self.masks.setdefault(column, Counter()).update(counts)
        if not seen.key:
            return
        self.sizes[seen.size] += 1
        self.channels[seen.channels] += 1
        self.colours.setdefault(seen.channels, Channels()).add(*seen.sums)
        before = self.first.setdefault(seen.key, index)
        if before != index:
            self.repeated.setdefault(seen.key, [before]).append(index)


@dataclass
class Description:
    """A dataset."""

    source: str
    kind: str
    parts: dict[str, PartDescription]

    def shared(self, one: str, other: str) -> list[tuple[str, str]]:
        """Return the names of samples of two parts whose pixels are equal, a pair for each content."""
        ours, theirs = self.parts[one], self.parts[other]
        return [(ours.name(i), theirs.name(theirs.first[key])) for key, i in ours.first.items() if key in theirs.first]


class Seen(NamedTuple):
    """What is found in a sample; without a key, its image is broken."""

    key: bytes = b""
    size: tuple[int, ...] = ()
    channels: int = 0
    sums: tuple[int, Array, Array] = (0, np.zeros(0), np.zeros(0))
    masks: Mapping[str, Mapping[int, int]] = {}
    broken: Sequence[str] = ()
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class _Samples:
    """The samples of a part, in files or in memory."""

    n: int
    name: Callable[[int], str]
    pixels: Callable[[int], Array]
    """Returns the pixels of a sample: [c, h, w]."""
    columns: Mapping[str, Summary]
    maps: Mapping[str, Pictures]
    """The columns with an image for each sample."""
    are_masks: bool
    are_pixels: bool = True


def describe(
    source: str,
    *,
    columns: Columns | None = None,
    data_dir: str | Path | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> Description:
    """Return what a dataset holds; raise DataError where there is none, or where what it lists is at fault.

    `source` is what training takes, other than the examples of a spec. Every image is decoded.
    """
    try:
        kind, parts = _opened(source, columns or Columns(), data_dir, download)
    except InputError as error:
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"`{error.filename or source}` cannot be read: {error.strerror or error}") from error
    total = sum(samples.n for samples in parts.values())
    done = 0
    found = {}
    for part, samples in parts.items():
        about = PartDescription(samples.n, samples.name, samples.columns, are_pixels=samples.are_pixels)
        for index, seen in enumerate(_seen(samples)):
            about.add(index, seen)
            done += 1
            if progress is not None:
                progress(done, total)
        found[part] = about
    return Description(source, kind, found)


def _opened(
    source: str, columns: Columns, data_dir: str | Path | None, download: bool
) -> tuple[str, dict[str, _Samples]]:
    path = Path(source)
    if source in known.KNOWN:
        return "images", _of_arrays(known.read(source, data_dir, download=download), known.KNOWN[source].classes)
    if source == known.DIGITS:
        return "images", _of_arrays(known.digits(), known.NUMERALS)
    if path.is_dir() and files.has_idx(path):
        return "IDX files", _of_arrays(files.idx_folder(path, source))
    if path.is_dir() or (path.is_file() and sources.is_listing(path)):
        found = sources.find(path, columns, of_images=path.is_dir() and folder.is_plain(path))
        return found.kind, {part: _of_listing(listing, found) for part, listing in found.parts.items()}
    if path.is_file():
        return "arrays", _of_arrays(files.npz(path, source, labelled=False))
    raise DataError(
        f"there is no data `{source}`: it is a directory, a table (.csv, .jsonl, .parquet), an .npz file, or one of "
        f"{', '.join((*known.KNOWN, known.DIGITS))}"
    )


def _of_listing(listing: Listing, source: Source) -> _Samples:
    values = {
        key: summary(column, source.classes.get(key, ()))
        for key, column in listing.columns.items()
        if isinstance(column, Sequence)
    }
    maps = {key: column for key, column in listing.columns.items() if not isinstance(column, Sequence)}
    return _Samples(
        listing.pictures.n,
        listing.pictures.name,
        partial(pictures.decoded, listing.pictures),
        values,
        maps,
        are_masks=folder.TARGET not in maps,
    )


def _of_arrays(parts: tuple[Part, Part | None], classes: Sequence[str] = ()) -> dict[str, _Samples]:
    found = {}
    for name, part in zip(("train", "test"), parts, strict=True):
        if part is None:
            continue
        x, y = part.x, part.y
        assert not isinstance(x, dict)
        assert not isinstance(y, dict)
        if x.ndim < 2 or not len(x) or len(x) != len(y):
            raise DataError(f"`{part.name}` has samples {list(x.shape)} and targets {list(y.shape)}, not [n, ...]")
        columns = {"target": summary(y.tolist(), classes)} if y.ndim == 1 else {}
        found[name] = _Samples(
            len(x), f"{part.name}[{{}}]".format, partial(_row, x), columns, {}, False, x.dtype == np.uint8
        )
    return found


def _row(x: Array, index: int) -> Array:
    """Return a sample with an axis of channels."""
    row: Array = x[index]
    return row if row.ndim > 2 else row[None]


def _seen(samples: _Samples) -> Iterator[Seen]:
    """Yield what is found in each sample, in order; several threads decode."""
    with ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4)) as threads:
        waiting = iter(range(samples.n))
        while some := list(islice(waiting, _CHUNK)):
            yield from threads.map(partial(_look, samples), some)


def _look(samples: _Samples, index: int) -> Seen:
    try:
        pixels = samples.pixels(index)
    except BrokenFileError as error:
        return Seen(broken=[str(error)])
    if samples.are_pixels and pixels.ndim == 3 and len(pixels) in (2, 4) and (pixels[-1] == 255).all():
        pixels = pixels[:-1]
    masks: dict[str, Mapping[int, int]] = {}
    broken: list[str] = []
    faults: list[str] = []
    for column, of in samples.maps.items():
        try:
            other = pictures.decoded_mask(of, index) if samples.are_masks else pictures.decoded(of, index)[0]
        except BrokenFileError as error:
            broken.append(str(error))
            continue
        if not samples.are_masks:
            continue
        values = mask_values(other)
        masks[column] = {int(value): int((other == value).sum()) for value in values}
        if other.shape != pixels.shape[1:]:
            faults.append(
                f"the mask `{of.name(index)}` is {format_shape(other.shape)}, and its image `{samples.name(index)}` is "
                f"{format_shape(pixels.shape[1:])} (height × width)"
            )
    content = hashlib.blake2b(f"{pixels.dtype}{pixels.shape}".encode(), digest_size=16)
    content.update(np.ascontiguousarray(pixels).data)
    return Seen(content.digest(), pixels.shape[1:], len(pixels), sums(pixels), masks, broken, faults)


def as_data(found: Description) -> dict[str, Any]:
    """Return a description for JSON."""
    parts = {name: _part_data(part) for name, part in found.parts.items()}
    shared = {f"{one} and {other}": found.shared(one, other) for one, other in pairs(found.parts)}
    return {
        "source": found.source,
        "kind": found.kind,
        "parts": parts,
        "shared": {key: [list(pair) for pair in some] for key, some in shared.items()},
        "input": paste(found),
    }


def pairs(names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return every two of the parts."""
    listed = list(names)
    return [(one, other) for i, one in enumerate(listed) for other in listed[i + 1 :]]


def _part_data(part: PartDescription) -> dict[str, Any]:
    colours = {}
    for channels, sums_of in part.colours.items():
        mean, std = sums_of.figures()
        colours[str(channels)] = {"images": part.channels[channels], "mean": mean, "std": std}
    return {
        "samples": part.samples,
        "columns": {name: column.as_data() for name, column in part.columns.items()},
        "masks": {name: {str(v): n for v, n in sorted(counts.items())} for name, counts in part.masks.items()},
        "sizes": [{"size": list(size), "images": count} for size, count in part.sizes.most_common()],
        "channels": colours,
        "broken": part.broken,
        "faults": part.faults,
        "duplicates": part.duplicates(),
    }


def paste(found: Description) -> dict[str, Any] | None:
    """Return the `input` of a spec for the training images, with scale, mean and deviation; None for other numbers."""
    part = found.parts.get("train") or next(iter(found.parts.values()))
    if not part.are_pixels or not part.sizes:
        return None
    channels = part.channels.most_common(1)[0][0]
    size = part.sizes.most_common(1)[0][0]
    mean, std = part.colours[channels].figures()
    fits = {} if len(part.sizes) == len(part.channels) == 1 else {"fit": "resize"}
    return {
        "shape": [channels, *size],
        "scale": 1 / 255,
        "mean": [_short(value / 255) for value in mean],
        "std": [_short(value / 255) or 1.0 for value in std],
        **fits,
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")
