"""Training data: what every source gives, what is refused before training, and batches that the seed decides."""

import gzip
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cnnspec
from cnnspec.data import (
    DataError,
    augmented,
    batches,
    download,
    epoch_order,
    files,
    idx,
    images,
    inputs,
    known,
    open_dataset,
    split_off,
)
from cnnspec.data.memory import InMemory
from cnnspec.graph.settings import Input
from cnnspec.graph.training import Augment

REAL = Path(os.environ.get("CNNSPEC_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
"""Where MNIST and Fashion-MNIST may lie."""
SPEC = """
cnnspec: 1
name: net
input: {input}
layers: [flatten, dense: {outputs}]
train: {{loss: {loss}}}
"""
LABELS = np.array([0, 1, 2, 0, 1], np.uint8)


def network(shape=(1, 2, 3), outputs=3, loss="cross_entropy", more=""):
    return cnnspec.loads(SPEC.format(input=list(shape), outputs=outputs, loss=loss) + more)


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def message(source, graph, **options):
    with pytest.raises(DataError) as caught:
        open_dataset(str(source), graph, **options)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CNNSPEC_DATA", raising=False)


# Order, batches, splits


@given(n=st.integers(1, 500), seed=st.integers(0, 99), epoch=st.integers(0, 9))
def test_an_epoch_sees_every_sample_once_in_the_same_order_again(n, seed, epoch):
    order = epoch_order(n, seed, epoch)
    assert sorted(order) == list(range(n))
    assert (order == epoch_order(n, seed, epoch)).all()


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def a_split(targets, shape=(1, 2, 3)):
    return InMemory(pixels(len(targets), *shape), targets, Input(shape=shape))


def test_batches_follow_the_order_and_the_last_may_be_smaller():
    split = a_split(np.arange(5))
    found = list(batches(split, np.array([3, 1, 4, 0, 2]), 2))
    assert [indices.tolist() for _, _, indices in found] == [[3, 1], [4, 0], [2]]
    assert [target.tolist() for _, target, _ in found] == [[3, 1], [4, 0], [2]]
    assert (found[1][0] == split.samples(np.array([4, 0]))).all()


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 9),
)
def test_what_is_held_out_is_a_share_of_every_class(counts, share, seed):
    targets = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(targets)
    split = a_split(targets)
    if not 0 < round(share * n) < n:
        with pytest.raises(DataError, match="neither part may be empty"):
            split_off(split, share, seed)
        return
    rest, held_out = split_off(split, share, seed)
    assert held_out.n == round(share * n)
    assert sorted([*rest.indices, *held_out.indices]) == list(range(n))
    for part in (rest, held_out):
        assert (part.load(np.arange(part.n))[1] == targets[part.indices]).all()
        assert (part.load(np.arange(part.n))[0] == split.samples(part.indices)).all()
    found = np.bincount(held_out.strata, minlength=len(counts))
    assert (np.abs(found - held_out.n * np.array(counts) / n) <= 1).all()


def test_the_split_depends_on_the_seed_alone():
    split = a_split(np.zeros(100, np.int64))
    held = [tuple(split_off(split, 0.2, seed)[1].indices) for seed in (0, 0, 1)]
    assert held[0] == held[1] != held[2]


def test_nothing_is_held_out_for_a_share_of_zero():
    split = a_split(np.arange(5))
    assert split_off(split, 0, 0) == (split, None)


# Augmentation

AUGMENT = Augment(shift=2, flip="horizontal")


@given(seed=st.integers(0, 9), epoch=st.integers(0, 9), data=st.data())
def test_a_sample_changes_the_same_way_in_every_batch(seed, epoch, data):
    x = np.random.default_rng(0).random((20, 2, 5, 4), np.float32)
    graph_input = Input(shape=(2, 5, 4), mean=[0.3, 0.4])
    whole = augmented(x, AUGMENT, seed, epoch, np.arange(20), graph_input)
    some = np.array(data.draw(st.lists(st.integers(0, 19), min_size=1, unique=True)))
    assert (augmented(x[some], AUGMENT, seed, epoch, some, graph_input) == whole[some]).all()


