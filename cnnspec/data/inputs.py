"""Input files of `cnnspec run`: arrays and images of every supported format, as one batch for a network."""

from __future__ import annotations

import io
import math
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np

from cnnspec import bundled, rng
from cnnspec.arrays import Array, Arrays
from cnnspec.data import idx, images
from cnnspec.errors import InputError
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Fit, Input
from cnnspec.layers import Shape

STANDARD_INPUT = "-"
MOST_BYTES = 1 << 32
"""The largest array, and the most of standard input, that is read."""

_HEADER = 1 << 16
"""The longest .npy header that is read; those of arrays of plain numbers are shorter."""
_MAGIC: dict[bytes, str] = {
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "npz",
    b"PK\x05\x06": "npz",  # an empty one
    b"\x89PNG\r\n\x1a\n": "image",
    b"\xff\xd8\xff": "image",
    idx.GZIP: "idx",
    **{bytes((0, 0, code)): "idx" for code in idx.DTYPES},
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples for a network, and the source of each (`shoe.png`, `digits.npz[3]`)."""

    x: Array
    """[n, c, h, w] or [n, f]."""
    sources: tuple[str, ...]


def read(files: Iterable[str | Path], graph_input: Input, *, limit: int | None = None) -> Batch:
    """Return the samples of all files in order, at most `limit` of them; raise InputError for what does not fit.

    Pixels (images, and arrays of uint8) are scaled as the spec's `input` says; arrays of floats are taken as they are.
    For x [c, h, w] a file holds that or [n, c, h, w]; an axis of one channel may be left out; a vector may be written
    as an image. Sequences [c, l] and volumes [c, d, h, w] likewise. Pixels of another size or colour are converted as
    `graph_input.fit` says (`images.fit`).
    """
    if limit is not None and limit < 1:
        raise InputError(f"a batch has at least one sample, not {limit}")
    batches: list[Array] = []
    sources: list[str] = []
    for file in files:
        room = None if limit is None else limit - len(sources)
        if room == 0:
            break
        name = "standard input" if str(file) == STANDARD_INPUT else str(file)
        batch = _read_one(file, name, graph_input, room)
        batches.append(batch)
        sources += [name] if len(batch) == 1 else [f"{name}[{i}]" for i in range(len(batch))]
    if not batches:
        raise InputError("no input file is given")
    return Batch(np.concatenate(batches), tuple(sources))


def random(shape: Shape, n: int, seed: int, *names: str) -> Batch:
    """Return a batch of standard normal numbers, which the seed determines, and the names of further streams of it."""
    if n < 1:
        raise InputError(f"a batch has at least one sample, not {n}")
    x = rng.stream(seed, "input", *names).standard_normal((n, *shape))
    return Batch(x, tuple(f"random[{i}]" for i in range(n)))


def random_inputs(graph: Graph, n: int, seed: int) -> Arrays:
    """Return a batch of standard normal numbers for each input by name, which the seed determines."""
    first, *others = graph.inputs
    shapes = {name: graph.by_name[name].shape for name in graph.inputs}
    return {first: random(shapes[first], n, seed).x} | {name: random(shapes[name], n, seed, name).x for name in others}


def scaled(pixels: Array, graph_input: Input) -> Array:
    """Return (pixel · scale − mean) / std: x [n, c, h, w] or [n, f] -> y of the same shape, float64."""
    axes = (-1,) + (1,) * (len(graph_input.shape) - 1)
    numbers = pixels.astype(np.float64)
    numbers *= graph_input.scale
    numbers -= np.reshape(graph_input.mean, axes)
    numbers /= np.reshape(graph_input.std, axes)
    return numbers


@lru_cache(maxsize=64)
def levels(graph_input: Input) -> Array:
    """Return the number that each of the 256 pixel values becomes: [c, 256], or [1, 256] where all channels agree."""
    channels = graph_input.shape[0]
    ramp = np.broadcast_to(np.arange(256)[:, None], (256, channels))
    found = scaled(ramp.reshape(256, channels, *(1,) * (len(graph_input.shape) - 1)), graph_input)
    table: Array = np.ascontiguousarray(found.reshape(256, channels).T, np.float32)
    return table[:1] if (table == table[0]).all() else table


def are_pixels(array: Array, name: str) -> bool:
    """Return whether an array holds pixels (uint8), not floats; raise InputError for any other dtype."""
    if array.dtype == np.uint8:
        return True
    if array.dtype.kind == "f":
        return False
    raise InputError(
        f"`{name}` holds {array.dtype}, and a network takes pixels (uint8, 0 to 255) or floating-point numbers: "
        "convert it with .astype"
    )


def finite(batch: Array, name: str) -> Array:
    """Return the batch; raise InputError where it holds NaN or infinities."""
    bad = ~np.isfinite(batch)
    if bad.any():
        first = np.unravel_index(int(bad.argmax()), batch.shape)
        raise InputError(
            f"`{name}` holds {np.count_nonzero(bad):,} numbers that are NaN or infinite, "
            f"the first at {[int(i) for i in first]}"
        )
    return batch


def _read_one(file: str | Path, name: str, graph_input: Input, room: int | None) -> Array:
    with open_stream(file, name) as stream:
        try:
            kind = _format(stream.read(8), name)
            stream.seek(0)
            array = _READERS[kind](stream, name)
        except OSError as error:
            raise InputError(f"`{name}` cannot be read: {error.strerror or error}") from error
    return samples_of(array, kind, name, graph_input, room)


def samples_of(array: Array, kind: str, name: str, graph_input: Input, room: int | None = None) -> Array:
    """Return what a file of some kind holds as samples for an input, at most `room` of them: [n, ...]."""
    shape, how = graph_input.shape, graph_input.fit
    pixels = kind == "image" or are_pixels(array, name)
    if kind == "image" and len(shape) == 3:
        batch = images.fit(array, shape, name, how)[None]
    else:
        fitting = _as_batch(array, shape)
        if fitting is not None:
            batch = fitting[:room]
        elif how != "exact" and pixels and len(shape) == 3 and 2 <= array.ndim <= 4 and array.size:
            pictures = _as_pictures(array, shape[0], kind)[:room]
            batch = np.stack([images.fit(picture, shape, name, how) for picture in pictures])
        else:
            raise misfit(name, array.shape, shape, pixels=pixels, how=how)
    if not len(batch):
        raise InputError(f"`{name}` holds no samples: its shape is {list(array.shape)}")
    if pixels:
        return scaled(batch, graph_input)
    return finite(batch.astype(np.float64 if batch.dtype.itemsize >= 8 else np.float32), name)


# Shapes


def as_samples(array: Array, shape: Shape) -> Array | None:
    """Return an array as samples [n, *shape] where possible: one channel may be left out, a vector be an image."""
    if array.shape[1:] == shape:
        return array
    if len(shape) > 1 and shape[0] == 1 and array.shape[1:] == shape[1:]:
        return array[:, None]
    if len(shape) == 1 and array.ndim in (3, 4) and math.prod(array.shape[1:]) == shape[0]:
        return array.reshape(len(array), -1)
    return None


def _as_batch(array: Array, shape: Shape) -> Array | None:
    """Return the array as [n, *shape] where possible; one sample of the exact shape takes precedence over a batch."""
    if array.shape == shape:
        return array[None]
    if len(shape) > 1 and shape[0] == 1 and array.shape == shape[1:]:
        return array[None, None]
    if len(shape) == 1 and array.ndim in (2, 3) and array.size == shape[0]:
        return array.reshape(1, -1)
    return as_samples(array, shape)


def _as_pictures(array: Array, channels: int, kind: str) -> Array:
    """Return pixels as [n, c, h, w]; three axes are [c, h, w] where c is the network's, else [n, h, w], as in IDX."""
    if array.ndim == 2:
        return array[None, None]
    if array.ndim == 3:
        return array[None] if kind != "idx" and len(array) == channels else array[:, None]
    return array


def misfit(name: str, found: Shape, shape: Shape, *, pixels: bool, how: Fit) -> InputError:
    """Return the message for an array that does not have the shape of the network's input, with a remedy."""
    message = (
        f"`{name}` has the shape {list(found)}, and the network takes {list(shape)} "
        f"or a batch [n, {str(list(shape))[1:]}"
    )
    if len(shape) == 3 and len(found) in (3, 4) and found[-3:] == (*shape[1:], shape[0]):
        order = (2, 0, 1) if len(found) == 3 else (0, 3, 1, 2)
        message += f"; channels come first here: x.transpose{order}"
    elif len(shape) == 3 and pixels and how == "exact":
        message += "; `--resize` (or `fit` in the spec's `input`) converts it"
    elif how != "exact":
        message += "; only pixels (uint8) are converted, and only for a network that takes images"
    return InputError(message)


# Formats


def open_stream(file: str | Path, name: str) -> IO[bytes]:
    """Open the file as a seekable stream."""
    if str(file) == STANDARD_INPUT:
        return _all_of(sys.stdin.buffer, name)
    path = Path(file)
    try:
        if not path.exists() and path.suffix == ".png":
            path = bundled.find(str(file), ".png") or path
        if path.is_dir():
            raise InputError(f"`{name}` is a directory; give the files in it")
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"there is no file `{name}`") from error
    except OSError as error:
        raise InputError(f"`{name}` cannot be read: {error.strerror or error}") from error
    if path.is_file():
        return stream
    with stream:  # a pipe
        return _all_of(stream, name)


