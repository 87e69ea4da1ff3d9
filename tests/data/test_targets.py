"""Targets of every loss: the forms that are taken, and what is said about others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.arrays import Array
from cnnspec.data import DataError, open_dataset

VECTOR, LABELS, NUMBER = "dense: 3", "dense: 4", "dense: 1"
MAP, CHANNEL = "conv: {channels: 3, kernel: 1}", "conv: {channels: 1, kernel: 1}"
HUNDREDS = np.arange(5 * 16).reshape(5, 4, 4) % 100


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def targets(y: Array, last: str, loss: str) -> Any:
    np.savez("data.npz", x=np.zeros((len(y), 1, 4, 4), np.uint8), y=y)
    flat = "" if last.startswith("conv") else "flatten, "
    spec = cnnspec.loads(f"{{name: net, input: [1, 4, 4], layers: [{flat}{last}], train: {{loss: {loss}}}}}")
    return open_dataset("data.npz", spec).train.targets  # type: ignore[attr-defined]


def message(y: Array, last: str, loss: str) -> str:
    with pytest.raises(DataError) as caught:
        targets(y, last, loss)
    return str(caught.value)


@pytest.mark.parametrize(
    ("y", "last", "loss", "shape", "dtype"),
    [
        (np.arange(5, dtype=np.uint8) % 3, VECTOR, "cross_entropy", (5,), np.int64),
        (np.arange(5)[:, None] % 3, VECTOR, "cross_entropy", (5,), np.int64),
        (np.array([0, 1, 2, 9, 1]), VECTOR, "{cross_entropy: {ignore: 9}}", (5,), np.int64),
        (np.ones((5, 4, 4), np.uint8), MAP, "cross_entropy", (5, 4, 4), np.uint8),
        (np.ones((5, 1, 4, 4), np.int16), MAP, "dice", (5, 4, 4), np.int16),
        (np.full((5, 4, 4), 255, np.uint8), MAP, "{dice: {ignore: 255}}", (5, 4, 4), np.uint8),
        (np.ones((5, 4, 4), bool), CHANNEL, "dice", (5, 4, 4), np.uint8),
        (np.ones((5, 4), np.uint8), LABELS, "binary_cross_entropy", (5, 4), np.uint8),
        (np.full((5, 4), 0.3), LABELS, "binary_cross_entropy", (5, 4), np.float64),
        (np.ones((5, 4, 4), bool), CHANNEL, "binary_cross_entropy", (5, 1, 4, 4), np.uint8),
        (np.ones(5, bool), NUMBER, "binary_cross_entropy", (5, 1), np.uint8),
        (np.arange(5), NUMBER, "l1", (5, 1), np.float64),
        (np.ones((5, 4, 4), np.float32), CHANNEL, "huber", (5, 1, 4, 4), np.float64),
    ],
)
def test_what_fits(y: Array, last: str, loss: str, shape: tuple[int, ...], dtype: type) -> None:
    found = targets(y, last, loss)
    assert (found.shape, found.dtype) == (shape, dtype)
    assert (found.ravel() == y.ravel()).all()


@pytest.mark.parametrize(
    ("y", "last", "loss", "said"),
    [
        (np.zeros(5, int), MAP, "cross_entropy", "cross-entropy takes a class for each position of 4×4: give a mask"),
        (
            np.zeros((5, 8, 8), int),
            MAP,
            "dice",
            "[5, 8, 8], and the dice loss takes a class for each position of 4×4: ",
        ),
        (np.zeros((5, 8, 8), int), MAP, "dice", "makes maps of 4×4, and masks have the same size"),
        (np.zeros((5, 4, 4)), MAP, "dice", "has float64 targets [5, 4, 4]"),
        (np.zeros((5, 4, 4)), MAP, "dice", "save class indices as integers"),
        (np.zeros((5, 3, 4, 4)), MAP, "cross_entropy", "in one-hot form, save y.argmax(axis=1)"),
        (np.zeros((5, 4, 4, 3)), MAP, "cross_entropy", "in one-hot form, save y.argmax(axis=-1)"),
        (np.zeros((5, 4, 4), int), VECTOR, "cross_entropy", "for each sample: for a class at each position, let"),
        (HUNDREDS, MAP, "cross_entropy", "has 77 labels that are none of the 3 classes of `net` (0 to 2)"),
        (HUNDREDS, MAP, "cross_entropy", "the first is 3, of sample 0 at [0, 3]"),
        (np.eye(4, dtype=np.uint8)[None] * 255, MAP, "dice", ": for a mask of 0 and 255, save y // 255"),
        (np.eye(4, dtype=np.uint8)[None] * 255, CHANNEL, "dice", ": for a mask of 0 and 255, save y // 255"),
        (np.array([[[0, 1, 2, 255]] * 4]), MAP, "dice", "what does not count, `loss: {dice: {ignore: 255}}`"),
        (np.arange(5) % 4, LABELS, "binary_cross_entropy", "binary cross-entropy compares labels with the output [4]"),
        (np.arange(5) % 4, LABELS, "binary_cross_entropy", "for the class of each sample use `loss: cross_entropy`"),
        (np.full((5, 4), 255, np.uint8), LABELS, "binary_cross_entropy", ": for 0 and 255, save y // 255"),
        (np.array([[0, 0, 1.5, -1]]), LABELS, "binary_cross_entropy", "has 2 labels that are not from 0 to 1"),
        (np.array([[0, 0, 1.5, -1]]), LABELS, "binary_cross_entropy", "the first is 1.5, of sample 0"),
        (np.full((5, 4), np.nan), LABELS, "binary_cross_entropy", "holds 20 numbers that are NaN"),
        (np.arange(5), VECTOR, "l1", "has classes as targets (int64), and the mean absolute error compares numbers"),
        (np.zeros((5, 2)), VECTOR, "huber", "targets of [2], and `net` has the output [3]; the Huber loss compares"),
        (np.zeros(5, int), VECTOR, "dice", "the dice loss needs a map of scores for each class; the output is 3: end"),
        (np.zeros(5, int), NUMBER, "cross_entropy", "the output is one number: end it with a `dense` that has a unit"),
        (np.zeros(5, int), VECTOR, "{cross_entropy: {class_weights: [1, 2]}}", "output is 3: give 3 numbers, one for"),
        (np.zeros((5, 4)), LABELS, "{binary_cross_entropy: [1, 2]}", "give one number, or 4, one for each label"),
    ],
)
def test_what_does_not_fit(y: Array, last: str, loss: str, said: str) -> None:
    found = message(y, last, loss)
    assert said in found
    assert len(found) < 300


def test_one_array_for_losses_of_different_forms() -> None:
    spec = cnnspec.loads(
        "{name: net, input: [4], outputs: [a, b], layers: [dense: {units: 2, name: a}, dense: {units: 1, name: b}], "
        "train: {losses: {a: cross_entropy, b: l1}}}"
    )
    np.savez("data.npz", x=np.zeros((5, 4), np.float32), y=np.arange(5) % 2)
    found = open_dataset("data.npz", spec).train.targets  # type: ignore[attr-defined]
    assert {name: array.shape for name, array in found.items()} == {"a": (5,), "b": (5, 1)}