def crops(image, s, border):
    """Every image that a shift by up to s can make, by the definition: [2s + 1, 2s + 1, c, h, w]."""
    c, h, w = image.shape
    made = np.empty((2 * s + 1, 2 * s + 1, c, h, w), image.dtype)
    for down in range(-s, s + 1):
        for right in range(-s, s + 1):
            for i in range(h):
                for j in range(w):
                    there = 0 <= i - down < h and 0 <= j - right < w
                    made[down + s, right + s, :, i, j] = image[:, i - down, j - right] if there else border
    return made


def test_a_shift_moves_the_image_and_brings_in_black():
    graph_input = Input(shape=(2, 5, 4), mean=[0.5, 0.25], std=[0.5, 2.0])
    image = np.random.default_rng(0).random((2, 5, 4), np.float32)
    possible = crops(image, 2, border=np.array([-1, -0.125], np.float32)).reshape(25, -1)
    n = 1000
    y = augmented(np.repeat(image[None], n, 0), Augment(shift=2), 0, 0, np.arange(n), graph_input)
    which = [np.flatnonzero((possible == one.ravel()).all(axis=1)) for one in y]
    counts = np.bincount(np.concatenate(which), minlength=25)
    assert all(len(w) == 1 for w in which)
    assert counts.min() > 15  # of 40 on average: every shift comes, none is preferred
    assert counts.max() < 70


