"""Batches of pixels that are not scaled: the same numbers as batches that are, wherever they are loaded from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_samples import network, picture, pixels

import cnnspec
from cnnspec.arrays import Pixels
from cnnspec.data import Loader, augmentation_of, inputs, loader, open_dataset
from cnnspec.data.memory import InMemory
from cnnspec.errors import InputError
from cnnspec.graph.settings import Input
from cnnspec.runtime.arguments import checked_inputs

INPUTS = {
    "one channel": Input(shape=(1, 4, 5), mean=(0.3,), std=(0.7,)),
    "channels alike": Input(shape=(3, 4, 5), scale=0.013),
    "channels that differ": Input(shape=(3, 4, 5), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "vector": Input(shape=(256,), mean=(0.1,)),
    "features that differ": Input(shape=(3,), mean=(0.1, 0.2, 0.3)),
    "sequence": Input(shape=(2, 128), mean=(0.1, 0.5)),
    "volume": Input(shape=(2, 3, 4, 5), std=(0.1, 0.5)),
}


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def same_bits(one: Any, other: Any) -> bool:
    a, b = np.asarray(one), np.asarray(other)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def are_pixels(x: Any) -> bool:
    return isinstance(x, Pixels) and x.values.dtype == np.uint8


@pytest.mark.parametrize("given", INPUTS.values(), ids=INPUTS)
def test_the_numbers_are_those_of_the_input(given: Input) -> None:
    values = pixels(300, *given.shape)
    split = InMemory(values, np.zeros(300), given)
    at = np.arange(299, -1, -1)
    x, _ = split.load(at, pixels=True)
    assert are_pixels(x)
    assert x.shape == values.shape
    assert x.ndim == values.ndim
    assert len(x) == 300
    assert same_bits(x, inputs.scaled(values[at], given).astype(np.float32))
    assert same_bits(x, split.load(at)[0])
    assert same_bits(x[7:9], split.load(at[7:9])[0])
    assert same_bits(np.asarray(x, np.float64), np.asarray(x).astype(np.float64))


def test_floats_are_numbers() -> None:
    np.savez("data.npz", x=np.ones((4, 3, 4, 5), np.float32), y=np.arange(4) % 2)
    x, _ = open_dataset("data.npz", network("flatten, dense: 2")).train.load(np.arange(4), pixels=True)
    assert isinstance(x, np.ndarray)


def test_each_of_several_inputs_by_itself() -> None:
    spec = cnnspec.loads(
        "name: two\ninputs: {a: [1, 2, 2], b: [4]}\nlayers: [flatten, add: {l: [], r: [from: b]}, dense: 2]"
    )
    np.savez("data.npz", a=pixels(6, 2, 2), b=np.ones((6, 4), np.float32), y=np.arange(6) % 2)
    split = open_dataset("data.npz", spec).train
    x, _ = split.load(np.arange(6), pixels=True)
    assert are_pixels(x["a"])
    assert isinstance(x["b"], np.ndarray)
    numbers, _ = split.load(np.arange(6))
    assert all(same_bits(x[name], numbers[name]) for name in ("a", "b"))


@pytest.mark.parametrize("augment", ["", "augment: [flip, noise: 9],"])
@pytest.mark.parametrize("source", ["data.npz", "pets"])
def test_samples_as_their_own_targets_are_numbers(source: str, augment: str) -> None:
    np.savez("data.npz", x=pixels(6, 3, 4, 5), y=np.zeros(6))
    for i in range(6):
        picture(f"pets/a/{i}.png", pixels(4, 5, 3, seed=i))
    spec = network("conv: {channels: 3, kernel: 1}", train=f"{augment} target: input, loss: mean_squared_error")
    split = open_dataset(source, spec).train
    augmentation = augmentation_of(spec.train, spec.graph, spec.input)
    x, target = split.load(np.arange(6), augmentation, pixels=True)
    assert are_pixels(x)
    assert isinstance(target, np.ndarray)
    numbers, own = split.load(np.arange(6), augmentation)
    assert same_bits(x, numbers)
    assert same_bits(target, own)


def test_files_that_are_resized_are_numbers() -> None:
    picture("pets/cat/0.png", pixels(4, 5, 3))
    picture("pets/dog/1.png", pixels(8, 10, 3))
    spec = network("flatten, dense: 2").resizing()
    split = open_dataset("pets", spec).train
    x, _ = split.load(np.arange(2), pixels=True)
    assert same_bits(x, split.load(np.arange(2))[0])
    assert isinstance(x, np.ndarray)
    assert are_pixels(split.load(np.arange(1), pixels=True)[0])


@pytest.mark.parametrize("as_pixels", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_loaded_ahead(workers: int, as_pixels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(10):
        picture(f"pets/{'cat' if i % 2 else 'dog'}/{i}.png", pixels(6, 6, 3, seed=i))
    spec = network("flatten, dense: 2", (3, 6, 6), "augment: [shift: 1, flip, noise: 5]")
    split = open_dataset("pets", spec).train
    augmentation = augmentation_of(spec.train, spec.graph, spec.input)
    assert augmentation is not None
    parts = [np.array(some, int) for some in ([3, 1, 4], [9, 2], [])]
    received = []
    monkeypatch.setattr(
        loader, "read_answer", lambda pipe, read=loader.read_answer: received.append(read(pipe)) or received[-1]
    )
    with Loader(workers) as by:
        found = list(by.batches(split, parts, augmentation.at(1), pixels=as_pixels))
    for (x, target), part in zip(found, parts, strict=True):
        numbers, wanted = split.load(part, augmentation.at(1))
        assert are_pixels(x) == as_pixels
        assert same_bits(x, numbers)
        assert same_bits(target, wanted)
    assert [are_pixels(x) for _, (x, _) in received] == [as_pixels] * (3 if workers else 0)


def test_a_model_is_given_pixels_where_it_takes_them() -> None:
    graph = cnnspec.loads("input: [3, 4, 5]\nlayers: [relu]").graph
    levels = np.arange(256, dtype=np.float32)[None]
    mirrored = Pixels(pixels(2, 3, 4, 5)[..., ::-1], levels)
    (taken,) = checked_inputs(graph, {"input": mirrored}, np.float64, pixels=True).values()
    assert are_pixels(taken)
    assert taken.values.flags.c_contiguous
    assert same_bits(taken, mirrored)
    (numbers,) = checked_inputs(graph, {"input": mirrored}, np.float64).values()
    assert same_bits(numbers, np.asarray(mirrored).astype(np.float64))
    with pytest.raises(InputError, match=r"has the shape \[2, 3, 4, 3\], and the network takes \[n, 3, 4, 5\]"):
        checked_inputs(graph, {"input": Pixels(pixels(2, 3, 4, 3), levels)}, np.float64, pixels=True)
    with pytest.raises(InputError, match="empty batch"):
        checked_inputs(graph, {"input": mirrored[:0]}, np.float64, pixels=True)
