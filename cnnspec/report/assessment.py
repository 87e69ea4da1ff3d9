"""The result of a run on its evaluation data: metrics, the most confident mistakes, and units that never fire."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.data import Dataset, Loader, Split
from cnnspec.data.options import DataOptions
from cnnspec.data.split import Subset
from cnnspec.errors import DataError
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Loss
from cnnspec.report import pictures
from cnnspec.runtime.build import itemsize
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.model import Model
from cnnspec.runtime.options import Execution
from cnnspec.training.evaluation import Evaluation, evaluate_split
from cnnspec.training.evaluator import part_of
from cnnspec.training.prediction import pixels, probabilities
from cnnspec.training.run import opened_data

MOST_MISTAKES = 24


@dataclass(frozen=True)
class Mistake:
    """A sample whose class was not recognised."""

    index: int
    """In the split."""
    actual: int
    predicted: int
    probability: float
    """Of the predicted class."""
    picture: Array | None = None
    """Pixels [c, h, w]; None where samples are no pictures."""


@dataclass(frozen=True)
class DeadUnits:
    """The units of a layer whose output was 0 for every sample; of maps, at every position."""

    layer: str
    units: int
    dead: tuple[int, ...]


@dataclass(frozen=True)
class Assessment:
    """What is computed from the evaluation data of a run."""

    data: str
    split: str
    samples: int
    of: int
    """Samples of the split, of which `samples` were evaluated."""
    outputs: Mapping[str, Evaluation]
    classes: Mapping[str, Sequence[str]]
    """The names of the classes of each output that has some."""
    mistakes: Mapping[str, Sequence[Mistake]]
    """The most confident ones of each output that classifies, and how many there were in all."""
    mistaken: Mapping[str, int]
    dead: Sequence[DeadUnits]
    loss: float


class Watcher:
    """Looks on while a split is evaluated, and keeps the mistakes and which units fire."""

    def __init__(self, graph: Graph, losses: Mapping[str, Loss]) -> None:
        nodes = graph.output_nodes
        self.outputs = {
            name: nodes[name] for name, loss in losses.items() if loss.task(nodes[name].shape) == "classification"
        }
        self.ignored = {name: losses[name].ignored for name in self.outputs}
        self.fires = {node.name: np.zeros(node.shape[0], bool) for node in graph.nodes if can_be_silent(node)}
        self.kept: dict[str, list[tuple[float, int, int, int]]] = {name: [] for name in self.outputs}
        self.mistaken = dict.fromkeys(self.outputs, 0)

    def layer(self, name: str, value: Array) -> None:
        """Note which units of a layer fire for a batch: [n, c, ...]."""
        if name in self.fires:
            self.fires[name] |= (value != 0).any(axis=(0, *range(2, value.ndim)))

    def batch(self, outputs: Arrays, target: Array | Arrays, indices: Array) -> None:
        """Keep the most confident mistakes of a batch."""
        for name, node in self.outputs.items():
            wanted = target[name] if isinstance(target, dict) else target
            actual = wanted if wanted.ndim == 1 else wanted.argmax(axis=1)
            chances, _ = probabilities(node, outputs[name])
            predicted = chances.argmax(axis=1)
            wrong = (predicted != actual) & (actual != self.ignored[name])
            self.mistaken[name] += int(np.count_nonzero(wrong))
            for i in np.flatnonzero(wrong):
                found = (float(chances[i, predicted[i]]), -int(indices[i]), int(actual[i]), int(predicted[i]))
                heapq.heappush(self.kept[name], found)
                if len(self.kept[name]) > MOST_MISTAKES:
                    heapq.heappop(self.kept[name])

    def mistakes(self, name: str) -> list[Mistake]:
        """Return the most confident mistakes of an output, the most confident first."""
        best = sorted(self.kept[name], reverse=True)
        return [Mistake(-index, actual, predicted, chance) for chance, index, actual, predicted in best]

    @property
    def dead(self) -> list[DeadUnits]:
        """The layers that can be silent, each with the units that never fired."""
        return [
            DeadUnits(name, len(fires), tuple(map(int, np.flatnonzero(~fires)))) for name, fires in self.fires.items()
        ]


def can_be_silent(node: Node) -> bool:
    """Return whether a unit of a layer can be 0 over a range of inputs: of piecewise activations, such as `relu`."""
    return bool(node.inputs) and node.layer.elementwise and node.layer.piecewise and not node.layer.linear


def assess(
    spec: Spec,
    model: Model,
    data: Dataset | DataOptions,
    execution: Execution,
    *,
    samples: int | None = None,
    batch: int = 64,
) -> Assessment:
    """Evaluate a model layer by layer on the test data, or else on what training holds out, or on the training data.

    At most so many `samples`, evenly spaced, are evaluated. Raises DataError where the data is not at hand.
    """
    dataset = opened_data(data, spec, "evaluate")
    name, split = _evaluated(dataset, spec)
    check_memory(spec.graph, batch, itemsize(execution), execution.memory_limit)
    chosen = split
    if samples is not None and samples < split.n:
        chosen = Subset(split, np.linspace(0, split.n - 1, samples).round().astype(np.intp))
    watcher = Watcher(spec.graph, spec.losses)
    workers = data.workers if isinstance(data, DataOptions) else DataOptions.workers
    with Loader(workers) as loader:
        found = evaluate_split(model, chosen, spec.losses, batch, loader=loader, observer=watcher)
    outputs = found.outputs or {spec.graph.output_names[0]: found}
    return Assessment(
        dataset.name,
        name,
        found.samples,
        split.n,
        outputs,
        {
            output: one.class_names(spec.classes_of.get(output, ()), dataset.classes)
            for output, one in outputs.items()
            if one.classes
        },
        {output: _with_pictures(watcher.mistakes(output), chosen, spec) for output in watcher.outputs},
        watcher.mistaken,
        watcher.dead,
        found.loss,
    )


def _evaluated(dataset: Dataset, spec: Spec) -> tuple[str, Split]:
    """Return the part of a dataset that tells the most about a run, and its name."""
    for name in ("test", "validation"):
        try:
            return name, part_of(dataset, spec, name)
        except DataError:
            continue
    return "train", part_of(dataset, spec, "train")


def _with_pictures(mistakes: Sequence[Mistake], split: Split, spec: Spec) -> list[Mistake]:
    if not mistakes or len(spec.inputs) > 1 or not pictures.is_picture(spec.input.shape):
        return list(mistakes)
    x, _ = split.load(np.array([mistake.index for mistake in mistakes]))
    assert isinstance(x, np.ndarray)
    return [replace(one, picture=pixels(sample, spec.input)) for one, sample in zip(mistakes, x, strict=True)]
