"""Methods that are chosen by timed runs: where the times are kept, and what makes no difference. No time is judged."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cnnspec_numpy.plan import autotune
from cnnspec_numpy.plan.choice import LAYOUTS
from cnnspec_numpy.plan.lower import lower
from cnnspec_numpy.plan.methods.table import candidates

import cnnspec
from cnnspec.errors import BackendError
from cnnspec.runtime.model import Model

SPEC = """
input: [3, 10, 10]
layers:
  - conv: {channels: 4, kernel: 3, padding: same}
  - sigmoid
  - conv: {channels: 4, kernel: 3, padding: same, groups: 4}
  - max_pool: 2
  - add: {a: [conv: {channels: 4, kernel: 1}], b: []}
  - flatten
  - dense: 5
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of times, which is not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cnnspec" / autotune.FILE


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times that are measured: calls are made once, and each takes longer than the one before."""
    found: list[float] = []

    def least_time(call: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> float:
        before()
        call()
        found.append(1e-6 * (1 + len(found)))
        return found[-1]

    monkeypatch.setattr(autotune, "least_time", least_time)
    return found


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((3, 3, 10, 10))


def model(spec: str = SPEC, **options: Any) -> Model:
    return cnnspec.build(cnnspec.loads(spec), dtype="float64", autotune=True, **options)


def test_outputs_are_equal(x: np.ndarray, cache: Path) -> None:
    expected = cnnspec.build(cnnspec.loads(SPEC), dtype="float64", numerics="strict").predict(x)
    np.testing.assert_allclose(model().predict(x), expected, rtol=1e-11, atol=1e-13)
    (times,) = autotune.read(cache).values()
    assert all(seconds > 0 for seconds in times.values())
    assert any("; 3 samples; columns, nhwc" in key for key in times)
    assert any(key.startswith("conversion of [4, 5, 5]; 3 samples") for key in times)


def test_a_second_model_measures_nothing(x: np.ndarray, timed: list[float]) -> None:
    first = model(threads=1)
    y = first.predict(x)
    measured = len(timed)
    assert measured > 10
    first.predict(x)
    again = model(threads=1)
    np.testing.assert_array_equal(again.predict(x), y)
    assert [step[:5] for step in again.plan(3)] == [step[:5] for step in first.plan(3)]
    assert len(timed) == measured
    again.predict(x[:1])
    assert len(timed) > measured


def test_equal_operations_share_their_times(timed: list[float], cache: Path) -> None:
    model("input: [4, 6, 6]\nlayers: [conv: {channels: 4, kernel: 3, padding: same}]\n").plan()
    once = len(timed)
    cache.unlink()
    layers = ", ".join(["conv: {channels: 4, kernel: 3, padding: same}"] * 3)
    model(f"input: [4, 6, 6]\nlayers: [{layers}]\n").plan()
    assert len(timed) - once <= once + 1  # a conversion of what is no longer the output alone


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\x00", b"[]", b"null", b"{", b'{"a": 1}', b'{"a": {"b": "c"}}', b"[" * 100_000,
        b'{"a": {"b": NaN, "c": -1, "d": true, "e": Infinity, "f": null, "g": 1e400}}',
    ],
)  # fmt: skip
def test_a_file_that_is_not_of_this_kind_is_ignored(x: np.ndarray, cache: Path, content: bytes) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content)
    assert not any(autotune.read(cache).values())
    model().predict(x)
    assert any(autotune.read(cache).values())


def test_times_of_another_machine_are_kept_and_not_used(x: np.ndarray, cache: Path, timed: list[float]) -> None:
    model().predict(x)
    (about,) = found = json.loads(cache.read_text())
    other = {"another machine": found[about]}
    cache.write_text(json.dumps(other))
    measured = len(timed)
    model().predict(x)
    assert len(timed) == 2 * measured
    assert json.loads(cache.read_text()).keys() == {about, "another machine"}


def test_what_another_process_wrote_meanwhile_is_kept(x: np.ndarray, cache: Path, timed: list[float]) -> None:
    first, second = model(), model("input: [2]\nlayers: [dense: 3]\n")
    first.predict(x)
    second.plan(4)
    (times,) = autotune.read(cache).values()
    assert any("conv" in key for key in times)
    assert any("4 samples; product" in key for key in times)


def test_a_folder_that_cannot_be_written(x: np.ndarray, cache: Path, timed: list[float]) -> None:
    cache.parent.parent.write_text("a file in the folder's place")
    first = model()
    y = first.predict(x)
    measured = len(timed)
    np.testing.assert_array_equal(first.predict(x), y)
    assert len(timed) == measured
    assert cache.parent.parent.read_text() == "a file in the folder's place"


def test_a_disk_that_is_full(x: np.ndarray, cache: Path, timed: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(autotune.atomic, "write", write)
    assert model().predict(x).shape == (3, 5)
    assert not cache.exists()


def test_several_threads_may_be_the_first(x: np.ndarray) -> None:
    shared, found = model(threads=2), []
    threads = [threading.Thread(target=lambda: found.append(shared.predict(x))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for y in found:
        np.testing.assert_allclose(y, found[0], rtol=1e-12, atol=1e-14)


def test_every_candidate_can_be_timed() -> None:
    """Each method of each kind of layer, alone and with what is merged into it."""
    spec = cnnspec.loads(
        """
        input: [4, 8, 8]
        layers:
          - conv: {channels: 4, kernel: 3, padding: same}
          - max_pool: 2
          - batch_norm
          - relu
          - concat: {a: [conv: {channels: 4, kernel: 3, padding: same, groups: 4}], b: []}
          - channel_shuffle: 2
          - avg_pool: {kernel: 3, padding: same, stride: 1}
          - silu
          - upsample: 2
          - conv_transpose: {channels: 4, kernel: 2, stride: 2}
          - layer_norm
          - pad: 1
          - crop: [12, 12]
          - global_avg_pool
          - dense: 3
          - log_softmax
        """
    )
    timed = 0
    for operation in lower(spec.graph):
        if not operation.node.inputs or operation.node.layer.aliases_input:
            continue
        for layout in LAYOUTS:
            for method in candidates(operation, layout, fast=True):
                run, before = autotune.calls_of(*autotune.alone(operation, method), 2, np.dtype(np.float32))
                before()
                run()
                timed += 1
    assert timed >= 30


def test_what_an_operation_is_described_by() -> None:
    def key(layer: str, shape: str = "[4, 8, 8]") -> str:
        *_, operation = lower(cnnspec.loads(f"input: {shape}\nlayers: [{layer}]\n").graph)
        return autotune.described(operation)

    conv = key("conv: {channels: 4, kernel: 3}")
    assert key("conv: {channels: 4, kernel: 3, name: other}") == conv
    others = [
        key("conv: {channels: 5, kernel: 3}"), key("conv: {channels: 4, kernel: [3, 2]}"),
        key("conv: {channels: 4, kernel: 3, stride: 2}"), key("conv: {channels: 4, kernel: 3, dilation: 2}"),
        key("conv: {channels: 4, kernel: 3, groups: 2}"), key("conv: {channels: 4, kernel: 3, padding: 1}"),
        key("conv: {channels: 4, kernel: 3, bias: false}"), key("conv: {channels: 4, kernel: 3}, relu"),
        key("conv: {channels: 4, kernel: 3}", "[4, 9, 8]"), key("conv: {channels: 4, kernel: 3}, relu, relu6"),
    ]  # fmt: skip
    assert len({conv, *others}) == len(others) + 1


@pytest.mark.parametrize("value", [1, "yes", None])
def test_the_option_is_true_or_false(value: Any) -> None:
    with pytest.raises(BackendError, match="`autotune` of the numpy backend is true or false, not "):
        cnnspec.build("lenet", autotune=value)


def test_the_least_of_some_calls() -> None:
    calls: list[str] = []
    assert autotune.least_time(lambda: calls.append("call"), lambda: calls.append("before")) > 0
    assert calls[:4] == ["before", "call"] * 2
    assert 3 <= calls.count("call") == calls.count("before") <= autotune.RUNS
