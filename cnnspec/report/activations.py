"""The values of every layer for one sample: maps as levels, kept as they are computed, and the classes at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.data.named import NamedBatch
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.layers import Shape
from cnnspec.report import pictures
from cnnspec.runtime.model import Model
from cnnspec.training.prediction import class_names, meaning, pixels, probabilities
from cnnspec.view import sheets

MOST_CHANNELS = (16, 12, 8, 4)
"""Channels of a layer that are shown: the first number with which all layers together stay below `MOST_PIXELS`."""
MOST_PIXELS = 4_000_000
MOST_SIDE = 96
"""The longest side of a map that is shown; larger ones are shrunk."""
MOST_NUMBERS = 1024
"""Numbers of a vector that are shown."""
ROW = 32
"""Numbers of a vector in a row."""
TOP_CLASSES = 5


@dataclass(frozen=True)
class FeatureMap:
    """The values of a layer for one sample, as levels [h, w]."""

    layer: str
    shape: Shape
    levels: Array
    shown: int
    """Channels, or numbers of a vector, that are shown."""
    columns: int
    """Maps in a row; 0 where one picture shows everything."""
    low: float
    high: float
    """The least and the largest number of all channels."""
    zeros: float
    """The fraction of the numbers that are 0."""
    note: str = ""
    """What is left out beside channels."""


@dataclass(frozen=True)
class TopClasses:
    """The classes with the largest probabilities of an output."""

    output: str
    rows: tuple[tuple[str, float], ...]
    how: str
    """How probabilities are computed."""


@dataclass(frozen=True)
class FeatureMaps:
    """The values of every layer for the first sample of an input."""

    source: str
    others: int
    """Further samples that were given, and are not shown."""
    maps: tuple[FeatureMap, ...]
    most_channels: int
    pictures: Mapping[str, Array]
    """The sample as pixels [c, h, w], of each input that is a picture."""
    top: tuple[TopClasses, ...]


def feature_maps(spec: Spec, model: Model, data: NamedBatch) -> FeatureMaps:
    """Run the first sample layer by layer, and keep of each layer what is shown."""
    first = {name: array[:1] for name, array in data.x.items()}
    most = channels_for(spec.graph)
    found: dict[str, FeatureMap] = {}
    outputs = model.run_with_hook(first, lambda name, value: found.update({name: feature_map(name, value[0], most)}))
    by_name: Arrays = outputs if isinstance(outputs, dict) else {spec.graph.output_names[0]: outputs}
    shown = {name: pixels(x[0], spec.inputs[name]) for name, x in first.items() if pictures.is_picture(x.shape[1:])}
    maps = tuple(found[node.name] for node in spec.graph.nodes)
    return FeatureMaps(data.sources[0], data.n - 1, maps, most, shown, tuple(_top(spec, by_name)))


def channels_for(graph: Graph) -> int:
    """Return how many channels of each layer are shown, so that all pictures together stay small."""

    def size(most: int) -> int:
        maps = (node.shape for node in graph.nodes if len(node.shape) == 3)
        return sum(min(c, most) * min(h, MOST_SIDE) * min(w, MOST_SIDE) for c, h, w in maps)

    return next((most for most in MOST_CHANNELS if size(most) <= MOST_PIXELS), MOST_CHANNELS[-1])


def feature_map(name: str, value: Array, most: int) -> FeatureMap:
    """Return the value of a layer for one sample as levels: [c, h, w], [f], [c, l] or [c, d, h, w]."""
    note = ""
    if value.ndim == 4:
        note = f"the plane in the middle of {value.shape[1]}"
        maps = value[:most, value.shape[1] // 2]
    elif value.ndim == 3:
        maps = value[:most]
    else:
        return _one_picture(name, value)
    columns = math.ceil(math.sqrt(len(maps)))
    small = sheets.shrunk(maps, MOST_SIDE)
    if small.shape != maps.shape:
        note = ", ".join(filter(None, [note, f"shrunk to {small.shape[1]}×{small.shape[2]}"]))
    sheet = sheets.side_by_side(pictures.normalised(small), columns)
    return FeatureMap(name, value.shape, sheet, len(maps), columns, *_about(value), note)


def _one_picture(name: str, value: Array) -> FeatureMap:
    """Return a vector in rows, or a sequence [c, l] with a row for each channel, as one picture."""
    if value.ndim == 2:
        rows = sheets.shrunk(value[None, :MOST_SIDE], 4 * MOST_SIDE)
        return FeatureMap(name, value.shape, pictures.normalised(rows)[0], rows.shape[1], 0, *_about(value))
    kept = value[:MOST_NUMBERS]
    levels = pictures.normalised(kept[None, None])[0, 0]
    width = min(ROW, len(kept))
    sheet = np.full((math.ceil(len(kept) / width), width), sheets.GAP, np.uint8)
    sheet.flat[: len(kept)] = levels
    return FeatureMap(name, value.shape, sheet, len(kept), 0, *_about(value))


def _about(value: Array) -> tuple[float, float, float]:
    return float(value.min()), float(value.max()), float(np.mean(value == 0))


def _top(spec: Spec, outputs: Mapping[str, Array]) -> Sequence[TopClasses]:
    found = []
    for name, y in outputs.items():
        if meaning(spec, name) != "classes":
            continue
        chances, how = probabilities(spec.graph.output_nodes[name], y[0])
        names = class_names(spec, name)
        order = np.argsort(-chances, kind="stable")[:TOP_CLASSES]
        found.append(TopClasses(name, tuple((names[i], float(chances[i])) for i in order), how))
    return found
