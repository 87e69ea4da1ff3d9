"""Plans on threads: models beside each other, errors, forks, and the setting of BLAS that is given back."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from cnnspec_numpy.plan import executor, plan
from cnnspec_numpy.threads import Team
from cnnspec_numpy.training import executor as training
from plan_comparison import EXACT, assert_same_outputs, batch, network, prepare, targets, worst

from cnnspec.arrays import Array
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import CrossEntropy, MeanSquaredError, Train
from cnnspec.layers.base import Elementwise
from cnnspec.layers.conv import Conv
from cnnspec.layers.norm import BatchNorm

LAYERS = "conv: {channels: 8, kernel: 3, norm: batch_norm, activation: relu}, max_pool: 2, flatten, dense: 4"


@pytest.fixture(autouse=True)
def _small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "SHARE_SECONDS", 1e-12)
    monkeypatch.setattr(plan, "LANE_SECONDS", 0)
    monkeypatch.setattr(training, "LEAST", 2)


@pytest.fixture(autouse=True)
def blas() -> Iterator[Callable[[], list[int]]]:
    """BLAS with two threads, whatever the environment says."""

    def setting() -> list[int]:
        return [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]

    with threadpoolctl.threadpool_limits(2, "blas"):
        before = setting()
        assert before
        yield setting
        assert setting() == before


class Faulty(Elementwise):
    """A layer whose kernel raises where it reads 13, and looks at the setting of BLAS."""

    kind = "faulty"
    monotone = False
    linear = False
    piecewise = False


SEEN: list[int] = []


def faulty(context: Any, x: Array) -> Any:
    SEEN.extend(lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas")
    if (x == 13).any():
        raise ZeroDivisionError("of the kernel")
    return x * x, lambda dy: ((2 * x * dy,), {})


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's package that has the kernel."""
    (tmp_path / "faulty_kernels-1.0.dist-info").mkdir()
    (tmp_path / "faulty_kernels-1.0.dist-info" / "METADATA").write_text("Name: faulty-kernels\nVersion: 1.0\n")
    (tmp_path / "faulty_kernels-1.0.dist-info" / "entry_points.txt").write_text(
        "[cnnspec_numpy.kernels]\nfaulty = test_plan_threads:faulty\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def foreign(with_norm: bool = False) -> Graph:
    builder = GraphBuilder("foreign")
    last = builder.input((2, 6, 6)).name
    last = builder.add("faulty", Faulty(), [last]).name
    last = builder.add("conv", Conv(channels=3, kernel=(3, 3)), [last]).name
    last = builder.add("faulty2", Faulty(), [last]).name
    return (builder.add("norm", BatchNorm(), [last]) and builder).graph() if with_norm else builder.graph()


@pytest.mark.parametrize("n", [1, 9])
def test_blas_keeps_to_one_thread_inside(n: int, package: None) -> None:
    SEEN.clear()
    prepare(foreign(), threads=3).predict(batch(foreign(), n)["input"])
    assert set(SEEN) == {1}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("at", [0, 4, 8])
def test_an_error_in_a_share_is_raised_and_forgotten(threads: int, at: int, package: None) -> None:
    graph = foreign()
    model, strict = prepare(graph, threads=threads), prepare(graph, "strict")
    x = batch(graph, 9)["input"]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="of the kernel"):
            model.predict(with_fault(x, at))
        assert_same_outputs(model, strict, (1, 9))


def with_fault(x: Array, *at: int) -> Array:
    x = x.copy()
    for i in at:
        x[i].flat[0] = 13
    return x


@pytest.mark.parametrize("with_norm", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("at", [(0,), (4,), (8,), (0, 4, 8)])
def test_an_error_in_a_shard_ends_the_others(threads: int, at: tuple[int, ...], with_norm: bool, package: None) -> None:
    """With a normalisation the shards wait for each other; the error that is raised is that of the kernel."""
    graph = foreign(with_norm)
    model, strict = prepare(graph, threads=threads), prepare(graph, "strict")
    for m in (model, strict):
        m.begin_training(Train(loss=MeanSquaredError()), 1)
    x, target = batch(graph, 9)["input"], targets(graph, MeanSquaredError(), 9)
    for _ in range(2):
        before = model.state()
        with pytest.raises(ZeroDivisionError, match="of the kernel"):
            model.step(with_fault(x, *at), target)
        assert worst(model.state(), before) == 0
        assert model.step(x, target) == pytest.approx(strict.step(x, target), rel=EXACT)
    assert worst(model.state(), strict.state()) <= EXACT


def test_a_team_forgets_every_error() -> None:
    team = Team(3)

    def fail() -> None:
        raise ZeroDivisionError

    done: list[int] = []
    for tasks in ([fail, fail, fail], [lambda: done.append(0), fail, fail], [fail, lambda: done.append(1)]):
        with pytest.raises(ZeroDivisionError):
            team.run(tasks)
        team.run([lambda i=i: done.append(i) for i in range(3)])
    assert sorted(done) == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    team.close()


# Several threads


def test_one_model_on_several_threads() -> None:
    graph = network(LAYERS)
    model, strict = prepare(graph, threads=2), prepare(graph, "strict")
    batches = [batch(graph, n, seed)["input"] for seed, n in enumerate([1, 2, 5, 9, 16, 1, 2, 5] * 4)]
    expected = [strict.predict(x) for x in batches]
    with ThreadPoolExecutor(4) as pool:
        for found, y in zip(pool.map(model.predict, batches), expected, strict=True):
            np.testing.assert_allclose(found, y, rtol=0, atol=EXACT)


def test_models_side_by_side() -> None:
    """One predicts while others train."""
    graph = network(LAYERS)
    x, target = batch(graph, 8)["input"], targets(graph, CrossEntropy(), 8)

    def train(threads: int) -> list[float]:
        model = prepare(graph, threads=threads)
        return [model.step(x, target) for _ in range(5)]

    def predict(threads: int) -> list[float]:
        model = prepare(graph, threads=threads)
        return [float(model.predict(x).sum()) for _ in range(5)]

    alone = [train(2), predict(2), train(3), predict(3)]
    with ThreadPoolExecutor(4) as pool:
        together = [pool.submit(f, threads) for threads in (2, 3) for f in (train, predict)]
    assert [future.result() for future in together] == alone


def test_the_team_of_a_model_ends_with_it() -> None:
    model = prepare(network(LAYERS), threads=4)
    model.predict(batch(model.graph, 8)["input"])
    team = model._planned()._team
    workers = list(team._workers)
    assert [worker.is_alive() for worker in workers] == [True] * 3
    del model, team
    gc.collect()
    for worker in workers:
        worker.join(5)
    assert [worker.is_alive() for worker in workers] == [False] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_predicts_and_trains() -> None:
    graph = network(LAYERS)
    model = prepare(graph, threads=2)
    x, target = batch(graph, 8)["input"], targets(graph, CrossEntropy(), 8)
    expected = model.predict(x), model.loss_and_gradients(x, target)[0]
    child = os.fork()
    if child == 0:  # pragma: no cover  (another process)
        same = np.array_equal(model.predict(x), expected[0]) and model.loss_and_gradients(x, target)[0] == expected[1]
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(model.predict(x), expected[0])