def test_a_flip_mirrors_half_of_the_images():
    image = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    y = augmented(np.repeat(image, 1000, 0), Augment(flip="horizontal"), 0, 0, np.arange(1000), Input(shape=(1, 2, 3)))
    mirrored = (y == image[..., ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (y == image).all(axis=(1, 2, 3))).all()
    assert 450 < mirrored.sum() < 550


def test_changes_differ_between_epochs_and_leave_the_data_alone():
    x = np.random.default_rng(0).random((50, 1, 6, 6), np.float32)
    before = x.copy()
    graph_input = Input(shape=(1, 6, 6))
    first, second = (augmented(x, AUGMENT, 0, epoch, np.arange(50), graph_input) for epoch in (0, 1))
    assert (first != second).any(axis=(1, 2, 3)).sum() > 40
    assert (x == before).all()
    assert augmented(x, Augment(), 0, 0, np.arange(50), graph_input) is x


def test_changes_that_cannot_be_made_are_refused_before_training():
    np.savez("data.npz", x=pixels(5, 6), y=LABELS)
    assert "takes vectors" in message("data.npz", cnnspec.loads(
        "{cnnspec: 1, input: [6], layers: [dense: 3], train: {augment: {flip: horizontal}}}"))  # fmt: skip
    np.savez("data.npz", x=pixels(5, 2, 3), y=LABELS)
    assert "2×3 out of sight" in message("data.npz", cnnspec.loads(
        "{cnnspec: 1, input: [1, 2, 3], layers: [flatten, dense: 3], train: {augment: {shift: 2}}}"))  # fmt: skip


# Pixels


@pytest.mark.parametrize(
    "graph_input",
    [Input(shape=(3, 2, 3)), Input(shape=(3, 2, 3), scale=1.0, mean=[1, 2, 3], std=[1, 10, 100]), Input(shape=(4,))],
)
def test_pixels_become_what_run_makes_of_them(graph_input):
    x = pixels(7, *graph_input.shape)
    split = InMemory(x, np.zeros(7, np.int64), graph_input)
    indices = np.array([5, 0, 5, 2])
    found = split.samples(indices)
    assert found.dtype == np.float32
    assert (found == inputs.scaled(x[indices], graph_input).astype(np.float32)).all()


# IDX


def write_idx(folder, part="train", x=None, y=LABELS, end=""):
    Path(folder).mkdir(exist_ok=True)
    x = pixels(5, 2, 3) if x is None else x
    idx.write(Path(folder) / f"{part}-images-idx3-ubyte{end}", x)
    idx.write(Path(folder) / f"{part}-labels-idx1-ubyte{end}", y)
    return x


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_directory_of_idx_files(end):
    train, test = write_idx("mine", end=end), write_idx("mine", "t10k", pixels(2, 2, 3, seed=1), LABELS[:2], end)
    dataset = open_dataset("mine", network())
    assert (dataset.train.n, dataset.test.n) == (5, 2)
    assert dataset.train.targets.dtype == np.int64
    assert dataset.train.targets.tolist() == LABELS.tolist()
    assert np.array_equal(dataset.train.samples(np.arange(5))[:, 0], (train / 255).astype(np.float32))
    assert np.array_equal(dataset.test.samples(np.arange(2))[:, 0], (test / 255).astype(np.float32))


def test_idx_files_without_test_data():
    write_idx("mine")
    assert open_dataset("mine", network()).test is None


def test_faulty_idx_files():
    write_idx("mine", y=LABELS[:4])
    assert message("mine", network()) == "`mine (train)` has 5 samples, and 4 targets"
    write_idx("mine", "t10k")
    Path("mine/t10k-labels-idx1-ubyte").unlink()
    assert "only one file of t10k-images-idx3-ubyte[.gz] and t10k-labels" in message("mine", network())
    write_idx("tests", "t10k")
    assert "no training data: train-images-idx3-ubyte[.gz] and" in message("tests", network())
    write_idx("nothing", x=pixels(0, 2, 3), y=LABELS[:0])
    assert message("nothing", network()) == "`nothing (train)` is empty"


def test_truncated_and_corrupt_gzip():
    write_idx("mine", end=".gz", x=pixels(500, 2, 3), y=np.zeros(500, np.uint8))
    path = Path("mine/train-images-idx3-ubyte.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "`mine/train-images-idx3-ubyte.gz` is cut short" in message("mine", network())
    path.write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    assert "`mine/train-images-idx3-ubyte.gz` has corrupt gzip data" in message("mine", network())


# What fits a network


def test_another_size_names_both_remedies():
    write_idx("mine")
    said = message("mine", network((1, 6, 7)))
    assert "`mine (train)` has the shape [5, 2, 3], and the network takes [1, 6, 7]" in said
    assert said.endswith(
        "`--resize` (or `fit` in the spec's `input`) converts it, "
        "or let the spec have `input: [1, 2, 3]` and begin with `pad: 4`"
    )
    assert "`pad: [4, 5]`" in message("mine", network((1, 6, 8)))
    assert "pad" not in message("mine", network((1, 1, 7)))
    assert "pad" not in message("mine", network((3, 6, 7)))


def test_the_padded_network_takes_what_the_message_says():
    write_idx("mine")
    graph = cnnspec.loads("{cnnspec: 1, input: [1, 2, 3], layers: [pad: [4, 5], flatten, dense: 3]}")
    assert graph.graph.nodes[1].shape == (1, 6, 8)
    assert open_dataset("mine", graph).train.n == 5


@pytest.mark.parametrize(
    ("shape", "x"),
    [((1, 6, 7), (300, 2, 3)), ((3, 6, 7), (5, 2, 3)), ((1, 2, 3), (5, 3, 4, 4)), ((3, 3, 3), (5, 3, 9, 9))],
)
def test_resizing_is_that_of_run_but_for_rounding(shape, x):
    x = pixels(*x)
    np.savez("data.npz", x=x, y=np.zeros(len(x), np.int64))
    found = open_dataset("data.npz", network(shape).resizing()).train.samples(np.arange(len(x)))
    for picture, one in zip(x if x.ndim == 4 else x[:, None], found, strict=True):
        wanted = images.fit(picture, shape, "x", "resize")
        assert np.abs(one * 255 - wanted).max() <= 0.5001


def test_labels_that_are_no_class_of_the_network():
    write_idx("mine", y=np.array([0, 1, 2, 3, 9], np.uint8))
    assert message("mine", network()) == (
        "`mine (train)` has 2 labels that are none of the 3 classes of `net` (0 to 2); the first is 3, of sample 3"
    )
    np.savez("data.npz", x=pixels(2, 2, 3), y=np.array([0, -1]))
    assert "the first is -1, of sample 1" in message("data.npz", network())


def test_more_and_fewer_classes_than_outputs():
    for outputs in (3, 12):
        said = message("digits", network((1, 8, 8), outputs=outputs))
        assert said.startswith(f"`digits` has 10 classes, and `net` has {outputs} outputs: end it with `dense: 10`")


def test_classes_of_other_names_are_noted():
    more = "classes: [zero, one, two, three, four, five, six, seven, eight, nine]"
    dataset = open_dataset("digits", network((1, 8, 8), outputs=10, more=more))
    assert dataset.notes == ("class 0 of `digits` is `0`, and `net` calls its output 0 `zero`",)
    assert dataset.classes == tuple("0123456789")


def test_cross_entropy_needs_one_number_a_class():
    write_idx("mine")
    said = message("mine", cnnspec.loads("{cnnspec: 1, name: net, input: [1, 2, 3], layers: [relu]}"))
    assert said.startswith("cross-entropy needs a score for each class; the output is 1×2×3: end it")


# .npz


@pytest.mark.parametrize("shape", [(5, 2, 3), (5, 1, 2, 3)])
def test_npz_of_pixels_and_of_numbers(shape):
    x = pixels(*shape)
    np.savez("data.npz", x=x, y=LABELS)
    np.savez_compressed("floats.npz", x=x / 255, y=LABELS.astype(np.int32))
    a, b = (open_dataset(name, network()).train for name in ("data.npz", "floats.npz"))
    assert np.array_equal(a.samples(np.arange(5)), b.samples(np.arange(5)))
    assert np.array_equal(a.targets, b.targets)
    assert a.samples(np.arange(5)).shape == (5, 1, 2, 3)
    assert b.samples(np.arange(5)).dtype == np.float32


def test_floats_are_taken_as_they_are():
    np.savez("data.npz", x=np.full((5, 2, 3), 300.5), y=LABELS)
    graph = cnnspec.loads("{cnnspec: 1, input: {shape: [1, 2, 3], mean: 7, std: 3}, layers: [flatten, dense: 3]}")
    assert (open_dataset("data.npz", graph).train.samples(np.arange(5)) == 300.5).all()


def test_npz_with_test_data():
    np.savez("data.npz", x_train=pixels(5, 6), y_train=LABELS, x_test=pixels(2, 6), y_test=LABELS[:2], more=LABELS)
    dataset = open_dataset("data.npz", cnnspec.loads("{cnnspec: 1, input: [6], layers: [dense: 3]}"))
    assert (dataset.train.n, dataset.test.n) == (5, 2)
    assert dataset.train.samples(np.array([0])).shape == (1, 6)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": pixels(5, 2, 3)}, "holds `x`; a dataset has `x` and `y`, or `x_train`"),
        ({"x_train": pixels(5, 2, 3), "y_train": LABELS, "x_test": pixels(5, 2, 3)}, "a dataset has `x` and `y`"),
        ({"x": np.full((5, 2, 3), np.nan), "y": LABELS}, "holds 30 numbers that are NaN or infinite"),
        ({"x": np.full((5, 2, 3), 1e300), "y": LABELS}, "holds 30 numbers that are NaN or infinite"),
        ({"x": pixels(5, 2, 3).astype(int), "y": LABELS}, "holds int64, and a network takes pixels (uint8"),
        ({"x": pixels(5, 2, 3, 1), "y": LABELS}, "channels come first here: x.transpose(0, 3, 1, 2)"),
        ({"x": pixels(5, 2, 3), "y": np.eye(3)[LABELS]}, "save y.argmax(axis=1)"),
        ({"x": pixels(5, 2, 3), "y": LABELS / 2}, "save class indices as integers"),
        ({"x": pixels(5, 2, 3), "y": LABELS.astype(object)}, "holds Python objects, which are never unpickled"),
        ({"x": np.uint8(3), "y": LABELS}, "has samples [] and targets [5]"),
    ],
)
def test_faulty_npz(arrays, said):
    np.savez("data.npz", **arrays)
    found = message("data.npz", network())
    assert found.startswith("`data.npz")
    assert said in found


