"""Files of predictions: CSV, JSON lines, .npy, and a PNG for each sample; each can be continued where it ended."""

from __future__ import annotations

import colorsys
import csv
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import IO, Any

import numpy as np

from cnnspec import atomic
from cnnspec.arrays import Array
from cnnspec.data.images import pillow_for
from cnnspec.errors import InputError
from cnnspec.graph.spec import Spec
from cnnspec.training import prediction
from cnnspec.training.prediction import Prediction, meaning

Sample = tuple[str, Array]
"""The source of a sample, and its numbers."""
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


class Form(ABC):
    """The text of a prediction."""

    def __init__(self, spec: Spec, top: int) -> None:
        self.spec = spec
        self.top = top
        self.meanings = {name: meaning(spec, name) for name in spec.graph.output_names}

    def head(self) -> str:
        """Return the lines before the first prediction."""
        return ""

    @abstractmethod
    def text(self, one: Prediction) -> str:
        """Return the line of a prediction, with its end."""

    @abstractmethod
    def source(self, line: str) -> str:
        """Return the source of the prediction that a line holds."""

    def ranked(self, name: str, y: Array) -> list[tuple[int, str, float]]:
        """Return the most probable classes of a vector: (index, name, probability)."""
        found, _ = prediction.probabilities(self.spec.graph.output_nodes[name], y)
        names = prediction.class_names(self.spec, name)
        return [(int(i), names[i], float(found[i])) for i in np.argsort(-found, kind="stable")[: self.top]]

    def labels(self, name: str, y: Array) -> dict[str, float]:
        """Return the probability of each label by name."""
        found = prediction.label_probabilities(self.spec.graph.output_nodes[name], y)
        return dict(zip(prediction.class_names(self.spec, name), map(float, found), strict=True))


class Table(Form):
    """CSV with a header: `file,class,probability,…`, `file,<label>,…,labels` or `file,<number>,…`."""

    def __init__(self, spec: Spec, top: int) -> None:
        super().__init__(spec, top)
        for name, found in self.meanings.items():
            if len(spec.graph.output_nodes[name].shape) > 1:
                remedy = "masks and images go to PNGs (-o FOLDER)" if found in ("mask", "image") else "use -o FILE.npy"
                raise InputError(f"a map is no row of a table, and `{name}` is one: {remedy}")

    def head(self) -> str:
        """Return the names of the columns."""
        columns = ["file"]
        for name, found in self.meanings.items():
            if found == "classes":
                count = min(self.top, self.spec.graph.output_nodes[name].shape[0])
                own = [f"{key}{'' if i == 0 else i + 1}" for i in range(count) for key in ("class", "probability")]
            else:
                own = list(prediction.class_names(self.spec, name))
                own += ["labels"] if found == "labels" else []
                own = ["value"] if own == ["0"] else own
            columns += own if len(self.meanings) == 1 else [f"{name}.{key}" for key in own]
        return _row(columns)

    def text(self, one: Prediction) -> str:
        """Return the row of a prediction."""
        cells: list[Any] = [one.source]
        for name, found in self.meanings.items():
            y = one.outputs[name]
            if found == "classes":
                cells += [cell for _, label, p in self.ranked(name, y) for cell in (label, f"{p:.6g}")]
            elif found == "labels":
                of_each = self.labels(name, y)
                cells += [f"{p:.6g}" for p in of_each.values()]
                cells.append(";".join(label for label, p in of_each.items() if p > 0.5))
            else:
                cells += [f"{number:.9g}" for number in y]
        return _row(cells)

    def source(self, line: str) -> str:
        """Return the first cell."""
        return next(csv.reader([line]))[0]


def _row(cells: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


class Records(Form):
    """JSON lines: `{"file": …, "top": […]}`, `{"labels": …}` or `{"output": …}`; by name under `outputs` of several."""

    def text(self, one: Prediction) -> str:
        """Return the object of a prediction."""
        found = {name: self._of(name, y) for name, y in one.outputs.items()}
        own = next(iter(found.values())) if len(found) == 1 else {"outputs": found}
        return json.dumps({"file": one.source} | own, ensure_ascii=False) + "\n"

    def _of(self, name: str, y: Array) -> dict[str, Any]:
        if self.meanings[name] == "classes":
            ranked = self.ranked(name, y)
            return {"top": [{"class": label, "index": i, "probability": p} for i, label, p in ranked]}
        if self.meanings[name] == "labels":
            return {"labels": self.labels(name, y)}
        if self.meanings[name] == "mask":
            return {"mask": prediction.mask(self.spec.graph.output_nodes[name], y).tolist()}
        return {"output": y.tolist()}

    def source(self, line: str) -> str:
        """Return the file."""
        return str(json.loads(line)["file"])


class Lines(Writer):
    """Lines of text."""

    def __init__(self, form: Form, path: Path | None, stream: IO[str], resume: bool) -> None:
        self.form = form
        self.path = path
        self.kept = _whole_lines(path) if path is not None and resume and path.exists() else []
        self.head = form.head()
        if self.kept and self.head and self.kept[0] != self.head:
            raise InputError(f"`{path}` has other columns than these predictions: it cannot be continued")
        self.file = stream if path is None else path.open("a" if self.kept else "w", encoding="utf-8", newline="")
        if not self.kept:
            self.file.write(self.head)

    def done(self) -> Iterator[str | None]:
        """Yield the source of each line that was there."""
        for line in self.kept[1 if self.head else 0 :]:
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


def _whole_lines(path: Path) -> list[str]:
    """Return the lines of a file, of which an incomplete last one is cut off."""
    with path.open("r+", encoding="utf-8", newline="") as file:
        lines = file.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
            file.seek(0)
            file.truncate(len("".join(lines).encode()))
    return lines


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
