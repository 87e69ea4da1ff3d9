"""`verify`: backends that agree are said to, and one that does not is caught at the layer where it begins."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import cnnspec
from cnnspec import bundled
from cnnspec.cli import main
from cnnspec.graph.costs import trainable
from cnnspec.layers import Shape
from cnnspec.runtime.backend import available
from cnnspec.runtime.build import prepare
from cnnspec.testing import verification
from cnnspec.testing.verification import difference, verify

BACKENDS = list(available())

LARGEST = 6_000_000
"""Parameters; larger networks take longer, and test_zoo.py runs them forward on every backend."""

DEEPEST = "efficientnet_v2_s"
"""Verified although it is larger: a sum over 40 gated branches shows first where initial weights amplify rounding."""


SMALLER = {224: 64, 320: 128, 384: 64, 640: 64}
"""The sizes that large images are reduced to."""


def small(name: str) -> Shape | None:
    """A reduced input for the networks of large images."""
    shape = cnnspec.load(name).graph.input.shape
    size = SMALLER.get(shape[-1])
    return None if size is None else (shape[0], size, size)


BATCH = {"ssdlite320_mobilenet_v3_large": 6}
"""Of two numbers, batch normalization makes −1 and 1 whatever they are: their gradients are nothing but rounding."""


NAMES = [name for name in bundled.names() if name == DEEPEST or trainable(cnnspec.load(name).graph.nodes) <= LARGEST]


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs a second backend")
@pytest.mark.parametrize("name", NAMES)
def test_every_bundled_spec(name: str) -> None:
    graph = cnnspec.load(name, input_shape=small(name)).graph
    for comparison in verify(graph, BACKENDS, dtypes=("float64",), batch=BATCH.get(name, 2)):
        assert comparison.tolerance == 1e-9
        assert comparison.first_mismatch is None, max(comparison.layers, key=lambda layer: layer.worst())


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs a second backend")
@pytest.mark.parametrize("name", ["lenet", "lenet5", "mlp", "nin", "resnet20", "separable28", "allconv28"])
def test_float32(name: str) -> None:
    for comparison in verify(cnnspec.load(name).graph, BACKENDS, dtypes=("float32",)):
        assert comparison.tolerance == 1e-4
        assert comparison.first_mismatch is None, max(comparison.layers, key=lambda layer: layer.worst())


def test_the_first_layer_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare_wrong(graph, execution, weights):  # type: ignore[no-untyped-def]
        if execution.backend == "wrong":
            execution = replace(execution, backend="numpy")
            weights = weights | {"dense2.bias": weights["dense2.bias"] + 1e-6}
        return prepare(graph, execution, weights)

    monkeypatch.setattr(verification, "prepare", prepare_wrong)
    monkeypatch.setattr(verification, "itemsize", lambda execution: 8)
    right, wrong = verify(cnnspec.load("lenet").graph, ["numpy", "wrong"], dtypes=("float64",))
    assert right.first_mismatch is None
    assert wrong.first_mismatch == "dense2"
    assert {layer.name for layer in wrong.layers if layer.value > 1e-9} == {"dense2", "sigmoid4", "dense3"}


def test_what_predict_computes_is_compared_with_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare_with_a_wrong_plan(graph, execution, weights):  # type: ignore[no-untyped-def]
        model = prepare(graph, execution, weights)
        run = model._run
        model._run = lambda inputs, hook=None: {k: y + (hook is None) * 1e-6 for k, y in run(inputs, hook).items()}
        return model

    monkeypatch.setattr(verification, "prepare", prepare_with_a_wrong_plan)
    (comparison,) = verify(cnnspec.load("lenet").graph, ["numpy"], dtypes=("float64",))
    assert comparison.first_mismatch == "dense3"


def test_the_measure() -> None:
    a = np.array([4.0, -2.0])
    assert difference(a, a) == 0
    assert difference(a, np.array([4.0, -1.0])) == 0.25
    assert difference(np.zeros(2), np.array([0, 3.0])) == 3
    assert difference(a, np.zeros(3)) == math.inf
    assert math.isnan(difference(a, np.array([np.nan, 0])))


def test_nan_is_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = verification.LayerDifference("x", (1,), (1,), value=math.nan)
    assert layer.worst() == math.inf
    assert verification.LayerDifference("x", (1,), (2,)).worst() == math.inf


KINKS = {"relu": 0, "relu6": 6, "leaky_relu": 0, "prelu": 0, "selu": 0, "hard_sigmoid": -3, "hard_swish": 3}


@pytest.mark.parametrize(("layer", "kink"), [*KINKS.items(), ("max_pool: 2", None), ("global_max_pool", None)])
def test_a_number_on_either_side_of_a_kink_is_not_compared(
    layer: str, kink: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values agree and derivatives do not: what comes before the kink cannot be compared, what comes after can."""
    last = "dense: 1" if layer == "global_max_pool" else "conv: {channels: 1, kernel: 1}"
    graph = cnnspec.loads(f"""
input: [1, 2, 2]
layers: [conv: {{channels: 1, kernel: 1, weight: 1, bias: false}}, {layer}, {last}]
""").graph

    def prepare_shifted(graph, execution, weights):  # type: ignore[no-untyped-def]
        name = execution.backend
        model = prepare(graph, replace(execution, backend="numpy"), weights)
        checked, sign = model._checked, 1 if name == "shifted" else -1

        def near(inputs, least=1):  # type: ignore[no-untyped-def]
            """Numbers at the kink, or two rivals for a maximum, a little to one side or the other."""
            found = checked(inputs, least)
            for x in found.values():
                x[:] = kink if kink is not None else 1
                x[..., 0, 0] += sign * 1e-12
            return found

        if name in ("numpy", "shifted") and len(graph.nodes) > 2:
            model._checked = near
        return model

    monkeypatch.setattr(verification, "prepare", prepare_shifted)
    monkeypatch.setattr(verification, "itemsize", lambda execution: 8)
    _, comparison = verify(graph, ["numpy", "shifted"], dtypes=("float64",))
    kind = layer.split(":")[0]
    assert comparison.nonsmooth == (f"{kind}1",)
    compared = {layer.name: layer.compared for layer in comparison.layers}
    behind = graph.nodes[-1].name
    assert compared == {"input": False, "conv1": False, f"{kind}1": False, behind: True}


