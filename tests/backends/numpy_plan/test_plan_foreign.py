"""Layers of third parties have no method in a plan: their kernels compute them, at inference and in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cnnspec_numpy.plan import executor
from cnnspec_numpy.plan.value import Layout
from cnnspec_numpy.training import executor as training
from plan_comparison import assert_same_outputs, assert_same_training, force, prepare

from cnnspec.arrays import Array
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import MeanSquaredError, Train
from cnnspec.layers.base import Elementwise, Parameter, SameShape, Shape
from cnnspec.layers.conv import Conv
from cnnspec.layers.pool import MaxPool
from cnnspec.rng import dropout_mask


class Cube(Elementwise):
    """x³."""

    kind = "cube"
    monotone = True
    linear = False
    piecewise = False


class Noise(Elementwise):
    """x·(1 + rate) for a part of the elements in training, which the seed and the step tell."""

    kind = "noise"
    monotone = False
    linear = True
    piecewise = False
    stochastic = True

    rate: float = 0.5


class Mirror(SameShape):
    """The columns in reverse, times a factor for each channel; it counts its steps, and keeps a limit."""

    kind = "mirror"
    elementwise = False
    monotone = False
    linear = True
    piecewise = False

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        return {
            "factor": Parameter(inputs[0][:1], 1.0),
            "count": Parameter((1,), 0.0, trainable=False),
            "limit": Parameter((1,), 7.0, trainable=False),
        }


def cube(context: Any, x: Array) -> Any:
    return x**3, lambda dy: ((3 * x * x * dy,), {})


def noise(context: Any, x: Array) -> Any:
    factor = np.ones_like(x)
    if context.training:
        factor += 0.5 * dropout_mask(context.seed, context.step, context.node.name, x.shape, context.layer.rate)
    return x * factor, lambda dy: ((dy * factor,), {})


def mirror(context: Any, x: Array) -> Any:
    factor = context.params["factor"][:, None, None]
    turned = x[..., ::-1]
    if context.training:
        context.state[context.node.arrays["count"]] = context.params["count"] + 1
    return turned * factor, lambda dy: (((dy * factor)[..., ::-1],), {"factor": (dy * turned).sum((0, 2, 3))})


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "foreign_plan-1.0.dist-info").mkdir()
    (tmp_path / "foreign_plan-1.0.dist-info" / "METADATA").write_text("Name: foreign-plan\nVersion: 1.0\n")
    names = "\n".join(f"{kind} = test_plan_foreign:{kind}" for kind in ("cube", "noise", "mirror"))
    (tmp_path / "foreign_plan-1.0.dist-info" / "entry_points.txt").write_text(f"[cnnspec_numpy.kernels]\n{names}\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def foreign(*layers: Any) -> Graph:
    builder = GraphBuilder("foreign")
    last = builder.input((3, 6, 7)).name
    last = builder.add("conv", Conv(channels=4, kernel=(3, 3)), [last]).name
    for i, layer in enumerate(layers):
        last = builder.add(f"{layer.kind}{i}", layer, [last]).name
    return builder.graph()


GRAPHS = {
    "elementwise": lambda: foreign(Cube(), Conv(channels=2, kernel=(3, 3), padding="same"), Cube()),
    "monotone before a pool": lambda: foreign(Cube(), MaxPool(kernel=(2, 2))),
    "with parameters and state": lambda: foreign(Mirror(), Conv(channels=4, kernel=(3, 3), padding="same"), Mirror()),
    "random": lambda: foreign(Noise(), Cube(), Noise()),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", GRAPHS)
def test_outputs(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "SHARE_SECONDS", 1e-12)
    graph = GRAPHS[name]()
    for layout in (None, *Layout):
        with monkeypatch.context() as patch:
            if layout is not None:
                force(patch, layout, 0)
            assert_same_outputs(prepare(graph, threads=threads), prepare(graph, "strict"), (1, 2, 5))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", GRAPHS)
def test_training(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that draws at random is computed for the whole batch at once."""
    monkeypatch.setattr(training, "LEAST", 2)
    graph = GRAPHS[name]()
    for n in (1, 2, 7):
        assert_same_training(prepare(graph, threads=threads), prepare(graph, "strict"), n, MeanSquaredError())


def test_its_state_is_kept_where_the_kernel_leaves_none() -> None:
    graph = foreign(Mirror())
    weights = {name: np.full(p.shape, 0.5) for name, p in graph.parameters.items()}
    model = prepare(graph, weights=weights)
    model.begin_training(Train(loss=MeanSquaredError()), 1)
    for _ in range(3):
        model.step(np.ones((2, 3, 6, 7)), np.zeros((2, 4, 4, 5)))
    assert model.state()["mirror0.limit"] == 0.5
    assert model.state()["mirror0.count"] == 3.5