def test_npz_that_is_broken_or_none_at_all():
    np.savez("data.npz", x=pixels(5, 2, 3), y=LABELS)
    whole = Path("data.npz").read_bytes()
    Path("data.npz").write_bytes(whole[:-100])
    assert "`data.npz` is not a complete .npz file" in message("data.npz", network())
    Path("notes.txt").write_text("hello")
    assert "`notes.txt` is not a complete .npz file" in message("notes.txt", network())


# Regression


def test_targets_for_mean_squared_error():
    y = np.random.default_rng(0).random((5, 3))
    np.savez("data.npz", x=pixels(5, 2, 3), y=y)
    train = open_dataset("data.npz", network(loss="mean_squared_error")).train
    assert train.targets.dtype == np.float64
    assert (train.targets == y).all()
    np.savez("data.npz", x=pixels(5, 2, 3), y=y[:, 0])
    assert open_dataset("data.npz", network(loss="mean_squared_error", outputs=1)).train.targets.shape == (5, 1)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (LABELS, "has classes as targets (uint8), and mean squared error compares numbers: use `loss: cross_entropy`"),
        (np.zeros((5, 2)), "has targets of [2], and `net` has the output [3]"),
        (np.full((5, 3), np.nan), "`data.npz (train), targets` holds 15 numbers that are NaN"),
    ],
)
def test_targets_that_mean_squared_error_cannot_compare(y, said):
    np.savez("data.npz", x=pixels(5, 2, 3), y=y)
    assert said in message("data.npz", network(loss="mean_squared_error"))