class TestCommand:
    def test_json(self) -> None:
        result = CliRunner().invoke(main, ["verify", "lenet", "--format", "json", "--dtype", "float64"])
        assert result.exit_code == 0
        found = json.loads(result.stdout)
        assert found["spec"] == "lenet"
        assert found["agrees"] is True
        assert [c["backend"] for c in found["comparisons"]] == BACKENDS
        conv = found["comparisons"][0]["layers"][1]
        assert conv["name"] == "conv1"
        assert conv["predicted"] == conv["actual"] == [6, 24, 24]

    def test_text(self) -> None:
        result = CliRunner().invoke(main, ["verify", "lenet", "--backend", "numpy"])
        assert result.exit_code == 0
        assert "agree: largest difference " in result.stdout
        assert " relative, tolerance 1e-09" in result.stdout

    def test_options_reach_the_backends_that_have_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given = {}

        def prepare_and_note(graph, execution, weights):  # type: ignore[no-untyped-def]
            given[execution.backend] = dict(execution.options)
            return prepare(graph, execution, weights)

        monkeypatch.setattr(verification, "prepare", prepare_and_note)
        flags = ("--threads", "1", "--numerics", "fast", "--dtype", "float64")
        assert CliRunner().invoke(main, ["verify", "lenet", *flags]).exit_code == 0
        assert given == {name: {"threads": 1, "numerics": "fast"} for name in BACKENDS}
        given.clear()
        for comparison in verify(cnnspec.load("lenet"), dtypes=("float64",), channels_last=False):
            assert comparison.first_mismatch is None
        assert given == {name: {"channels_last": False} if name == "torch" else {} for name in BACKENDS}

    @pytest.mark.skipif(len(BACKENDS) < 2, reason="needs a second backend")
    def test_a_device_reaches_the_backends_that_have_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given = []

        def prepare_and_note(graph, execution, weights):  # type: ignore[no-untyped-def]
            given.append((execution.backend, execution.device))
            return prepare(graph, replace(execution, device="cpu"), weights)

        monkeypatch.setattr(verification, "prepare", prepare_and_note)
        monkeypatch.setattr(available()["torch"], "devices", lambda: ["cpu", "cuda"])
        verify(cnnspec.load("lenet"), dtypes=("float64",), device="cuda")
        assert given == [("numpy", "cpu"), ("torch", "cuda")]

    def test_a_device_that_no_backend_has(self) -> None:
        result = CliRunner().invoke(main, ["verify", "lenet", "--device", "cuda:99"])
        assert result.exit_code == 1
        assert result.stderr.startswith("error: there is no device `cuda:99` here: numpy has cpu")

    def test_disagreement_exits_with_1(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(verification.TOLERANCE, "float64", -1.0)
        result = CliRunner().invoke(main, ["verify", "lenet", "--dtype", "float64"])
        assert result.exit_code == 1
        assert "first mismatch at `input`" in result.stdout
