"""Augmentation of datasets: the same for a sample wherever it is, and refused before training where it cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from augmented import augmentation, pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import cnnspec
from cnnspec.arrays import Array
from cnnspec.data import DataError, open_dataset, split_off
from cnnspec.data.augment import augmentation_for
from cnnspec.data.augment.pipeline import CHANGES
from cnnspec.data.inputs import scaled
from cnnspec.graph.training import TRANSFORMS

EVERY = """[{rotate: {degrees: 30, probability: 0.7}}, random_resized_crop, shift: 1, flip: both, scale: [0.8, 1.2],
  color_jitter: {brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1}, grey: 0.3, erase, noise: [0, 9], blur,
  {one_of: {transforms: [{flip: vertical}, {one_of: [{shift: 2}, {noise: 5}]}, random_crop], probability: 0.8}}]"""
LABELS = np.array([0, 1, 2, 0, 1])


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@given(seed=st.integers(0, 9), epoch=st.integers(0, 9), data=st.data())
@settings(max_examples=15)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_sample_changes_the_same_way_in_every_batch(dtype: type, seed: int, epoch: int, data: st.DataObject) -> None:
    x, masks = pixels(20, 3, 12, 9).astype(dtype), pixels(20, 12, 9, seed=1) % 3
    how = augmentation(EVERY, (3, 8, 8), masks=3, seed=seed).at(epoch)
    whole, moved = how(x, masks, np.arange(20))
    assert whole.shape == (20, 3, 8, 8)
    assert whole.dtype == dtype
    some = np.array(data.draw(st.lists(st.integers(0, 19), min_size=1, unique=True)))
    found, targets = how(x[some], masks[some], some)
    assert np.array_equal(found, whole[some])
    assert np.array_equal(targets, moved[some])
    one, target = how.one(x[some[0]], masks[some[0]], some[0])
    assert np.array_equal(one, whole[some[0]])
    assert np.array_equal(target, moved[some[0]])


def test_epochs_seeds_and_places_in_the_list_have_changes_of_their_own() -> None:
    x = pixels(60, 1, 8, 8)
    rows, none = np.arange(60), np.zeros(60)
    changes = [
        augmentation(augment, (1, 8, 8), seed=seed).at(epoch)(x, none, rows)[0]
        for augment, seed, epoch in (("[flip]", 0, 0), ("[flip]", 1, 0), ("[flip]", 0, 1), ("[shift: 0, flip]", 0, 0))
    ]
    for i, one in enumerate(changes):
        for other in changes[:i]:
            assert 15 < (one != other).any((1, 2, 3)).sum() < 45
    twice = augmentation("[flip, flip]", (1, 8, 8))(x, none, rows)[0]
    assert 15 < (twice != x).any((1, 2, 3)).sum() < 45


def test_data_are_left_alone() -> None:
    x, masks = pixels(5, 3, 8, 8), pixels(5, 8, 8) % 3
    before = x.copy(), masks.copy()
    augmentation(EVERY, (3, 8, 8), masks=3)(x, masks, np.arange(5))
    assert np.array_equal(x, before[0])
    assert np.array_equal(masks, before[1])


def test_every_transform_changes_samples() -> None:
    assert CHANGES.keys() == TRANSFORMS.keys() - {"one_of"}


# Datasets


def spec(
    shape: tuple[int, ...], augment: str, *, fit: str = "exact", validation: float = 0.0, more: str = ""
) -> cnnspec.Spec:
    given = f"{{shape: {list(shape)}, mean: 0.5, fit: {fit}}}"
    train = f"{{augment: {augment}, validation: {validation}}}"
    return cnnspec.loads(f"name: net\ninput: {given}\nlayers: [flatten, dense: 3]\ntrain: {train}\n{more}")


def said(source: str, of: cnnspec.Spec) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(source, of)
    return str(caught.value)


def write_pictures(root: str, sizes: list[tuple[int, int]]) -> list[Array]:
    made = []
    for i, (height, width) in enumerate(sizes):
        picture = pixels(height, width, 3, seed=i)
        path = Path(root) / "abc"[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
        made.append(picture.transpose(2, 0, 1))
    return [picture for cls in range(3) for picture in made[cls::3]]


def test_pixels_in_memory_are_changed_before_they_are_scaled() -> None:
    x = pixels(5, 3, 6, 6)
    np.savez("data.npz", x_train=x, y_train=LABELS, x_test=x, y_test=LABELS)
    of = spec((3, 6, 6), "[flip, color_jitter: {brightness: 0.5}, shift: 1]")
    how = augmentation_for(of)
    dataset = open_dataset("data.npz", of)
    rows = np.array([3, 1])
    found, target = dataset.train.load(rows, how)
    wanted, _ = how(x[rows], LABELS[rows], rows)
    assert found.dtype == np.float32
    assert np.array_equal(found, scaled(wanted, of.input).astype(np.float32))
    assert target.tolist() == [0, 1]
    assert np.array_equal(dataset.test.load(rows)[0], scaled(x[rows], of.input).astype(np.float32))


def test_a_sample_keeps_its_changes_when_others_are_held_out() -> None:
    np.savez("data.npz", x=pixels(20, 3, 6, 6), y=np.arange(20) % 3)
    of = spec((3, 6, 6), "[flip: both, noise: 9]")
    train = open_dataset("data.npz", of).train
    rest, _ = split_off(train, 0.3, 0)
    how = augmentation_for(of).at(2)
    assert np.array_equal(rest.load(np.arange(rest.n), how)[0], train.load(rest.indices, how)[0])


def test_pictures_of_any_size_are_cropped_from_their_own_size() -> None:
    pictures = write_pictures("pictures", [(9, 12), (20, 10), (8, 8), (8, 30)])
    of = spec((3, 8, 8), "[random_resized_crop, flip]")
    train, how = open_dataset("pictures", of).train, augmentation_for(of).at(1)
    found, _ = train.load(np.arange(4), how)
    for i, picture in enumerate(pictures):
        changed, _ = how.one(picture, 0, i)
        assert np.array_equal(found[i], scaled(changed[None], of.input)[0].astype(np.float32))


def test_cropped_in_training_and_fitted_elsewhere() -> None:
    x = pixels(5, 3, 12, 10)
    np.savez("data.npz", x=x, y=LABELS)
    write_pictures("pictures", [(9, 12), (20, 10), (8, 8)])
    cropped = spec((3, 8, 8), "[random_crop]", validation=0.4)
    fitted = spec((3, 8, 8), "[random_crop]", fit="resize", validation=0.4)
    for source in ("data.npz", "pictures"):
        assert "`--resize` (or `fit` in the spec's `input`)" in said(source, cropped)  # the held-out samples do not fit
        train = open_dataset(source, fitted).train
        plain = open_dataset(source, spec((3, 8, 8), "[]", fit="resize")).train
        assert np.array_equal(train.load(np.arange(3))[0], plain.load(np.arange(3))[0])
    found, _ = open_dataset("data.npz", fitted).train.load(np.arange(5), augmentation_for(fitted))
    wanted, _ = augmentation_for(fitted)(x, LABELS, np.arange(5))
    assert np.array_equal(found, scaled(wanted, fitted.input).astype(np.float32))
    train = open_dataset("data.npz", spec((3, 8, 8), "[random_crop]")).train
    with pytest.raises(DataError, match="images of 3×12×10 fit the network's 3×8×8 by `augment` alone"):
        train.load(np.arange(2))


def test_grey_pictures_for_a_network_that_takes_colours() -> None:
    np.savez("data.npz", x=pixels(5, 12, 10), y=LABELS)
    of = spec((3, 8, 8), "[random_crop, color_jitter: {hue: 0.1}]", fit="resize")
    assert open_dataset("data.npz", of).train.load(np.arange(5), augmentation_for(of))[0].shape == (5, 3, 8, 8)
    assert "takes [3, 8, 8]" in said("data.npz", spec((3, 8, 8), "[random_crop]"))


# What is refused


@pytest.mark.parametrize(
    ("shape", "augment", "message"),
    [
        ((6,), "{flip: horizontal}", "`flip` changes images, and the network takes vectors of 6: leave it out"),
        ((1, 2, 3), "{shift: 2}", "`shift: 2` can move images of 2×3 out of sight"),
        ((1, 2, 3), "[random_crop: 2]", "`random_crop: 2` can move images of 2×3 out of sight"),
        ((1, 2, 3), "[blur: [0, 4]]", "`blur: 4` is wider than images of 2×3"),
        ((1, 2, 3), "[grey]", "`grey` needs three channels, red, green and blue, and the network takes 1 channel"),
        ((4, 2, 3), "[color_jitter: {hue: 0.1}]", "`color_jitter` with `hue` needs three channels"),
        ((1, 2, 3), "[one_of: [flip, one_of: [grey]]]", "`grey` needs three channels"),
    ],
)
def test_transforms_that_do_not_fit_the_input(shape: tuple[int, ...], augment: str, message: str) -> None:
    np.savez("data.npz", x=pixels(5, *shape), y=LABELS)
    assert message in said("data.npz", spec(shape, augment))


def test_sequences_have_no_rows() -> None:
    of = cnnspec.loads(
        "input: {channels: 2, length: 9}\nlayers: [flatten, dense: 3]\ntrain: {augment: [flip: vertical]}"
    )
    with pytest.raises(DataError, match="`flip: vertical` mirrors rows, and the network takes sequences of 2×9"):
        augmentation_for(of)


def test_numbers_have_no_colours() -> None:
    np.savez("data.npz", x=np.zeros((5, 3, 6, 6), np.float32), y=LABELS)
    found = said("data.npz", spec((3, 6, 6), "[flip, one_of: [blur, rotate: 9]]"))
    assert found.startswith("`blur` changes pixels, and `data.npz (train)` holds numbers, which are taken as they are")
    open_dataset("data.npz", spec((3, 6, 6), "[flip, noise: 1, rotate: 10]"))


def test_a_map_of_another_size_cannot_move_with_its_image() -> None:
    layers = "layers: [conv: {channels: 4, kernel: 3}]"
    of = cnnspec.loads(f"input: [1, 8, 8]\n{layers}\ntrain: {{augment: [noise: 1, flip]}}")
    with pytest.raises(DataError, match=r"`flip` moves an image of 8×8 .* the output `conv1` is a map of 6×6"):
        augmentation_for(of)
    assert augmentation_for(cnnspec.loads(f"input: [1, 8, 8]\n{layers}\ntrain: {{augment: [noise: 1]}}")) is not None


def test_sizes_that_no_crop_fits() -> None:
    np.savez("data.npz", x=pixels(5, 3, 6, 9), y=LABELS)
    found = said("data.npz", spec((3, 12, 9), "[random_crop: 2]"))
    assert "cannot cut 12×9 out of 6×9, with 2 pixels of padding on each side: use a larger `pad`, or" in found
    write_pictures("pictures", [(9, 12), (5, 10), (8, 8)])
    found = said("pictures", spec((3, 8, 8), "[random_crop: 1]"))
    assert found.startswith("`pictures/b/1.png`: `random_crop` cannot cut 8×8 out of 5×10")
    found = said("pictures", spec((3, 8, 8), "[one_of: [random_resized_crop, flip]]"))
    assert "`augment` leaves samples of 9×12, and the network takes 8×8" in found


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    np.savez("data.npz", x=pixels(5, 3, 6, 6), y=LABELS)
    assert "`rotate` needs Pillow, which is not installed: pip install" in said(
        "data.npz", spec((3, 6, 6), "[rotate: 9]")
    )
    open_dataset("data.npz", spec((3, 6, 6), "[flip, blur, shift: 1]"))
