"""The network of the watched spec with its weights, on one picture: a map of each layer, and what the outputs say."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data import images
from cnnspec.data.inputs import samples_of
from cnnspec.errors import CnnspecError, InputError
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.live.feature_maps import FeatureMap, feature_map
from cnnspec.live.watcher import places
from cnnspec.runtime.build import Weights, prepare, read
from cnnspec.runtime.options import Execution
from cnnspec.training.prediction import class_names, label_probabilities, meaning, probabilities
from cnnspec.weights import files as weight_files
from cnnspec.weights import hub
from cnnspec.weights.start import started
from cnnspec.wording import format_shape, names

MOST_BYTES = 16_000_000
MOST_PIXELS = 1 << 24
"""4096 × 4096: a picture for a network is far smaller, and this one is decoded at every change of the spec."""
TOP = 5


class Picture(NamedTuple):
    """A picture as it was handed over: its name, and its pixels [c, h, w]."""

    name: str
    pixels: Array


class Ranked(NamedTuple):
    """The classes or labels of an output with their probabilities, the most probable first."""

    output: str
    how: str
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Computed:
    """What a network makes of a picture."""

    picture: str
    fitted: str
    """How the picture became the network's input, in words."""
    weights: str
    """Which weights these are, in words."""
    maps: tuple[FeatureMap, ...]
    outputs: tuple[Ranked, ...]
    remarks: tuple[str, ...] = ()


def decoded(data: bytes, name: str) -> Picture:
    """Return a picture of a PNG or JPEG file; raise InputError for any other, and for one that is too large."""
    called = name or "the picture"
    _, height, width = images.shape(io.BytesIO(data), called)  # from the header, before anything is decoded
    if height * width > MOST_PIXELS:
        raise InputError(f"`{called}` has {width:,} × {height:,} pixels; at most {MOST_PIXELS:,} are taken here")
    return Picture(called, images.decode(io.BytesIO(data), called))


def weight_files_of(weights: str | None, spec: Spec | None) -> set[Path]:
    """Return the files that the weights come from, whether they exist or not; those of a hub do not change."""
    named = weights or (spec.train.start if spec is not None and spec.train else None)
    if named is None or hub.is_reference(named):
        return set()
    found = places(named)
    try:
        return found | places(weight_files.find(named))
    except CnnspecError:  # computing reports it
        return found


def compute(
    spec: Spec, picture: Picture, weights: str | None, execution: Execution, checkpoint: Callable[[], None]
) -> Computed:
    """Return what the network makes of a picture; `checkpoint` is called after each layer, and may raise.

    Raises CnnspecError where the network takes no picture, or where the weights do not fit.
    """
    resizing = spec.resizing()
    if len(spec.inputs) > 1:
        raise InputError(f"the network has the inputs {names(list(spec.inputs))}, and a picture is a single one")
    if len(spec.input.shape) != 3:
        raise InputError(
            f"the network takes {format_shape(spec.input.shape)}, and no picture (channels, height, width)"
        )
    x = samples_of(picture.pixels, "image", picture.name, resizing.input)
    arrays, said = _weights(spec, weights, execution.seed)
    checkpoint()
    model = prepare(spec, execution, arrays)
    maps: list[FeatureMap] = []

    def record(name: str, value: Array) -> None:
        checkpoint()
        maps.append(feature_map(spec.graph.by_name[name], value[0]))

    y = model.run_with_hook(x, record)
    outputs = y if isinstance(y, dict) else {spec.graph.output_names[0]: y}
    broken = [name for name, value in outputs.items() if not np.isfinite(value).all()]
    ranked = [_ranked(spec, name, value[0]) for name, value in outputs.items() if name not in broken]
    remarks = (f"{names(broken)} has numbers that are NaN or infinite",) if broken else ()
    return Computed(
        picture.name,
        _fitting(picture.pixels.shape, spec.input.shape),
        said,
        tuple(maps),
        tuple(found for found in ranked if found is not None),
        remarks,
    )


def _weights(spec: Spec, given: str | None, seed: int) -> tuple[Weights, str]:
    """Return the weights to compute with, and which those are in words."""
    if given is not None:
        return given, f"weights {given}"
    train = spec.train or Train()
    if train.start is None:
        return None, f"initial weights, drawn at random from seed {seed}: not trained"
    arrays, origin = read(train.start)
    begun = started(spec.graph, arrays, train.replace, seed, origin)
    anew = f"; {', '.join(begun.replaced)} at random from seed {seed}" if begun.replaced else ""
    return begun.arrays, f"weights {train.start}, the `start` of the spec's training{anew}"


def _fitting(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    size = f"{found[2]}×{found[1]} pixels"
    if found == shape:
        return size
    changes = []
    if found[1:] != shape[1:]:
        changes.append(f"stretched to {shape[2]}×{shape[1]}")
    if found[0] in (2, 4):
        changes.append("transparency blended with white")
    if shape[0] == 1 and found[0] > 2:
        changes.append("colours turned to grey")
    if shape[0] == 3 and found[0] <= 2:
        changes.append("grey repeated for each colour")
    return f"{size}, {', '.join(changes)}" if changes else size


def _ranked(spec: Spec, output: str, y: Array) -> Ranked | None:
    """Return the most probable classes or labels of an output; None for one that holds something else."""
    node, kind = spec.graph.output_nodes[output], meaning(spec, output)
    if kind == "classes":
        found, how = probabilities(node, y)
    elif kind == "labels":
        found, how = label_probabilities(node, y), "probability of each label"
    else:
        return None
    called = class_names(spec, output)
    best = np.argsort(-found, kind="stable")[:TOP]
    return Ranked(output, how, tuple((called[i], float(found[i])) for i in best))
