"""Lints of the `train:` section: schedules, augmentation, weight decay, and the named dataset."""

from __future__ import annotations

from collections.abc import Iterator

from cnnspec.diagnostics import Edit, Fix
from cnnspec.graph.training import Train
from cnnspec.graph.training.augment import RandomCrop, Shift
from cnnspec.graph.training.datasets import DATASETS, Dataset
from cnnspec.graph.training.schedules import Milestones, Schedule, Step
from cnnspec.language.lints.subject import Subject
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import a_count, format_shape, nearest


def schedule_beyond_training(subject: Subject, train: Train, text: YamlNode) -> None:
    """Warn of a warm-up or a step that training does not reach."""
    for field, epoch, what in _times(train.schedule):
        if epoch >= train.epochs:
            message = f"{what}, and training has {a_count(train.epochs, 'epoch')}"
            span = text.at(("schedule", train.schedule.kind, field))
            subject.document.scope.warning("schedule-beyond-training", message, span)


def _times(schedule: Schedule) -> Iterator[tuple[str, float, str]]:
    """Yield the fields of a schedule that say when something happens: the field, the epoch, and what happens."""
    if schedule.warmup:
        yield "warmup", schedule.warmup, f"the warm-up takes {a_count(schedule.warmup, 'epoch')}"
    if isinstance(schedule, Step):
        yield "every", schedule.every, f"the learning rate first drops after {a_count(schedule.every, 'epoch')}"
    if isinstance(schedule, Milestones):
        last = max(schedule.at)
        yield "at", last, f"the learning rate last drops after {a_count(last, 'epoch')}"


def large_shift(subject: Subject, train: Train, text: YamlNode) -> None:
    """Warn of a shift by more than half of the image."""
    shapes = [settings.shape for settings in subject.spec.inputs.values()]
    if len(shapes) != 1 or len(shapes[0]) < 2:
        return
    side = min(shapes[0][1:])
    for transform in train.augment:
        pixels = transform.pixels if isinstance(transform, Shift) else 0
        pixels = transform.pad if isinstance(transform, RandomCrop) else pixels
        if 2 * pixels > side:
            message = (
                f"`{transform.kind}` moves images by up to {pixels} pixels, and they are {format_shape(shapes[0][1:])}"
            )
            subject.document.scope.warning(
                "large-shift", message, text.at(("augment",)), help="most of it is then zeros"
            )


def large_weight_decay(subject: Subject, train: Train, text: YamlNode) -> None:
    """Warn of a weight decay above 1."""
    decay = train.optimizer.weight_decay
    if decay > 1:
        message = f"a weight decay of {decay:g} takes the weights to zero"
        span = text.at(("optimizer", train.optimizer.kind, "weight_decay"))
        remedy = "it is usually between 1e-5 and 0.1"
        subject.document.scope.warning("large-weight-decay", message, span, help=remedy)


def dataset(subject: Subject, train: Train, text: YamlNode) -> None:
    """Warn of a network that a named dataset does not fit, and of a name that is nearly that of a dataset."""
    if train.data is None:
        return
    span, scope = text.at(("data",)), subject.document.scope
    known = DATASETS.get(train.data)
    if known is not None:
        for message, remedy in _misfits(subject, train, known):
            scope.warning("dataset-mismatch", message, span, help=remedy)
        return
    near = nearest(train.data.casefold().replace("_", "-"), DATASETS)
    if near and not any(mark in train.data for mark in "/\\."):
        message = f"no dataset is called `{train.data}`, and a directory of that name is read"
        fixes = [Fix(f"replace `{train.data}` with `{near}`", (Edit(span, near),))] if span.text == train.data else []
        scope.warning("unknown-dataset", message, span, help=f"did you mean `{near}`?", fixes=fixes)


def _misfits(subject: Subject, train: Train, known: Dataset) -> Iterator[tuple[str, str]]:
    spec, name = subject.spec, train.data
    if not spec.graph.has_one_of_each:
        return
    shape, output = spec.input.shape, spec.graph.output.shape
    if len(shape) == len(known.shape):
        if shape[0] != known.shape[0]:
            message = f"the input has {a_count(shape[0], 'channel')}, and the images of {name} have {known.shape[0]}"
            yield message, f"`input: {list(known.shape)}`"
        elif shape[1:] != known.shape[1:] and spec.input.fit == "exact":
            sizes = format_shape(known.shape[1:])
            message = f"the input is {format_shape(shape[1:])}, and the images of {name} are {sizes}"
            yield message, "`fit: resize` or `fit: pad` in `input`, or another input"
    if train.target is not None or train.loss.targets != "classes":
        return
    if len(output) > 1:
        message = f"the output is a map of {format_shape(output)}, and {name} has one class for each image"
        yield message, "`global_avg_pool`, or `flatten` and `dense`, before the end"
    elif output[0] != known.classes:
        yield f"the network has {a_count(output[0], 'output')}, and {name} has {known.classes} classes", ""
