"""Mixup and cutmix: what they make of samples and targets, and how often."""

from __future__ import annotations

import numpy as np
import pytest
from augmented import pixels
from hypothesis import given
from hypothesis import strategies as st

import cnnspec
from cnnspec.arrays import Array
from cnnspec.data import DataError
from cnnspec.data.augment import mixing_of
from cnnspec.data.augment.mix import Mixing
from cnnspec.graph.training import Train

CLASSIFIER = "input: [2, 9, 12]\nlayers: [flatten, dense: 4]\ntrain: {%s}"
SEGMENTER = "input: [2, 9, 12]\nlayers: [conv: {channels: 4, kernel: 1}]\ntrain: {%s}"


def mixing(text: str) -> Mixing:
    spec = cnnspec.loads(text)
    found = mixing_of(spec.train or Train(), spec.graph)
    assert found is not None
    return found


def batch(n: int = 7) -> tuple[Array, Array]:
    return np.random.default_rng(0).random((n, 2, 9, 12), np.float32), np.arange(n) % 4


def test_mixup_is_a_weighted_mean_of_two_samples_and_of_their_classes() -> None:
    x, y = batch()
    rows = np.arange(7)
    mix = mixing(CLASSIFIER % "mixup: 0.4").draw(7, 0, 3)
    assert mix.box is None
    assert sorted(mix.partners) == list(range(7))
    mixed, target = mix.applied(x, y, rows, mix.partners)
    assert mixed.dtype == np.float32
    for i, j in enumerate(mix.partners):
        np.testing.assert_allclose(mixed[i], mix.part * x[i] + (1 - mix.part) * x[j], rtol=1e-6)
        wanted = mix.part * np.eye(4)[y[i]] + (1 - mix.part) * np.eye(4)[y[j]]
        np.testing.assert_allclose(target["dense1"][i], wanted)


def test_cutmix_pastes_a_box_whose_area_is_the_part_of_the_other_class() -> None:
    x, y = batch()
    how = mixing(CLASSIFIER % "cutmix: 1.0")
    areas = []
    for step in range(200):
        mix = how.draw(7, 1, step)
        mixed, target = mix.applied(x, y, np.arange(7), mix.partners)
        for i, j in enumerate(mix.partners):
            if i != j:
                from_other = (mixed[i] == x[j]).all(0)
                assert ((mixed[i] == x[i]).all(0) | from_other).all()
                rows, columns = np.flatnonzero(from_other.any(1)), np.flatnonzero(from_other.any(0))
                assert from_other.sum() == len(rows) * len(columns)
                other = from_other.mean()
                wanted = (1 - other) * np.eye(4)[y[i]] + other * np.eye(4)[y[j]]
                np.testing.assert_allclose(target["dense1"][i], wanted)
        areas.append(1 - mix.part)
    assert min(areas) < 0.05
    assert max(areas) > 0.7


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_parts_have_the_beta_distribution(alpha: float) -> None:
    parts = np.array([mixing(CLASSIFIER % f"mixup: {alpha}").draw(5, 0, step).part for step in range(3000)])
    assert abs(parts.mean() - 0.5) < 0.02
    assert parts.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_of_both_each_is_as_likely() -> None:
    how = mixing(CLASSIFIER % "mixup: 0.2, cutmix: 1.0")
    cuts = sum(how.draw(5, 0, step).box is not None for step in range(1000))
    assert 440 < cuts < 560


def test_seed_epoch_and_step_decide() -> None:
    found = {
        (mix.part, tuple(mix.partners))
        for seed in (0, 1)
        for epoch in (0, 1)
        for step in (0, 1)
        for mix in [mixing(CLASSIFIER % f"mixup: 1.0, seed: {seed}").draw(9, epoch, step)]
    }
    assert len(found) == 8
    assert mixing(CLASSIFIER % "mixup: 1.0").draw(9, 1, 2).part == mixing(CLASSIFIER % "mixup: 1.0").draw(9, 1, 2).part