def test_examples_of_the_spec():
    graph = cnnspec.loads("""
cnnspec: 1
name: edges
input: [1, 1, 3]
layers: [conv: {channels: 1, kernel: [1, 2], bias: false}]
train: {loss: mean_squared_error}
examples:
  - {input: [[1, 1, 0]], output: [[0, 1]]}
  - {input: [[0, 1, 1]], output: [[-1, 0]]}
""")
    dataset = open_dataset("examples", graph)
    assert dataset.train.samples(np.array([1, 0])).tolist() == [[[[0, 1, 1]]], [[[1, 1, 0]]]]
    assert dataset.train.targets.tolist() == [[[[0, 1]]], [[[-1, 0]]]]
    assert dataset.test is None
    assert message("examples", network()) == "the spec `net` has no examples to train on"


# Folders of pictures

PIL = pytest.importorskip("PIL.Image")


def picture(path, size=(3, 2), mode="L", **options):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    w, h = size
    bands = len(PIL.new(mode, (1, 1)).getbands())
    array = pixels(h, w, bands, seed=len(str(path)) + sum(map(ord, path.name)))
    PIL.fromarray(array[:, :, 0] if bands == 1 else array).save(path, **options)
    return array


def pets(root="pets", classes=("cat", "dog"), n=2, **options):
    return {f"{root}/{c}/{i}.png": picture(f"{root}/{c}/{i}.png", **options) for c in classes for i in range(n)}


def test_a_folder_for_each_class():
    made = pets()
    picture("pets/dog/more/deep.PNG")
    Path("pets/dog/.hidden").write_text("")
    Path("pets/cat/Thumbs.db").write_text("")
    dataset = open_dataset("pets", network(outputs=2))
    assert dataset.classes == ("cat", "dog")
    assert dataset.test is None
    assert dataset.train.targets.tolist() == [0, 0, 1, 1, 1]
    found = dataset.train.load(np.array([3, 0]))[0]
    assert found.dtype == np.float32
    wanted = [made["pets/dog/1.png"], made["pets/cat/0.png"]]
    assert np.array_equal(found[:, 0], (np.stack(wanted)[..., 0] / 255).astype(np.float32))


def test_classes_follow_the_spec_where_it_names_them():
    pets()
    dataset = open_dataset("pets", network(outputs=3, more="classes: [dog, bird, cat]"))
    assert dataset.classes == ("dog", "bird", "cat")
    assert dataset.train.targets.tolist() == [0, 0, 2, 2]


def test_pictures_are_decoded_when_they_are_asked_for(monkeypatch):
    pets(n=5)
    decoded = []
    decode = images.decode
    monkeypatch.setattr(images, "decode", lambda file, name: decoded.append(name) or decode(file, name))
    train = open_dataset("pets", network(outputs=2)).train
    assert decoded == []
    train.load(np.array([1, 7]))[0]
    assert sorted(decoded) == [str(Path("pets/cat/1.png")), str(Path("pets/dog/2.png"))]


@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_for_training_and_testing(test):
    pets("pets/train")
    pets(f"pets/{test}", classes=("dog",), n=1)
    dataset = open_dataset("pets", network(outputs=2))
    assert (dataset.train.n, dataset.test.n) == (4, 1)
    assert dataset.test.targets.tolist() == [1]


