"""Ctrl-C while several threads compute: it is raised, and the model goes on as if it had not been."""

from __future__ import annotations

import gc
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


class Interrupt:
    """Interrupts a call after some seconds, and nothing behind it, where a signal may arrive late."""

    is_armed = False

    def handle(self, *_: Any) -> None:
        if self.is_armed:
            self.is_armed = False
            raise KeyboardInterrupt

    def __call__(self, call: Callable[[], object], seconds: float) -> bool:
        """Make a call; return whether it was interrupted: it may be faster."""
        try:
            self.is_armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
            call()
        except KeyboardInterrupt:
            return True
        finally:
            self.is_armed = False
        return False


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    found = Interrupt()
    before = signal.signal(signal.SIGALRM, found.handle)
    gc.disable()  # an interrupt inside a callback of the collector, which hypothesis has one of, is not raised
    yield found
    gc.enable()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def blas() -> Iterator[Callable[[], set[int]]]:
    """BLAS with two threads, whatever the environment says."""
    with threadpoolctl.threadpool_limits(2, "blas"):
        yield lambda: {lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"}


def test_an_interrupt_is_raised_when_all_threads_are_done(interrupt: Interrupt) -> None:
    """Not while one still writes, and the next run waits for its own tasks."""
    team, done = Team(2), []

    def slow(name: str) -> None:
        time.sleep(0.3)
        done.append(name)

    assert interrupt(lambda: team.run([lambda: None, lambda: slow("first")]), 0.05)
    assert done == ["first"]
    team.run([lambda: None, lambda: slow("second")])
    assert done == ["first", "second"]
    team.close()


def test_an_interrupt_ends_those_who_wait_for_the_caller(interrupt: Interrupt) -> None:
    team, barrier = Team(2), Barrier(2)
    assert interrupt(lambda: team.run([lambda: time.sleep(10), lambda: barrier.wait(1)], barrier.abort), 0.05)
    team.close()


@pytest.mark.parametrize("lanes", [False, True])
def test_predictions(
    lanes: bool, interrupt: Interrupt, blas: Callable[[], set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "SHARE_SECONDS", 1e-12)
    monkeypatch.setattr(plan, "LANE_SECONDS", 0)
    graph = network(LAYERS, (3, 24, 24))
    model = prepare(graph, threads=3)
    x = batch(graph, 2 if lanes else 48)["input"]
    expected = model.predict(x)
    model.predict(x)

    settings = np.geterr(), np.getbufsize()
    assert model._planned().schedule(len(x)).lanes == (3 if lanes else 1)
    for seconds in moments(lambda: model.predict(x)):
        interrupt(lambda: model.predict(x), seconds)
        assert (np.geterr(), np.getbufsize()) == settings
        np.testing.assert_array_equal(model.predict(x), expected)
        assert blas() == {2}
        with model._planned()._members() as team:
            assert team is not None


@pytest.mark.parametrize("layers", [LAYERS, LAYERS.replace("norm: batch_norm, ", "")], ids=["norm", "no norm"])
def test_steps(layers: str, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a normalisation, the threads wait for each other."""
    monkeypatch.setattr(training, "LEAST", 2)
    graph = network(layers, (3, 24, 24))
    model = prepare(graph, threads=3)
    x, target = batch(graph, 24)["input"], targets(graph, CrossEntropy(), 24)
    loss, gradients = model.loss_and_gradients(x, target)
    settings = np.geterr(), np.getbufsize()
    for seconds in moments(lambda: model.loss_and_gradients(x, target)):
        interrupt(lambda: model.loss_and_gradients(x, target), seconds)
        assert (np.geterr(), np.getbufsize()) == settings
        again, found = model.loss_and_gradients(x, target)
        assert again == loss
        for name, gradient in gradients.items():
            np.testing.assert_array_equal(found[name], gradient)


def moments(call: Callable[[], object]) -> list[float]:
    """Return moments spread over the time that a call takes."""
    begin = time.perf_counter()
    call()
    seconds = time.perf_counter() - begin
    return [max(1e-5, seconds * (i + 0.5) / 25) for i in range(25)]