@given(step=st.integers(0, 50), data=st.data())
def test_some_rows_are_mixed_as_all_are(step: int, data: st.DataObject) -> None:
    x, y = batch()
    mix = mixing(CLASSIFIER % "mixup: 1.0, cutmix: 1.0").draw(7, 0, step)
    whole, targets = mix.applied(x, y, np.arange(7), mix.partners)
    some = np.array(data.draw(st.lists(st.integers(0, 6), unique=True)), np.intp)
    found, target = mix.applied(x, y, some, mix.partners[some])
    assert np.array_equal(found, whole[some])
    assert np.array_equal(target["dense1"], targets["dense1"][some])


def test_cutmix_pastes_the_mask_with_its_image() -> None:
    masks = pixels(7, 9, 12) % 4
    mix = mixing(SEGMENTER % "cutmix: 1.0").draw(7, 0, 0)
    mixed, target = mix.applied(np.repeat(masks[:, None], 2, 1), masks, np.arange(7), mix.partners)
    assert target["conv1"].dtype == masks.dtype
    assert np.array_equal(mixed[:, 0], target["conv1"])
    assert (target["conv1"] != masks).any()


def test_numbers_and_labels_are_mixed_as_samples_are() -> None:
    x, _ = batch()
    y = np.random.default_rng(1).random((7, 4))
    for loss in ("mean_squared_error", "binary_cross_entropy"):
        mix = mixing(CLASSIFIER % f"mixup: 0.4, loss: {loss}").draw(7, 0, 0)
        _, target = mix.applied(x, y, np.arange(7), mix.partners)
        np.testing.assert_allclose(target["dense1"], mix.part * y + (1 - mix.part) * y[mix.partners])


def test_an_ignored_class_counts_nothing() -> None:
    how = mixing(CLASSIFIER % "mixup: 0.4, loss: {cross_entropy: {ignore: 2}}")
    mix = how.draw(7, 0, 0)
    y = np.array([2, 2, 2, 0, 1, 3, 2])
    _, target = mix.applied(batch()[0], y, np.arange(7), mix.partners)
    counts = mix.part * (y != 2) + (1 - mix.part) * (y != 2)[mix.partners]
    np.testing.assert_allclose(target["dense1"].sum(1), counts)


def test_several_inputs_and_outputs() -> None:
    spec = cnnspec.loads("""
inputs: {left: [3], right: [3]}
outputs: [kind, size]
layers:
  - concat: {a: [], b: [from: right]}
  - dense: {units: 4, name: kind}
  - from: right
  - dense: {units: 2, name: size}
train: {mixup: 1.0, losses: {kind: cross_entropy, size: mean_squared_error}}
""")
    mix = mixing_of(spec.train or Train(), spec.graph).draw(5, 0, 0)  # type: ignore[union-attr]
    x = {name: np.random.default_rng(i).random((5, 3), np.float32) for i, name in enumerate(("left", "right"))}
    targets = {"kind": np.arange(5) % 4, "size": np.random.default_rng(2).random((5, 2))}
    mixed, found = mix.applied(x, targets, np.arange(5), mix.partners)
    for name, array in x.items():
        np.testing.assert_allclose(mixed[name], mix.part * array + (1 - mix.part) * array[mix.partners], rtol=1e-6)
    assert found["kind"].shape == (5, 4)
    assert found["size"].shape == (5, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SEGMENTER % "mixup: 0.2", "`mixup` mixes classes of samples, and the target of `conv1` is a map of classes"),
        (
            "input: [2, 9, 12]\nlayers: [conv: {channels: 4, kernel: 3}]\ntrain: {cutmix: 1.0}",
            "the output `conv1` is a map of 7×10",
        ),
        ("input: [8]\nlayers: [dense: 4]\ntrain: {cutmix: 1.0}", "the network takes vectors of 8: use `mixup`"),
        (
            "inputs: {a: [1, 2, 2], b: [1, 2, 2]}\nlayers: [add: {a: [], b: [from: b]}, flatten, dense: 4]\n"
            "train: {cutmix: 1.0}",
            "`cutmix` mixes images, and the network takes 2 inputs",
        ),
    ],
)
def test_what_cannot_be_mixed(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        mixing(text)
