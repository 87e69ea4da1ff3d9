"""The IDX format of LeCun's MNIST (http://yann.lecun.com/exdb/mnist): one array, plain or in gzip.

Two zero bytes, one for the type, one for the number of axes, the sizes as big-endian 32-bit numbers, then the data in
C order.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np

from cnnspec.arrays import Array
from cnnspec.errors import InputError

DTYPES: dict[int, str] = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"

_CODES = {np.dtype(text): code for code, text in DTYPES.items()}
_LARGEST_RATIO = 1032
"""The largest compression ratio of deflate (https://zlib.net/zlib_tech.html)."""
_MOST_AXES = 32
_CHUNK = 1 << 20


def read(source: str | Path | bytes) -> Array:
    """Return the array of an IDX file or of its bytes, in native byte order; raise InputError for anything else."""
    if isinstance(source, bytes):
        return read_stream(io.BytesIO(source), "the IDX data")
    try:
        with Path(source).open("rb") as file:
            return read_stream(file, str(source))
    except OSError as error:
        raise InputError(f"`{source}` cannot be read: {error.strerror or error}") from error


def read_stream(file: IO[bytes], name: str) -> Array:
    """Return the array of an open, seekable IDX file; errors refer to it by `name`."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    packed = file.read(2) == GZIP
    file.seek(0)
    try:
        if packed:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _array(cast(IO[bytes], unpacked), name, at_most=_LARGEST_RATIO * size)
        return _array(file, name, at_most=size)
    except EOFError as error:
        raise InputError(f"`{name}` is cut short: its gzip data ends too early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"`{name}` has corrupt gzip data: {error}") from error


def _array(file: IO[bytes], name: str, at_most: int) -> Array:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= _MOST_AXES:
        raise InputError(
            f"`{name}` is not an IDX file: it begins with {magic.hex(' ') or 'nothing'}, not 00 00 <type> <axes>"
        )
    axes = magic[3]
    header = file.read(4 * axes)
    if len(header) < 4 * axes:
        raise InputError(f"`{name}` is cut short: its header of {axes} sizes is not complete")
    shape = struct.unpack(f">{axes}I", header)
    dtype = np.dtype(DTYPES[magic[2]])
    expected = math.prod(shape) * dtype.itemsize
    promise = f"its header says {list(shape)}, which is {expected:,} bytes"
    if expected > at_most:
        raise InputError(f"`{name}` is cut short: {promise}, and the file has at most {at_most:,}")
    data = bytearray()
    while len(data) <= expected and (chunk := file.read(min(_CHUNK, expected + 1 - len(data)))):
        data += chunk
    if len(data) < expected:
        raise InputError(f"`{name}` is cut short: {promise}, and {len(data):,} follow")
    if len(data) > expected:
        raise InputError(f"`{name}` is too long: {promise}, and more follow")
    try:
        return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
    except ValueError as error:  # an empty array may have sizes that NumPy does not take
        raise InputError(f"`{name}` has the sizes {list(shape)}: {error}") from error


def write(path: str | Path, array: Array) -> None:
    """Write an IDX file, compressed where the name ends in `.gz`."""
    code = _CODES.get(array.dtype.newbyteorder(">"))
    if code is None or not 1 <= array.ndim <= _MOST_AXES:
        raise InputError(f"IDX holds no {array.dtype} array with {array.ndim} axes")
    content = struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    content += array.astype(DTYPES[code]).tobytes()
    packed = str(path).endswith(".gz")
    Path(path).write_bytes(gzip.compress(content, mtime=0) if packed else content)
