"""Autoencoding: samples that are their own targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cnnspec.arrays import Array, Arrays, Samples
from cnnspec.data import inputs
from cnnspec.data.augment import Augmentation
from cnnspec.data.memory import InMemory
from cnnspec.errors import DataError
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Loss, Train
from cnnspec.wording import format_shape

SAMPLE = "input"
"""What `target` and `targets` call the sample itself."""


def reconstructs(spec: Spec, output: str) -> bool:
    """Return whether the target of an output is the sample itself."""
    train = spec.train or Train()
    return train.target == SAMPLE or train.targets.get(output) == (SAMPLE,)


def with_targets(spec: Spec) -> Spec | None:
    """Return the spec with the losses of those outputs alone that have targets in the data; None where none has."""
    rest = {output: loss for output, loss in spec.losses.items() if not reconstructs(spec, output)}
    if len(rest) == len(spec.losses):
        return spec
    return replace(spec, train=(spec.train or Train()).model_copy(update={"losses": rest})) if rest else None


def check(spec: Spec, output: str, loss: Loss) -> None:
    """Raise DataError where an output cannot be compared with the sample itself."""
    if len(spec.inputs) > 1:
        raise DataError(f"`{spec.name}` has the inputs {', '.join(spec.inputs)}, and `target: input` takes one")
    shape, wanted = spec.graph.output_nodes[output].shape, spec.input.shape
    if loss.targets == "classes":
        raise DataError(
            f"the target of `{output}` is the sample itself, and {loss.title} takes classes: use "
            "`loss: mean_squared_error`"
        )
    if shape != wanted:
        remedy = f": end it with `reshape: {list(wanted)}`" if np.prod(shape) == np.prod(wanted) else ""
        raise DataError(
            f"the target of `{output}` is the sample itself, {format_shape(wanted)}, and the output is "
            f"{format_shape(shape)}{remedy}"
        )
    if loss.targets == "labels" and not _within_0_and_1(spec.input):
        raise DataError(
            f"{loss.title} compares with numbers from 0 to 1, and `input` makes others of pixels: leave out its `mean` "
            "and `std`, or use `loss: mean_squared_error`"
        )


def _within_0_and_1(given: Input) -> bool:
    ends = np.broadcast_to(np.array([0.0, 255.0]).reshape(2, *[1] * len(given.shape)), (2, *given.shape))
    return bool((np.abs(inputs.scaled(ends, given) - 0.5) <= 0.5 + 1e-6).all())


class Reconstruction:
    """A split in memory whose samples are the targets of some outputs, or of all."""

    def __init__(self, split: InMemory, spec: Spec) -> None:
        self.split = split
        self.n = split.n
        self._own = [output for output in spec.losses if reconstructs(spec, output)]
        self._others = [output for output in spec.losses if output not in self._own]
        self._by_name = len(spec.graph.outputs) > 1
        for output in self._own:
            check(spec, output, spec.losses[output])

    @property
    def strata(self) -> Array | None:
        """The class of each sample, where another output has classes."""
        return self.split.strata if self._others else None

    def load(
        self, indices: Array, augmentation: Augmentation | None = None, *, pixels: bool = False
    ) -> tuple[Samples, Array | Arrays]:
        """Return the samples, and as targets themselves, moved as augmentation moves them without other changes."""
        x, own = self.split.reconstructed(indices, augmentation, pixels=pixels)
        if not self._by_name:
            return x, own
        given = self.split.load(indices, augmentation)[1] if self._others else {}
        others = given if isinstance(given, dict) else dict.fromkeys(self._others, given)
        return x, others | dict.fromkeys(self._own, own)
