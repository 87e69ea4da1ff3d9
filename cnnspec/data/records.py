"""A split whose samples are files, decoded on demand and not kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from cnnspec.arrays import Array, Arrays, Pixels, Samples
from cnnspec.data import images, inputs, pictures
from cnnspec.data.augment import Augmentation
from cnnspec.data.pictures import BrokenFileError, Pictures
from cnnspec.data.record_targets import Image, Target, fitted, scaled
from cnnspec.data.split import rows
from cnnspec.errors import DataError
from cnnspec.graph.settings import Input

_CHUNK = 1024
"""How many samples wait for a thread at a time."""


class Records:
    """A split whose samples are files."""

    def __init__(
        self,
        pictures: Pictures,
        targets: Mapping[str, Target],
        graph_input: Input,
        *,
        classes: Array | None = None,
        by_name: bool = False,
    ) -> None:
        self.pictures = pictures
        self.targets = targets
        """Of each output that is trained, by its name."""
        self.strata = classes
        """The class of each sample, int64 [n]; None without classes."""
        self.n = pictures.n
        self.threads = min(32, (os.cpu_count() or 1) + 4)
        """How many threads decode a batch."""
        self._input = graph_input
        self._by_name = by_name
        self._pool: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pool": None, "threads": 1}  # another process has others beside it

    def load(
        self, indices: Array, augmentation: Augmentation | None = None, *, pixels: bool = False
    ) -> tuple[Samples, Array | Arrays]:
        """Return the images, decoded by several threads, augmented and scaled, and their targets.

        Targets are by output where the network has several. With `pixels`, images of uint8 are not scaled.
        """
        if not len(indices):  # of a process that has no part in a batch
            x, target = self.load(np.array([0]), augmentation, pixels=pixels)
            none = slice(0)
            return x[none], rows(target, none)
        # in the order of the data, so that what is read in groups is read once
        order = np.argsort(indices, kind="stable")
        crops = augmentation is not None and augmentation.crops
        ordered = list(self._map(partial(self._read, crops=crops), map(int, indices[order])))
        samples = [ordered[place] for place in np.argsort(order)]
        if augmentation is not None:
            samples = self._augmented(samples, indices, augmentation)
        finished = {
            output: target.finish(np.stack([targets[output] for _, targets in samples]))
            for output, target in self.targets.items()
        }
        only = next(iter(finished.values()))
        x = self._samples(np.stack([image for image, _ in samples]), pixels)
        return x, finished if self._by_name else only

    def _samples(self, x: Array, pixels: bool) -> Samples:
        if pixels and x.dtype == np.uint8:
            return Pixels(x, inputs.levels(self._input))
        return scaled(x, self._input)

    def _read(self, index: int, crops: bool) -> tuple[Array, Arrays]:
        """Return a sample and its targets by output, decoded and fitted to the network.

        Where augmentation crops, images keep their size until then.
        """
        name = self.pictures.name(index)
        pixels = pictures.decoded(self.pictures, index)
        size = pixels.shape[1:]
        shape = (self._input.shape[0], *size) if crops else self._input.shape
        image = Image(name, fitted(pixels, shape, name, self._input), size, crops)
        return image.pixels, {output: target.read(index, image) for output, target in self.targets.items()}

    def _augmented(
        self, samples: list[tuple[Array, Arrays]], indices: Array, augmentation: Augmentation
    ) -> list[tuple[Array, Arrays]]:
        """Return samples augmented: at once where they are alike, which gives the same as one by one."""
        forms = {(x.shape, x.dtype, *((y.shape, y.dtype) for y in targets.values())) for x, targets in samples}
        if len(forms) > 1:
            return [augmentation.one(*sample, int(index)) for sample, index in zip(samples, indices, strict=True)]
        targets = {output: np.stack([targets[output] for _, targets in samples]) for output in self.targets}
        x, moved = augmentation(np.stack([pixels for pixels, _ in samples]), targets, indices)
        assert isinstance(moved, dict)
        return [(x[i], {output: values[i] for output, values in moved.items()}) for i in range(len(x))]

    def check_sizes(self, indices: Array) -> None:
        """Raise DataError for images whose headers give another size than the network's."""
        wanted = self._input.shape
        found = zip(indices, self._map(partial(pictures.shape, self.pictures), map(int, indices)), strict=True)
        wrong = [(int(index), size) for index, size in found if not images.may_fit(size, wanted)]
        if wrong:
            index, size = wrong[0]
            others = f" (and {len(wrong) - 1:,} other images do not fit either)" if len(wrong) > 1 else ""
            raise DataError(f"{images.misfit(self.pictures.name(index), size, wanted)}{others}")

    def check_cropped(self, indices: Array, augmentation: Augmentation) -> None:
        """Raise DataError for images whose headers give a size that augmentation cannot crop to the network's."""
        found = zip(indices, self._map(partial(pictures.shape, self.pictures), map(int, indices)), strict=True)
        for index, size in found:
            augmentation.check(self.pictures.name(int(index)), size[1:], pixels=True)

    def broken(self) -> dict[int, str]:
        """Return the samples with a file that cannot be decoded, each with the message of the error."""
        found = zip(range(self.n), self._map(self._fault, range(self.n)), strict=True)
        return {index: fault for index, fault in found if fault}

    def _fault(self, index: int) -> str:
        try:
            pictures.decoded(self.pictures, index)
            for target in self.targets.values():
                target.decode(index)
        except BrokenFileError as error:
            return str(error)
        return ""

    def _map(self, function: Callable[[int], Any], indices: Iterable[int]) -> Iterator[Any]:
        """Yield the results for samples in order, computed by the threads of the split."""
        if self.threads == 1:
            yield from map(function, indices)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")
        waiting = iter(indices)
        while some := list(islice(waiting, _CHUNK)):
            yield from self._pool.map(function, some)
