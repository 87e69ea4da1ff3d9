"""Files of predictions: CSV, JSON lines, .npy, and a PNG for each sample; each can be continued where it ended."""

from __future__ import annotations

import colorsys
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePath
from typing import IO

import numpy as np

from cnnspec import atomic
from cnnspec.arrays import Array
from cnnspec.data.images import pillow_for
from cnnspec.errors import InputError
from cnnspec.graph.spec import Spec
from cnnspec.training import prediction
from cnnspec.training.prediction import Prediction, meaning
from cnnspec.training.prediction_text import Form, Records, Table

Sample = tuple[str, Array]
"""The source of a sample, and its numbers."""
_BLOCK = 1 << 16
FORMATS = ("csv", "jsonl", "npy", "png")


def format_of(path: Path | None) -> str:
    """Return the format that the name of a file asks for: PNGs for a folder, CSV for standard output."""
    if path is None:
        return "csv"
    found = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".npy": "npy"}.get(path.suffix.lower())
    if found:
        return found
    if path.is_dir() or not path.suffix:
        return "png"
    raise InputError(f"`{path}` ends in none of .csv, .jsonl and .npy, and is no folder for PNGs: give --format")


class Writer(ABC):
    """A file or folder that predictions are written to, one after the other."""

    @abstractmethod
    def write(self, one: Prediction) -> None:
        """Write one prediction."""

    def done(self) -> Iterator[str | None]:
        """Yield the source of each prediction that was there already, in order; None where the file does not tell."""
        return iter(())

    def remaining(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        """Yield the samples whose predictions are not there; raise InputError where those there are of others."""
        for source in self.done():
            found = next(samples, None)
            if found is None or source not in (None, found[0]):
                given = f"`{found[0]}`" if found else "no file"
                raise InputError(f"the predictions that are there are of other files: {given} in place of `{source}`")
        yield from samples

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


def writer(spec: Spec, kind: str, path: Path | None, stream: IO[str], *, top: int, resume: bool) -> Writer:
    """Return the writer of a format; raise InputError where the output of the network has no such form."""
    if path is not None and path.exists() and not resume and not (kind == "png" and not any(path.iterdir())):
        raise InputError(f"`{path}` exists: remove it, name another, or continue it with --resume")
    if resume and path is None:
        raise InputError("--resume continues a file: give -o")
    if kind == "png":
        return Pictures(spec, path, resume)
    if kind == "npy":
        return Numbers(spec, path, resume)
    lines = Table(spec, top) if kind == "csv" else Records(spec, top)
    return Lines(lines, path, stream, resume)


class Lines(Writer):
    """Lines of text."""

    def __init__(self, form: Form, path: Path | None, stream: IO[str], resume: bool) -> None:
        self.form = form
        self.path = path
        self.head = form.head()
        self.continued = path is not None and resume and path.exists() and _cut_incomplete_line(path) > 0
        if self.continued and self.head and next(self._lines(), "") != self.head:
            raise InputError(f"`{path}` has other columns than these predictions: it cannot be continued")
        self.file = stream if path is None else path.open("a" if self.continued else "w", encoding="utf-8", newline="")
        if not self.continued:
            self.file.write(self.head)

    def _lines(self) -> Iterator[str]:
        assert self.path is not None
        with self.path.open(encoding="utf-8", newline="") as file:
            yield from file

    def done(self) -> Iterator[str | None]:
        """Yield the source of each line that was there."""
        for line in islice(self._lines(), 1 if self.head else 0, None) if self.continued else ():
            try:
                yield self.form.source(line)
            except (ValueError, KeyError, TypeError, StopIteration) as error:
                raise InputError(f"`{self.path}` holds other lines than predictions: {line.strip()[:80]}") from error

    def write(self, one: Prediction) -> None:
        """Write one line."""
        self.file.write(self.form.text(one))

    def close(self) -> None:
        """Flush the lines, and close the file."""
        self.file.flush()
        if self.path is not None:
            self.file.close()


def _cut_incomplete_line(path: Path) -> int:
    """Cut off a last line without its end; return the bytes that are left."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                file.truncate(start + found + 1)
                return start + found + 1
            end = start
        file.truncate(0)
        return 0


class Numbers(Writer):
    """An array [n, ...] of the outputs, whose header is completed at the end."""

    def __init__(self, spec: Spec, path: Path | None, resume: bool) -> None:
        if path is None or len(spec.graph.outputs) > 1:
            raise InputError("a .npy file holds one output, and is a file: give -o, or --format jsonl for several")
        (self.shape,) = (node.shape for node in spec.graph.output_nodes.values())
        self.path = path
        self.bytes = int(np.prod(self.shape)) * 4
        self.start = self._header().tell()
        self.n = 0
        if resume and path.exists():
            size = path.stat().st_size
            self.n = max(0, size - self.start) // self.bytes
            self.file: IO[bytes] = path.open("r+b")
            if size and self.file.read(self.start)[:6] != b"\x93NUMPY":
                raise InputError(f"`{path}` is no .npy file: it cannot be continued")
            self.file.truncate(self.start + self.n * self.bytes)
            self.file.seek(0, os.SEEK_END)
        else:
            self.file = path.open("wb")
            self.file.write(self._header().getvalue())

    def _header(self) -> io.BytesIO:
        """Return the header, which is as long for any number of samples."""
        held = io.BytesIO()
        shape = (getattr(self, "n", 0), *self.shape)
        np.lib.format.write_array_header_1_0(held, {"descr": "<f4", "fortran_order": False, "shape": shape})
        return held

    def done(self) -> Iterator[str | None]:
        """Yield None for each sample that was there."""
        return iter([None] * self.n)

    def write(self, one: Prediction) -> None:
        """Append one output."""
        (y,) = one.outputs.values()
        self.file.write(np.ascontiguousarray(y, "<f4").tobytes())
        self.n += 1

    def close(self) -> None:
        """Write the number of samples to the header, and close the file."""
        self.file.flush()
        self.file.seek(0)
        self.file.write(self._header().getvalue())
        self.file.close()


class Pictures(Writer):
    """A PNG for each sample: the class of each position (with a palette), or the image that the network makes."""

    def __init__(self, spec: Spec, path: Path | None, resume: bool) -> None:
        found = {name: meaning(spec, name) for name in spec.graph.output_names}
        if path is None or len(found) > 1 or set(found.values()) - {"mask", "image"}:
            what = "classes of positions or an image"
            raise InputError(f"PNGs need a folder (-o) and one output that is {what}; `{spec.name}` has {found}")
        ((self.name, self.meaning),) = found.items()
        self.node = spec.graph.output_nodes[self.name]
        if len(self.node.shape) != 3 or self.node.shape[0] > 256:
            raise InputError(f"a PNG has two axes and at most 256 classes; `{self.name}` is {list(self.node.shape)}")
        self.input = spec.input
        self.folder = path
        self.resume = resume
        path.mkdir(parents=True, exist_ok=True)
        self.paths: dict[Path, str] = {}
        """The source of each picture."""

    def remaining(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        """Yield the samples whose pictures are not there."""
        for source, x in samples:
            path = self._path_of(source)
            if self.resume and path.exists():
                self.paths[path] = source
            else:
                yield source, x

    def _path_of(self, source: str) -> Path:
        """Return the file of a source: its name with the end .png, numbered where another sample has that name."""
        stem = PurePath(source.split("[")[0]).stem + "".join(f"-{part[:-1]}" for part in source.split("[")[1:])
        path, number = self.folder / f"{stem}.png", 2
        while self.paths.get(path, source) != source:
            path, number = self.folder / f"{stem}-{number}.png", number + 1
        return path

    def write(self, one: Prediction) -> None:
        """Write one picture."""
        path = self._path_of(one.source)
        self.paths[path] = one.source
        y, pillow = one.outputs[self.name], pillow_for("the PNG")
        if self.meaning == "mask":
            image = pillow.fromarray(prediction.mask(self.node, y))
            image.putpalette(palette())
        else:
            found = prediction.pixels(y, self.input)
            image = pillow.fromarray(found[0] if len(found) == 1 else found.transpose(1, 2, 0))
        held = io.BytesIO()
        image.save(held, "PNG")
        atomic.write(path, held.getvalue())

    def close(self) -> None:
        """Do nothing: every picture is whole."""


def palette() -> list[int]:
    """Return 256 colours as red, green, blue, …: black for class 0, and then hues that lie far apart."""
    found = [0, 0, 0]
    for i in range(1, 256):
        hue, value = (i - 1) * 0.61803398875 % 1, 0.95 if i % 2 else 0.7
        found += [round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, value)]
    return found