def _all_of(stream: IO[bytes], name: str) -> IO[bytes]:
    held = io.BytesIO()
    held.write(stream.read(8))
    _format(held.getvalue(), name)  # an endless device is refused here, unless it begins like a supported format
    while chunk := stream.read(1 << 20):
        held.write(chunk)
        if held.tell() > MOST_BYTES:
            raise InputError(f"`{name}` has more than {MOST_BYTES:,} bytes")
    held.seek(0)
    return held


def _format(head: bytes, name: str) -> str:
    if not head:
        raise InputError(f"`{name}` is empty")
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    raise InputError(f"`{name}` is in no format that is read: .npy, .npz, PNG, JPEG, or IDX, plain or in gzip")


def _npy(stream: IO[bytes], name: str, size: int | None = None) -> Array:
    """Return the array of a .npy stream of `size` bytes; its header must agree with that."""
    if size is None:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
    head = io.BytesIO(stream.read(_HEADER))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of headers that Python 2 wrote
            version = np.lib.format.read_magic(head)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read_header(head)
    except Exception as error:  # a broken header can raise nearly any error of Python's parser
        raise InputError(f"`{name}` has a .npy header that cannot be read: {error}") from error
    if dtype.hasobject:
        raise InputError(f"`{name}` holds Python objects, which are never unpickled; save numbers")
    if dtype.kind not in "biuf":
        raise InputError(f"`{name}` holds {dtype}, and a network takes numbers")
    expected = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or expected != size - head.tell():
        raise InputError(
            f"`{name}` is cut short or damaged: its header says {dtype} {list(shape)}, which is {expected:,} bytes, "
            f"and {size - head.tell():,} follow"
        )
    if expected > MOST_BYTES:
        raise InputError(f"`{name}` has {expected:,} bytes; at most {MOST_BYTES:,} are read")
    stream.seek(head.tell())
    data = stream.read(expected)
    if len(data) < expected:
        raise InputError(f"`{name}` is cut short: its header says {expected:,} bytes, and {len(data):,} follow")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def npz_arrays(stream: IO[bytes], name: str, choose: Callable[[list[str]], Sequence[str]]) -> dict[str, Array]:
    """Return the arrays of a .npz stream that `choose` selects from the names; no other is read, none is unpickled."""
    try:
        with zipfile.ZipFile(stream) as archive:
            members = {m.filename.removesuffix(".npy"): m for m in archive.infolist() if m.filename.endswith(".npy")}
            if not members:
                raise InputError(f"`{name}` is a zip file without arrays")
            chosen = choose(list(members))
            found = {}
            for key in chosen:
                with archive.open(members[key]) as inside:
                    label = name if len(chosen) == 1 else f"{name}[{key}]"
                    found[key] = _npy(inside, label, members[key].file_size)
            return found
    except InputError:
        raise
    except Exception as error:  # zipfile raises nearly any error for broken files
        raise InputError(f"`{name}` is not a complete .npz file: {error}") from error


def _npz(stream: IO[bytes], name: str) -> Array:
    def choose(members: list[str]) -> Sequence[str]:
        wanted = members if len(members) == 1 else [key for key in ("x", "images") if key in members]
        if len(wanted) != 1:
            listed = ", ".join(f"`{key}`" for key in members[:20])
            raise InputError(f"`{name}` holds several arrays: {listed}; the input is the one called `x` or `images`")
        return wanted

    (array,) = npz_arrays(stream, name, choose).values()
    return array


_READERS = {"npy": _npy, "npz": _npz, "image": images.decode, "idx": idx.read_stream}
