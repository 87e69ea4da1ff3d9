"""Networks of one, two and three spatial axes: shapes as Torch has them, both backends alike, axes that stay apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnnspec
from cnnspec.errors import DataError, InputError
from cnnspec.language.inputs import flow_of
from cnnspec.layers import Shape
from cnnspec.layers.base import ShapeError
from cnnspec.layers.conv import Conv, ConvTranspose
from cnnspec.layers.padding import EachSide
from cnnspec.layers.pool import AvgPool, MaxPool
from cnnspec.testing.verification import difference

torch = pytest.importorskip("torch")

RANKS = st.integers(1, 3)


def per_axis(data: st.DataObject, rank: int, least: int, most: int) -> tuple[int, ...]:
    return tuple(data.draw(st.lists(st.integers(least, most), min_size=rank, max_size=rank)))


@given(RANKS, st.data())
@settings(max_examples=150, deadline=None)
def test_windows_have_the_shapes_of_torch(rank: int, data: st.DataObject) -> None:
    sizes, kernel, stride = (per_axis(data, rank, least, most) for least, most in ((1, 12), (1, 4), (1, 3)))
    dilation, padding = per_axis(data, rank, 1, 2), per_axis(data, rank, 0, 2)
    x = torch.zeros(1, 2, *sizes, device="meta")
    conv = Conv(channels=3, kernel=kernel, stride=stride, padding=EachSide(padding), dilation=dilation)
    theirs = getattr(torch.nn, f"Conv{rank}d")(2, 3, kernel, stride, padding, dilation, device="meta")
    try:
        ours: Shape | None = conv.infer((2, *sizes)).shape
    except ShapeError:
        ours = None
    try:
        expected: Shape | None = tuple(theirs(x).shape[1:])
    except RuntimeError:
        expected = None
    assert ours == expected
    spread = ConvTranspose(channels=3, kernel=kernel, stride=stride, dilation=dilation)
    theirs = getattr(torch.nn, f"ConvTranspose{rank}d")(2, 3, kernel, stride, dilation=dilation, device="meta")
    assert spread.infer((2, *sizes)).shape == tuple(theirs(x).shape[1:])
    if all(n >= k for n, k in zip(sizes, kernel, strict=True)):
        for layer, name in ((MaxPool, "MaxPool"), (AvgPool, "AvgPool")):
            for rounding in ("floor", "ceil"):
                pool = getattr(torch.nn, f"{name}{rank}d")(kernel, stride, ceil_mode=rounding == "ceil")
                found = layer(kernel=kernel, stride=stride, rounding=rounding).infer((2, *sizes)).shape
                assert found == tuple(pool(torch.zeros(1, 2, *sizes)).shape[1:])


def body(data: st.DataObject, rank: int) -> str:
    """A few layers that fit every input of at least four elements along each axis."""
    kernel, stride = list(per_axis(data, rank, 1, 4)), list(per_axis(data, rank, 1, 2))
    groups = data.draw(st.sampled_from([1, 2]))
    layers = [
        f"conv: {{channels: 4, kernel: {kernel}, stride: {stride}, padding: same, groups: {groups}}}",
        "batch_norm",
        data.draw(st.sampled_from(["relu", "tanh", "prelu"])),
        f"avg_pool: {{kernel: {list(per_axis(data, rank, 1, 2))}, rounding: ceil}}",
        f"conv_transpose: {{channels: 2, kernel: {kernel}, stride: {stride}}}",
        data.draw(st.sampled_from(["flatten", "global_avg_pool", "global_max_pool"])),
        "dense: 3",
    ]
    return "".join(f"  - {layer}\n" for layer in layers)


@given(RANKS, st.data())
@settings(max_examples=25, deadline=None)
def test_backends_agree(rank: int, data: st.DataObject) -> None:
    shape = (2, *per_axis(data, rank, 4, 7))
    spec = cnnspec.loads(f"input: {flow_of(shape)}\nlayers:\n{body(data, rank)}train: {{loss: cross_entropy}}\n")
    x = np.random.default_rng(0).normal(size=(3, *shape))
    numpy, other = (cnnspec.build(spec, backend=name, dtype="float64", seed=1) for name in ("numpy", "torch"))
    assert difference(numpy.predict(x), other.predict(x)) < 1e-12
    for model in (numpy, other):
        assert spec.train is not None
        model.begin_training(spec.train, 5)
    target = np.array([0, 1, 2])
    for _ in range(3):
        ours, theirs = numpy.step(x, target), other.step(x, target)
        assert ours == pytest.approx(theirs, rel=1e-9)


def test_an_axis_of_size_one_changes_nothing() -> None:
    """A sequence is an image of one row, and an image a volume of depth one, for the same weights."""
    layers = "layers: [conv: {channels: 3, kernel: [%s]}, relu, max_pool: [%s], global_avg_pool, dense: 2]"
    x = np.random.default_rng(0).normal(size=(2, 2, 12))
    results = []
    for rank, axes in enumerate(("5", "1, 5", "1, 1, 5"), 1):
        shape = (2, *[1] * (rank - 1), 12)
        spec = cnnspec.loads(f"input: {flow_of(shape)}\n" + layers % (axes, axes.replace("5", "2")))
        model = cnnspec.build(spec, dtype="float64")
        weights = {name: array.reshape(model.state()[name].shape) for name, array in weights_of_a_sequence().items()}
        model.load(weights)
        results.append(model.predict(x.reshape(2, *shape)))
    assert difference(results[1], results[0]) < 1e-13
    assert difference(results[2], results[0]) < 1e-13


def weights_of_a_sequence() -> dict[str, Any]:
    numbers = np.random.default_rng(1)
    return {
        "conv1.weight": numbers.normal(size=(3, 2, 5)),
        "conv1.bias": numbers.normal(size=3),
        "dense1.weight": numbers.normal(size=(2, 3)),
        "dense1.bias": numbers.normal(size=2),
    }


SEQUENCE = "input: {channels: 1, length: 30}\nlayers: [conv: {channels: 2, kernel: 3}, global_avg_pool, dense: 2]\n"


def test_files_of_sequences(tmp_path, monkeypatch) -> None:
    from cnnspec.data import inputs

    monkeypatch.chdir(tmp_path)
    spec = cnnspec.loads(SEQUENCE)
    np.save("one.npy", np.zeros(30, np.float32))
    np.save("three.npy", np.zeros((3, 30), np.float32))
    np.save("exact.npy", np.zeros((2, 1, 30), np.float32))
    np.save("short.npy", np.zeros(29, np.float32))
    assert inputs.read(["one.npy", "three.npy", "exact.npy"], spec.input).x.shape == (6, 1, 30)
    with pytest.raises(InputError, match=r"\[29\].*\[1, 30\]"):
        inputs.read(["short.npy"], spec.input)


def test_sequences_train_from_npz(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 2, 40)
    np.savez("data.npz", x=(numbers.normal(size=(40, 30)) + 3 * labels[:, None]).astype(np.float32), y=labels)
    spec = cnnspec.loads(SEQUENCE + "train: {data: data.npz, epochs: 20, batch: 10, optimizer: {adam: 0.05}}\n")
    _, result = cnnspec.train(spec, folder="run")
    assert np.mean(result.losses[-4:]) < 0.5 * np.mean(result.losses[:4])


def test_sequences_are_shifted_and_not_rotated(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=np.zeros((4, 30), np.float32), y=np.array([0, 1, 0, 1]))
    cnnspec.train(cnnspec.loads(SEQUENCE + "train: {data: data.npz, epochs: 1, augment: {shift: 2}}\n"), folder="run")
    spec = cnnspec.loads(SEQUENCE + "train: {data: data.npz, augment: {rotate: 2}}\n")
    with pytest.raises(DataError, match="network takes sequences"):
        cnnspec.train(spec, folder="other")
