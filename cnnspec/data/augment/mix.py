"""Mixup and cutmix: each sample of a step mixed with another one of it, and their targets alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array, Arrays, Samples
from cnnspec.data.augment.samples import Size
from cnnspec.errors import DataError
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Loss, Train
from cnnspec.layers import Shape
from cnnspec.wording import format_shape, noun


class Output(NamedTuple):
    """An output that is trained."""

    loss: Loss
    shape: Shape
    is_map: bool
    """Whether its target is a map of the size of the input."""


class Mix(NamedTuple):
    """How the samples of a step are mixed."""

    partners: Array
    """The sample that each one is mixed with: [n]."""
    part: float
    """The part of the sample itself in the mixture; the rest is its partner's."""
    box: tuple[slice, slice] | None
    """The rows and columns that are the partner's, of cutmix; None for mixup."""
    outputs: Mapping[str, Output]

    def applied(
        self, x: Samples | dict[str, Samples], target: Array | Arrays, own: Array, other: Array
    ) -> tuple[Samples | dict[str, Samples], Arrays]:
        """Return mixtures of the rows `own` with the rows `other` ([m] each), and their targets by output."""
        mixed: Samples | dict[str, Samples] = (
            {name: self._numbers(np.asarray(array), own, other, pastes=True) for name, array in x.items()}
            if isinstance(x, dict)
            else self._numbers(np.asarray(x), own, other, pastes=True)
        )
        targets = {
            name: self._target(target[name] if isinstance(target, dict) else target, output, own, other)
            for name, output in self.outputs.items()
        }
        return mixed, targets

    def _target(self, target: Array, output: Output, own: Array, other: Array) -> Array:
        if output.loss.targets == "classes" and not output.is_map:
            target = _probabilities(target, output)
        return self._numbers(target, own, other, pastes=output.is_map)

    def _numbers(self, values: Array, own: Array, other: Array, *, pastes: bool) -> Array:
        if self.box is None or not pastes:
            return np.asarray(self.part * values[own] + (1 - self.part) * values[other])
        found: Array = values[own]
        at: Any = (..., *self.box)
        found[at] = values[other][at]
        return found


@dataclass(frozen=True)
class Mixing:
    """The mixup and cutmix of a training; of both, each step has one by chance."""

    mixup: float
    """Parameter of the Beta distribution, 0 for none."""
    cutmix: float
    """Likewise."""
    size: Size
    """The size of the input along each spatial axis."""
    outputs: Mapping[str, Output]
    seed: int

    def draw(self, n: int, epoch: int, step: int) -> Mix:
        """Return how the n samples of a step are mixed; the seed, the epoch and the step decide it.

        The part of a sample is drawn from Beta(α, α) (mixup: Zhang et al. 2017). In cutmix (Yun et al. 2019, algorithm
        A1), the partner's part is a box of the image's aspect ratio around a random position, cut off at the border.
        """
        random = rng.stream(self.seed, "mix", epoch, step)
        cuts = self.cutmix > 0 and (self.mixup == 0 or random.random() < 0.5)
        alpha = self.cutmix if cuts else self.mixup
        part = float(random.beta(alpha, alpha))
        partners = random.permutation(n)
        if not cuts:
            return Mix(partners, part, None, self.outputs)
        rows, columns = (_interval(size, math.sqrt(1 - part), int(random.integers(size))) for size in self.size)
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return Mix(partners, 1 - area / math.prod(self.size), (rows, columns), self.outputs)


def _interval(size: int, fraction: float, centre: int) -> slice:
    length = int(size * fraction)
    return slice(max(0, centre - length // 2), min(size, centre + (length + 1) // 2))


def _probabilities(target: Array, output: Output) -> Array:
    """Return 1 for the class of each sample, and 0 for all others: [n] -> [n, c]; an ignored class has no number."""
    found: Array = (target[:, None] == np.arange(output.loss.classes(output.shape))).astype(np.float64)
    if output.loss.ignored is not None:
        found[target == output.loss.ignored] = 0
    return found


def mixing_of(train: Train, graph: Graph) -> Mixing | None:
    """Return the mixing of a training, None where it has none; raise DataError where it does not fit the network."""
    if not train.mixup and not train.cutmix:
        return None
    shape = graph.by_name[graph.inputs[0]].shape
    if train.cutmix and (len(graph.inputs) > 1 or len(shape) != 3):
        takes = f"{len(graph.inputs)} inputs" if len(graph.inputs) > 1 else f"{noun(shape)}s of {format_shape(shape)}"
        raise DataError(f"`cutmix` mixes images, and the network takes {takes}: use `mixup`")
    outputs = {}
    for name, loss in train.by_output(graph.output_names).items():
        of = graph.output_nodes[name].shape
        if train.mixup and loss.targets == "classes" and len(of) > 1:
            raise DataError(
                f"`mixup` mixes classes of samples, and the target of `{name}` is a map of classes: "
                "use `cutmix`, which pastes a part of another sample and of its map"
            )
        is_map = len(graph.inputs) == 1 and len(of) > 1 and of[1:] == shape[1:]
        if train.cutmix and not is_map and any(size > 1 for size in of[1:]):
            raise DataError(
                f"`cutmix` pastes a part of an image of {format_shape(shape[1:])} and of the map that is its target, "
                f"and the output `{name}` is a map of {format_shape(of[1:])}: let it be as large as the input"
            )
        outputs[name] = Output(loss, of, is_map)
    return Mixing(train.mixup, train.cutmix, shape[1:], outputs, train.seed)
