"""Ctrl-C while several threads compute: it is raised, and the model goes on as if it had not been."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from cnnspec_numpy.plan import executor, plan
from cnnspec_numpy.threads import Barrier, Team
from cnnspec_numpy.training import executor as training
from plan_comparison import batch, network, prepare, targets

from cnnspec.graph.training import CrossEntropy

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")

LAYERS = "conv: {channels: 8, kernel: 3, norm: batch_norm, activation: relu}, max_pool: 2, flatten, dense: 4"


@pytest.fixture
def after() -> Iterator[Callable[[float], None]]:
    """Call it to be interrupted after some seconds; 0 calls that off."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)  # type: ignore[misc, return-value]
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_an_interrupt_is_raised_when_all_threads_are_done(after: Callable[[float], None]) -> None:
    """Not while one still writes, and the next run waits for its own tasks."""
    team, done = Team(2), []

    def slow(name: str) -> None:
        time.sleep(0.3)
        done.append(name)

    after(0.05)
    with pytest.raises(KeyboardInterrupt):
        team.run([lambda: None, lambda: slow("first")])
    assert done == ["first"]
    team.run([lambda: None, lambda: slow("second")])
    assert done == ["first", "second"]
    team.close()


def test_an_interrupt_ends_those_who_wait_for_the_caller(after: Callable[[float], None]) -> None:
    team, barrier = Team(2), Barrier(2)
    after(0.05)
    with pytest.raises(KeyboardInterrupt):
        team.run([lambda: time.sleep(10), lambda: barrier.wait(1)], barrier.abort)
    team.close()


@pytest.mark.parametrize("lanes", [False, True])
def test_predictions(lanes: bool, after: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "SHARE_SECONDS", 1e-12)
    monkeypatch.setattr(plan, "LANE_SECONDS", 0)
    graph = network(LAYERS, (3, 24, 24))
    model = prepare(graph, threads=3)
    x = batch(graph, 2 if lanes else 48)["input"]
    expected = model.predict(x)
    model.predict(x)

    def setting() -> list[int]:
        return [library["num_threads"] for library in threadpoolctl.threadpool_info()]

    before = setting()
    for seconds in interruptions(lambda: model.predict(x)):
        interrupted(lambda: model.predict(x), seconds, after)
        np.testing.assert_array_equal(model.predict(x), expected)
        assert setting() == before


@pytest.mark.parametrize("layers", [LAYERS, LAYERS.replace("norm: batch_norm, ", "")], ids=["norm", "no norm"])
def test_steps(layers: str, after: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a normalisation, the threads wait for each other."""
    monkeypatch.setattr(training, "LEAST", 2)
    graph = network(layers, (3, 24, 24))
    model = prepare(graph, threads=3)
    x, target = batch(graph, 24)["input"], targets(graph, CrossEntropy(), 24)
    loss, gradients = model.loss_and_gradients(x, target)
    for seconds in interruptions(lambda: model.loss_and_gradients(x, target)):
        interrupted(lambda: model.loss_and_gradients(x, target), seconds, after)
        again, found = model.loss_and_gradients(x, target)
        assert again == loss
        for name, gradient in gradients.items():
            np.testing.assert_array_equal(found[name], gradient)


def interruptions(call: Callable[[], object]) -> list[float]:
    """Return moments spread over the time that a call takes."""
    begin = time.perf_counter()
    call()
    seconds = time.perf_counter() - begin
    return [max(1e-5, seconds * (i + 0.5) / 25) for i in range(25)]


def interrupted(call: Callable[[], object], seconds: float, after: Callable[[float], None]) -> None:
    """Make a call that is interrupted, unless it is faster."""
    try:
        after(seconds)
        call()
        after(0)
    except KeyboardInterrupt:
        pass