def test_test_and_val_together_are_noted():
    for part in ("train", "test", "val"):
        pets(f"pets/{part}")
    assert open_dataset("pets", network(outputs=2)).notes == ("`pets/val` is not read: `test` is the test data",)


def test_a_class_may_be_called_train():
    pets("vehicles", classes=("bus", "train"))
    assert open_dataset("vehicles", network(outputs=2)).classes == ("bus", "train")


def test_a_corrupt_picture_is_named_when_it_is_met():
    pets(size=(30, 20))
    path = Path("pets/cat/1.png")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    train = open_dataset("pets", network((1, 20, 30), outputs=2)).train
    train.load(np.array([0, 2]))[0]
    with pytest.raises(DataError, match=r"`pets/cat/1\.png` is not a complete image"):
        train.load(np.array([0, 1]))[0]


def test_sizes_are_checked_by_the_headers():
    pets(n=3)
    picture("pets/dog/1.png", size=(4, 2))
    picture("pets/dog/2.png", mode="RGB")
    assert message("pets", network(outputs=2)) == (
        "`pets/dog/1.png` has 1×2×4 pixels (channels × height × width), and the network takes 1×2×3; "
        "`--resize` (or `fit` in the spec's `input`) converts it (and 1 other images do not fit either)"
    )
    found = open_dataset("pets", network(outputs=2).resizing()).train.load(np.arange(6))[0]
    assert found.shape == (6, 1, 2, 3)


