"""The named datasets: where they are searched for, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnspec.data import files
from cnnspec.data.download import fetch, require
from cnnspec.data.files import Parts
from cnnspec.data.memory import Part
from cnnspec.data.split import divided
from cnnspec.errors import DataError
from cnnspec.machine import cache_folder

DATA_VARIABLE = "CNNSPEC_DATA"
DIGITS = "digits"
NUMERALS = tuple("0123456789")


@dataclass(frozen=True)
class Known:
    """A public dataset: its files with their SHA-256, its servers, its classes, and its reader."""

    files: dict[str, str]
    servers: tuple[str, ...]
    classes: tuple[str, ...]
    read: Callable[[Path, str], Parts]

    def missing(self, folder: Path) -> dict[str, str]:
        """Return the files that are missing from a folder, where they may lie unpacked."""
        there = {file for file in self.files if (folder / file).exists() or (folder / _plain(file)).exists()}
        return {file: checksum for file, checksum in self.files.items() if file not in there}


def _plain(file: str) -> str:
    return files.CIFAR10_FOLDER if file == files.CIFAR10_ARCHIVE else file.removesuffix(".gz")


KNOWN: dict[str, Known] = {
    # http://yann.lecun.com/exdb/mnist/
    "mnist": Known(
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        NUMERALS,
        files.idx_folder,
    ),
    # https://github.com/zalandoresearch/fashion-mnist
    "fashion-mnist": Known(
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        (
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
        files.idx_folder,
    ),
    # https://www.cs.toronto.edu/~kriz/cifar.html
    "cifar10": Known(
        {files.CIFAR10_ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
        ("https://www.cs.toronto.edu/~kriz/",),
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        files.cifar10,
    ),
}  # fmt: skip


def read(name: str, data_dir: str | Path | None, *, download: bool) -> Parts:
    """Return a dataset from `data_dir` (or $CNNSPEC_DATA), or from the cache, into which it is downloaded if needed."""
    known = KNOWN[name]
    given = data_dir or os.environ.get(DATA_VARIABLE)
    cached = cache_folder() / name
    if given:
        if not Path(given).is_dir():
            raise DataError(f"there is no data directory `{given}` ({'--data-dir' if data_dir else DATA_VARIABLE})")
        folder = Path(given) / name
        missing = known.missing(folder)
        if not missing:
            return known.read(folder, name)
        if len(missing) < len(known.files):
            raise DataError(f"`{folder}` lacks {', '.join(missing)}; {_sources(known)}")
    missing = known.missing(cached)
    if missing:
        try:
            if not download:
                raise DataError("downloading is switched off")
            fetch(cached, missing, known.servers)
        except (DataError, OSError) as error:
            raise DataError(
                f"`{name}` is not on this machine: {error}\n"
                f"Put {', '.join(missing)} into `{cached}`, or all of its files into a directory `{name}` of a data "
                f"directory that --data-dir or {DATA_VARIABLE} names; {_sources(known)}"
            ) from error
    return known.read(cached, name)


def _sources(known: Known) -> str:
    return f"they are at {' and '.join(known.servers)}"


def digits() -> Parts:
    """Return scikit-learn's 1,797 handwritten digits of 8×8 pixels; a fixed random fifth of each class is test data."""
    bunch = require("sklearn.datasets", f"`{DIGITS}`").load_digits()
    x = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    y = bunch.target.astype(np.int64)
    rest, held_out = divided(len(y), y, 0.2, seed=0)
    return Part(f"{DIGITS} (train)", x[rest], y[rest]), Part(f"{DIGITS} (test)", x[held_out], y[held_out])
