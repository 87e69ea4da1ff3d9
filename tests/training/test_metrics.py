"""Metrics of each task, compared with scikit-learn's, and how batches and processes are added."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cnnspec.arrays import Array
from cnnspec.graph.training import L1, BinaryCrossEntropy, CrossEntropy, Dice, Loss, MeanSquaredError
from cnnspec.layers import Shape
from cnnspec.training.metrics import METRICS, Metrics, added, metrics_of
from cnnspec.training.trainer import Progress

sklearn = pytest.importorskip("sklearn.metrics", reason="the extra `data` is not installed")


def scores(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def classes(below: int, *shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).integers(0, below, shape)


def of(loss: Loss, y: Array, target: Array, batch: int = 7) -> Metrics:
    """The metrics of the samples, given in batches."""
    found = metrics_of(loss, y.shape[1:])
    for i in range(0, len(y), batch):
        found.add(y[i : i + batch], target[i : i + batch])
    return found


def test_classification() -> None:
    y, target = scores(200, 8), classes(8, 200)
    found = of(CrossEntropy(), y, target)
    values, predicted = found.values(), y.argmax(1)
    assert [*values] == ["loss", "accuracy", "top5_accuracy", "macro_f1"]
    assert values["accuracy"] == sklearn.accuracy_score(target, predicted)
    assert values["top5_accuracy"] == sklearn.top_k_accuracy_score(target, y, k=5)
    assert values["macro_f1"] == pytest.approx(sklearn.f1_score(target, predicted, average="macro"), rel=1e-12)
    assert found.confusion is not None
    assert (found.confusion == sklearn.confusion_matrix(target, predicted)).all()
    precision, recall, f1, samples = sklearn.precision_recall_fscore_support(target, predicted)
    columns = {"precision": precision, "recall": recall, "f1": f1, "samples": samples}
    for name, column in columns.items():
        assert [entry[name] for entry in found.per_class()] == pytest.approx(column, rel=1e-12)


def test_few_classes_have_no_top_5_and_ties_go_to_the_first() -> None:
    assert "top5_accuracy" not in of(CrossEntropy(), scores(9, 5), classes(5, 9)).values()
    constant = of(CrossEntropy(), np.zeros((8, 8), np.float32), np.arange(8)).values()
    assert (constant["accuracy"], constant["top5_accuracy"]) == (1 / 8, 5 / 8)


def test_a_class_that_is_nowhere_counts_in_no_mean() -> None:
    y = np.eye(4, dtype=np.float32)[[0, 1, 1, 2]]
    found = of(CrossEntropy(), y, np.array([0, 1, 1, 1]))
    # F1 of class 0 is 1, of class 1 2·2 / (3 + 2), of class 2 0, and class 3 is neither there nor predicted.
    assert found.values()["macro_f1"] == pytest.approx((1 + 0.8 + 0) / 3)
    assert found.per_class()[3] == {"samples": 0, "recall": None, "precision": None, "f1": None}


@pytest.mark.parametrize("loss", [CrossEntropy(ignore=255), Dice(ignore=255)])
def test_segmentation_without_the_ignored_class(loss: Loss) -> None:
    y, target = scores(20, 3, 6, 5), classes(3, 20, 6, 5).astype(np.uint8)
    target[:, 0] = 255
    found = of(loss, y, target)
    values = found.values()
    predicted, actual = y.argmax(1)[:, 1:].ravel(), target[:, 1:].ravel()
    assert values["accuracy"] == sklearn.accuracy_score(actual, predicted)
    each = sklearn.jaccard_score(actual, predicted, average=None)
    assert values["mean_iou"] == pytest.approx(each.mean(), rel=1e-12)
    assert [entry["iou"] for entry in found.per_class()] == pytest.approx(each, rel=1e-12)
    assert sum(entry["samples"] for entry in found.per_class()) == actual.size


@pytest.mark.parametrize("loss", [Dice(), BinaryCrossEntropy()])
def test_one_channel_is_two_classes(loss: Loss) -> None:
    y, target = scores(20, 1, 6, 5), classes(2, 20, 6, 5)
    values = of(loss, y, target if loss.targets == "classes" else target[:, None]).values()
    expected = sklearn.jaccard_score(target.ravel(), (y > 0).ravel(), average="macro")
    assert values["mean_iou"] == pytest.approx(expected, rel=1e-12)


def test_labels() -> None:
    y, target = scores(100, 5), classes(2, 100, 5).astype(np.uint8)
    found = of(BinaryCrossEntropy(), y, target)
    values, predicted = found.values(), y > 0
    assert values["accuracy"] == pytest.approx(1 - sklearn.hamming_loss(target, predicted), rel=1e-12)
    assert values["exact_match"] == sklearn.accuracy_score(target, predicted)
    assert values["macro_f1"] == pytest.approx(sklearn.f1_score(target, predicted, average="macro"), rel=1e-12)
    precision, recall, f1, samples = sklearn.precision_recall_fscore_support(target, predicted)
    for name, column in {"precision": precision, "recall": recall, "f1": f1, "samples": samples}.items():
        assert [entry[name] for entry in found.per_class()] == pytest.approx(column, rel=1e-12)
    assert values["loss"] == pytest.approx(
        np.mean([sklearn.log_loss(t, 1 / (1 + np.exp(-s.astype(float)))) for t, s in zip(target.T, y.T, strict=True)])
    )


@pytest.mark.parametrize("shape", [(1,), (3, 4, 4)])
def test_regression(shape: Shape) -> None:
    y, target = scores(50, *shape), scores(50, *shape, seed=2).astype(float)
    values = of(L1(), y, target).values()
    flat = target.reshape(50, -1), y.reshape(50, -1).astype(float)
    assert values["mae"] == pytest.approx(sklearn.mean_absolute_error(*flat), rel=1e-12)
    assert values["rmse"] == pytest.approx(sklearn.root_mean_squared_error(target.ravel(), y.ravel()), rel=1e-6)
    assert values["loss"] == pytest.approx(values["mae"], rel=1e-12)


CASES: list[tuple[Loss, Array, Array]] = [
    (CrossEntropy(class_weights=(1, 5, 0.1), ignore=2), scores(40, 3), classes(3, 40)),
    (CrossEntropy(ignore=0, label_smoothing=0.1), scores(40, 3, 4, 4), classes(3, 40, 4, 4)),
    (Dice(), scores(40, 3, 4, 4), classes(3, 40, 4, 4)),
    (BinaryCrossEntropy(positive_weight=(1, 2, 3)), scores(40, 3), classes(2, 40, 3)),
    (MeanSquaredError(), scores(40, 3), scores(40, 3, seed=3)),
]


@pytest.mark.parametrize(("loss", "y", "target"), CASES, ids=lambda value: getattr(value, "kind", ""))
def test_batches_and_processes_do_not_matter(loss: Loss, y: Array, target: Array) -> None:
    whole = of(loss, y, target, batch=40).values()
    assert of(loss, y, target, batch=3).values() == pytest.approx(whole, rel=1e-12)
    first, second = of(loss, y[:11], target[:11]), of(loss, y[11:], target[11:])
    first.merge(second.sums)
    first.merge(metrics_of(loss, y.shape[1:]).sums)  # a process without a sample
    assert first.values() == pytest.approx(whole, rel=1e-12)
    assert first.sums["samples"] == 40


@pytest.mark.parametrize(("loss", "y", "target"), CASES, ids=lambda value: getattr(value, "kind", ""))
def test_training_counts_what_evaluation_finds(loss: Loss, y: Array, target: Array) -> None:
    metric = metrics_of(loss, y.shape[1:])
    sums: dict[str, Any] = {}
    for i in range(0, 40, 9):
        sums = added(sums, metric.counts(y[i : i + 9], target[i : i + 9]))
    values = of(loss, y, target).values()
    found = metric.brief(sums)
    assert found == pytest.approx({name: values[name] for name in found})
    assert metric.main in found
    # In a checkpoint they are lists and numbers, to which the next batch is added.
    kept = json.loads(json.dumps(Progress(sums={"y": sums}).sums, default=lambda value: value.tolist()))["y"]
    assert metric.brief(kept) == found
    assert metric.brief(added(kept, metric.counts(y[:4], target[:4]))) == metric.brief(
        added(sums, metric.counts(y[:4], target[:4]))
    )


def test_probabilities_in_place_of_a_class() -> None:
    """Mixed samples count as their likeliest class, and positions without any class do not."""
    y = np.eye(3, dtype=np.float32)[[0, 1, 2]]
    target = np.array([[0.7, 0.3, 0], [0.9, 0.1, 0], [0, 0, 0]])
    metric = metrics_of(CrossEntropy(), (3,))
    assert metric.brief(metric.counts(y, target)) == {"accuracy": 0.5}


def test_no_sample_has_no_metric() -> None:
    for loss, y, _ in CASES:
        metric = metrics_of(loss, y.shape[1:])
        values = metric.values()
        assert values.pop("loss") == 0
        assert values == dict.fromkeys(values)
        assert {*values} <= {*METRICS}
        json.dumps(metric.per_class())
