"""Predictions: the outputs of a network for any number of files, read as what its loss makes of them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.data import inputs
from cnnspec.data.pictures import PICTURES
from cnnspec.diagnostics import Source
from cnnspec.errors import InputError
from cnnspec.graph.graph import Node
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.language.load import load_spec
from cnnspec.runtime.build import Weights, itemsize, prepare
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.model import Model
from cnnspec.runtime.options import Execution

Meaning = Literal["classes", "labels", "numbers", "mask", "image"]
BATCH = 64
_AHEAD = 4
"""Files that are decoded ahead, for each thread."""


@dataclass(frozen=True)
class Prediction:
    """The outputs for one sample."""

    source: str
    """The file of the sample, with its position where a file holds several: `digits.npz[3]`."""
    outputs: Arrays
    """The output of the network by name, without the axis of the batch."""


@dataclass
class Reader:
    """The samples of files, in order, decoded by threads while the network computes."""

    files: Iterable[str | Path]
    input: Input
    skip_broken: bool = False
    broken: list[str] = field(default_factory=list)
    """The messages of the files that were skipped."""

    def samples(self) -> Iterator[tuple[str, Array]]:
        """Yield the source of each sample and its numbers; raise InputError for a file that does not fit."""
        threads = min(8, os.cpu_count() or 1)
        pending: deque[Future[inputs.Batch | InputError]] = deque()
        with ThreadPoolExecutor(threads, "decode") as pool:
            try:
                for file in self.files:
                    pending.append(pool.submit(self._read, file))
                    if len(pending) > threads * _AHEAD:
                        yield from self._of(pending.popleft())
                while pending:
                    yield from self._of(pending.popleft())
            finally:
                for one in pending:
                    one.cancel()

    def _read(self, file: str | Path) -> inputs.Batch | InputError:
        try:
            return inputs.read([file], self.input)
        except InputError as error:
            return error

    def _of(self, future: Future[inputs.Batch | InputError]) -> Iterator[tuple[str, Array]]:
        found = future.result()
        if isinstance(found, InputError):
            if not self.skip_broken:
                raise found
            self.broken.append(str(found))
        else:
            yield from zip(found.sources, found.x, strict=True)


def expanded(files: Iterable[str | Path]) -> list[str]:
    """Return files, and in place of each folder the images below it, sorted; raise InputError for one without any."""
    found: list[str] = []
    for file in files:
        if not Path(file).is_dir():
            found.append(str(file))
            continue
        below = [
            Path(place) / name
            for place, _, names in os.walk(file)
            for name in names
            if Path(name).suffix.lower() in PICTURES and not name.startswith(".")
        ]
        if not below:
            raise InputError(f"`{file}` holds no {', '.join(PICTURES)} files")
        found += map(str, sorted(below))
    return found


def predictions(
    model: Model,
    samples: Iterable[tuple[str, Array]],
    batch: int = BATCH,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[Prediction]:
    """Yield the prediction of each sample, computed in batches; `on_batch` is called with the size of each."""
    held: list[tuple[str, Array]] = []
    for sample in samples:
        held.append(sample)
        if len(held) == batch:
            yield from _of_batch(model, held, on_batch)
            held = []
    if held:
        yield from _of_batch(model, held, on_batch)


def _of_batch(
    model: Model, held: list[tuple[str, Array]], on_batch: Callable[[int], None] | None
) -> Iterator[Prediction]:
    outputs = model.run({model.graph.input.name: np.stack([x for _, x in held])})
    for i, (source, _) in enumerate(held):
        yield Prediction(source, {name: y[i] for name, y in outputs.items()})
    if on_batch:
        on_batch(len(held))


def predict(
    spec: str | Path | Source | Spec,
    files: Iterable[str | Path],
    *,
    weights: Weights,
    batch: int = BATCH,
    backend: str = Execution.backend,
    device: str = Execution.device,
    dtype: str = Execution.dtype,
    resize: bool = False,
    skip_broken: bool = False,
    params: dict[str, Any] | None = None,
    memory_limit: int | None = Execution.memory_limit,
    options: dict[str, Any] | None = None,
) -> Iterator[Prediction]:
    """Yield the prediction for each sample of files and folders, in order; memory does not grow with their number.

    Raises InputError for a file that is broken or does not fit, unless `skip_broken`.
    """
    loaded = load_spec(spec, params, resize)
    execution = Execution(backend, device, dtype, memory_limit=memory_limit, options=options or {})
    model = prepared(loaded, execution, weights, batch)
    reader = Reader(expanded(files), loaded.input, skip_broken)
    return predictions(model, reader.samples(), batch)


def prepared(spec: Spec, execution: Execution, weights: Weights, batch: int) -> Model:
    """Return the model for batches of that size; raise InputError where the network has several inputs."""
    if len(spec.inputs) > 1:
        raise InputError(
            f"`{spec.name}` has the inputs {', '.join(spec.inputs)}, and predictions are of single files: use "
            "`cnnspec run`, which takes a file for each"
        )
    check_memory(spec.graph, batch, itemsize(execution), execution.memory_limit)
    return prepare(spec, execution, weights)


# What an output says


def meaning(spec: Spec, output: str) -> Meaning:
    """Return how an output is read: by its loss, or by its shape and the names of classes where it has none."""
    node = spec.graph.output_nodes[output]
    is_map = len(node.shape) > 1
    loss = spec.losses.get(output) if spec.train else None
    if loss is None:
        named = bool(spec.classes_of.get(output))
        if is_map:
            return "mask" if named else "numbers"
        return "classes" if node.shape[0] > 1 else "numbers"
    match loss.task(node.shape):
        case "classification":
            return "classes"
        case "segmentation":
            return "mask"
        case "multi-label":
            return "numbers" if is_map else "labels"
        case "regression":
            return "image" if len(node.shape) == 3 and node.shape[0] in (1, 3) else "numbers"


def class_names(spec: Spec, output: str) -> tuple[str, ...]:
    """Return the names of the numbers or channels of an output: those of its classes, or their indices."""
    names = spec.classes_of.get(output, ())
    return names or tuple(map(str, range(spec.graph.output_nodes[output].shape[0])))


def probabilities(last: Node, y: Array) -> tuple[Array, str]:
    """Return an output as probabilities of the classes, along its axis 0 or, of a batch, 1; and how it was computed."""
    axis = y.ndim - len(last.shape)
    y = y.astype(np.float64)
    if last.layer.normalises_classes:
        return (y if (y >= 0).all() else np.exp(y)), last.kind
    e = np.exp(y - y.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True), "softmax of the outputs"


def label_probabilities(last: Node, y: Array) -> Array:
    """Return an output as the probability of each label: σ(y), or y itself behind a sigmoid."""
    found: Array = y.astype(np.float64)
    if last.kind != "sigmoid":
        found = (np.tanh(found / 2) + 1) / 2
    return found


def mask(last: Node, y: Array) -> Array:
    """Return the class of each position: y [c, ...] -> [...], uint8 for up to 256 classes, else int32."""
    found: Array = label_probabilities(last, y[0]) > 0.5 if len(y) == 1 else y.argmax(axis=0)
    return found.astype(np.uint8 if len(y) <= 256 else np.int32)


def pixels(y: Array, given: Input) -> Array:
    """Return an output image as pixels, the inverse of the scaling of the input: y [c, h, w] -> [c, h, w], uint8."""
    axes = (-1, 1, 1)
    mean, std = np.reshape(given.mean, axes), np.reshape(given.std, axes)
    scaled = (y.astype(np.float64) * std + mean) / given.scale
    found: Array = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    return found