@pytest.mark.parametrize(
    ("form", "mode"),
    [("png", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    + [("jpeg", mode) for mode in ("L", "RGB", "CMYK")],
)
@pytest.mark.parametrize("options", [{}, {"transparency": 0}])
def test_the_header_says_what_decoding_finds(form, mode, options):
    exif = PIL.Exif()
    exif[0x0112] = 6  # lies on its side
    file = io.BytesIO()
    PIL.new(mode, (3, 2)).save(file, form, exif=exif, **(options if mode == "P" else {}))
    assert images.shape(file, "x") == images.decode(file, "x").shape
    assert images.shape(file, "x")[1:] == (3, 2)


def test_faulty_folders():
    graph = network(outputs=2)
    Path("empty").mkdir()
    assert "`empty` holds no folders" in message("empty", graph)
    pets()
    Path("pets/bird").mkdir()
    assert message("pets", graph) == "the class folder `pets/bird` is empty"
    Path("pets/bird/x.webp").write_text("")
    assert message("pets", graph).startswith("`pets/bird/x.webp` is not a PNG or JPEG file")
    Path("pets/bird/x.webp").rename("pets/x.webp")
    Path("pets/bird").rmdir()
    assert "`pets/x.webp` lies outside of the class folders `cat`, `dog`" in message("pets", graph)
    Path("pets/x.webp").unlink()
    assert message("pets", network(outputs=3)).startswith("`pets` has 2 classes, and `net` has 3 outputs: ")
    assert "mean squared error" in message("pets", network(outputs=2, loss="mean_squared_error"))
    assert "takes vectors" in message("pets", cnnspec.loads("{cnnspec: 1, input: [6], layers: [dense: 2]}"))


def test_faulty_parts_of_a_folder():
    graph = network(outputs=3)
    pets("pets/train")
    pets("pets/test", classes=("cat", "wolf"))
    assert message("pets", graph) == "`pets/test` has classes that `pets/train` has not: `wolf`"
    pets("pets/more")
    assert message("pets", graph).startswith("`pets` has `more` beside `train`")
    pets("others/val")
    assert message("others", graph) == "`others` has `val` and no folder `train`"


# Datasets that go by a name


def test_an_unknown_name():
    assert message("fashion_mnst", network()) == "there is no data `fashion_mnst`; did you mean `fashion-mnist`?"
    assert message("qqq", network()) == (
        "there is no data `qqq`; it is one of mnist, fashion-mnist, cifar10, digits, examples, a directory, "
        "or an .npz file"
    )


def test_digits():
    graph = network((1, 8, 8), outputs=10)
    dataset, again = open_dataset("digits", graph), open_dataset("digits", graph)
    assert (dataset.train.n, dataset.test.n) == (1438, 359)
    assert np.ptp(np.bincount(dataset.test.targets)) <= 2
    x = dataset.train.samples(np.arange(1438))
    assert (x.min(), x.max()) == (0, 1)
    assert (x == again.train.samples(np.arange(1438))).all()
    resized = open_dataset("digits", network((1, 28, 28), 10).resizing())
    assert resized.test.samples(np.arange(2)).shape == (2, 1, 28, 28)
    assert "`--resize`" in message("digits", network((1, 28, 28), 10))


def cifar10(x, y):
    """The files of CIFAR-10's binary version, of five images each."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    records = np.concatenate([y[:, None], x.reshape(len(x), -1)], axis=1)
    return {name: part.tobytes() for name, part in zip(names, np.split(records, 6), strict=True)}


def write_tar(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{files.CIFAR10_FOLDER}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_cifar10_packed_and_unpacked():
    graph = network((3, 32, 32), outputs=10)
    x, y = pixels(30, 3, 32, 32), np.arange(30, dtype=np.uint8) % 10
    contents = cifar10(x, y)
    write_tar(Path("packed/cifar10") / files.CIFAR10_ARCHIVE, contents)
    unpacked = Path("unpacked/cifar10") / files.CIFAR10_FOLDER
    unpacked.mkdir(parents=True)
    for name, content in contents.items():
        (unpacked / name).write_bytes(content)
    for folder in ("packed", "unpacked"):
        dataset = open_dataset("cifar10", graph, data_dir=folder)
        assert dataset.classes[:2] == ("airplane", "automobile")
        assert dataset.train.targets.tolist() == y[:25].tolist()
        assert np.array_equal(dataset.test.samples(np.arange(5)), (x[25:] / 255).astype(np.float32))
    (unpacked / "test_batch.bin").write_bytes(contents["test_batch.bin"][:-1])
    assert "`test_batch.bin` in `unpacked/cifar10` is cut short" in message("cifar10", graph, data_dir="unpacked")
    (unpacked / "test_batch.bin").unlink()
    assert "has no test_batch.bin" in message("cifar10", graph, data_dir="unpacked")


def test_a_truncated_archive():
    write_tar(Path("cifar10") / files.CIFAR10_ARCHIVE, cifar10(pixels(30, 3, 32, 32), np.zeros(30, np.uint8)))
    path = Path("cifar10") / files.CIFAR10_ARCHIVE
    path.write_bytes(path.read_bytes()[:50_000])
    said = message("cifar10", network((3, 32, 32), 10), data_dir=".")
    assert said.startswith("`cifar10/cifar-10-binary.tar.gz` is cut short or damaged")


def four_files(folder):
    write_idx(folder, end=".gz", y=LABELS)
    write_idx(folder, "t10k", end=".gz", y=LABELS)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(folder).iterdir())}


def test_where_a_dataset_is_looked_for(monkeypatch):
    graph = network(outputs=10)
    Path("given").mkdir()
    four_files("given/mnist")
    assert open_dataset("mnist", graph, data_dir="given", download=False).train.n == 5
    monkeypatch.setenv("CNNSPEC_DATA", "given")
    assert open_dataset("mnist", graph, download=False).classes == tuple("0123456789")
    monkeypatch.delenv("CNNSPEC_DATA")
    Path("cache/cnnspec").mkdir(parents=True)
    Path("given/mnist").rename("cache/cnnspec/mnist")
    assert open_dataset("mnist", graph, data_dir="given", download=False).test.n == 5
    assert message("mnist", graph, data_dir="nowhere") == "there is no data directory `nowhere` (--data-dir)"
    Path("given/mnist").mkdir()
    Path("cache/cnnspec/mnist/t10k-labels-idx1-ubyte.gz").rename("given/mnist/t10k-labels-idx1-ubyte.gz")
    said = message("mnist", graph, data_dir="given")
    assert said.startswith("`given/mnist` lacks train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-")


def test_offline_the_files_and_their_places_are_named(tmp_path):
    said = message("fashion-mnist", network(outputs=10), download=False)
    for name in known.KNOWN["fashion-mnist"].files:
        assert name in said
    assert str(tmp_path / "cache" / "cnnspec" / "fashion-mnist") in said
    assert "CNNSPEC_DATA" in said
    assert "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/" in said


# Downloads

IMAGES = "train-images-idx3-ubyte.gz"


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder, with ranges or without, and can break off after so many bytes."""

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.ranges, self.break_after, self.requests = Path(folder), True, None, []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.requests.append((self.path.strip("/"), wanted))
        content = (server.folder / self.path.strip("/")).read_bytes()
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if wanted and server.ranges else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: server.break_after])
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    checksums = four_files(tmp_path / "served")
    with Server(tmp_path / "served") as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setitem(
            known.KNOWN, "mnist", known.Known(checksums, (running.url,), known.NUMERALS, files.idx_folder)
        )
        yield running
        running.shutdown()
        thread.join()


def test_a_download_is_kept(server, tmp_path):
    graph = network(outputs=10)
    assert open_dataset("mnist", graph).train.n == 5
    assert len(server.requests) == 4
    assert open_dataset("mnist", graph, download=False).train.n == 5
    assert len(server.requests) == 4
    kept = sorted(path.name for path in (tmp_path / "cache/cnnspec/mnist").iterdir())
    assert kept == sorted(known.KNOWN["mnist"].files)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(server, ranges, monkeypatch):
    graph = network(outputs=10)
    monkeypatch.setattr(download, "CHUNK", 10)
    server.ranges = ranges
    server.break_after = 30
    assert "`mnist` is not on this machine: the download failed" in message("mnist", graph)
    server.break_after = None
    server.requests.clear()
    assert open_dataset("mnist", graph).train.n == 5
    assert server.requests[0][1] == "bytes=30-"
    assert [wanted for _, wanted in server.requests[1:]] == [None, None, None]


def test_two_that_download_at_once_do_it_once(server):
    graph = network(outputs=10)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: open_dataset("mnist", graph).train.n, range(2)))
    assert found == [5, 5]
    assert len(server.requests) == 4


def test_a_download_that_was_whole_but_not_renamed(server, tmp_path):
    part = tmp_path / "cache/cnnspec/mnist" / f"{IMAGES}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((tmp_path / "served" / IMAGES).read_bytes())
    assert open_dataset("mnist", network(outputs=10)).train.n == 5
    assert not part.exists()


def test_a_wrong_checksum_is_refused_and_fetched_anew(server, tmp_path):
    graph = network(outputs=10)
    path = tmp_path / "served" / IMAGES
    whole = path.read_bytes()
    path.write_bytes(gzip.compress(b"something else"))
    assert "does not match the known hash" in message("mnist", graph)
    assert not (tmp_path / "cache/cnnspec/mnist" / IMAGES).exists()
    path.write_bytes(whole)
    assert open_dataset("mnist", graph).train.n == 5


def test_the_next_server_is_asked(server, monkeypatch):
    entry = known.KNOWN["mnist"]
    servers = ("http://127.0.0.1:9/", server.url)
    monkeypatch.setitem(known.KNOWN, "mnist", known.Known(entry.files, servers, entry.classes, entry.read))
    assert open_dataset("mnist", network(outputs=10)).train.n == 5


def test_without_pooch_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert 'needs pooch, which is not installed: pip install "cnnspec[data]"' in message("mnist", network(outputs=10))
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert message("digits", network(outputs=10)) == (
        '`digits` needs scikit-learn, which is not installed: pip install "cnnspec[data]"'
    )


def test_data_imports_no_optional_library():
    script = "import cnnspec.data, sys; print({'PIL', 'pooch', 'requests', 'sklearn', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# The real ones, where they are


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_real_datasets(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"{name} is not here: set CNNSPEC_DATA to a directory that has it")
    dataset = open_dataset(name, network((1, 28, 28), 10), data_dir=REAL, download=False)
    assert (dataset.train.n, dataset.test.n) == (60_000, 10_000)
    assert np.bincount(dataset.test.targets).sum() == 10_000
    mean = {"mnist": 0.1307, "fashion-mnist": 0.2860}[name]  # published figures of the training images
    assert dataset.train.samples(np.arange(60_000)).mean(dtype=np.float64) == pytest.approx(mean, abs=5e-5)
