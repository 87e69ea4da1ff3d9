"""Keras source: it computes what NumPy does, is saved and loaded by Keras, and has the spec's names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_torch_source import INSIDE, RUNS, TOWERS, UNNAMED

import cnnspec
from cnnspec import rng
from cnnspec.arrays import Arrays
from cnnspec.errors import ExportError
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.spec import Spec
from cnnspec.interop.source.keras_helpers import HELPERS as KERAS_HELPERS
from cnnspec.interop.source.keras_source import keras_source
from cnnspec.interop.source.keras_weights import keras_model, keras_outputs
from cnnspec.interop.source.names import TAKEN
from cnnspec.interop.source.torch_helpers import HELPERS as TORCH_HELPERS
from cnnspec.layers import LAYERS
from cnnspec.layers.base import Elementwise
from cnnspec.testing.case import Case
from cnnspec.testing.cases import CASES

# Keras takes arrays of PyTorch in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

REFUSED = {"attention-no-output-bias": "`attention1` adds a bias in all projections but the last"}
"""The cases that Keras has no layer for, and why."""

KINDS = sorted({case.kind for case in CASES})
ZOO: dict[str, tuple[int, ...] | None] = {
    "lenet": None,
    "resnet18": (3, 32, 32),
    "resnet50": (3, 32, 32),
    "resnext50_32x4d": (3, 32, 32),
    "mobilenet_v2": (3, 32, 32),
    "mobilenet_v3_small": (3, 32, 32),
    "efficientnet_b0": (3, 32, 32),
    "googlenet": (3, 32, 32),
    "inception_v3": (3, 107, 107),
    "densenet121": (3, 32, 32),
    "shufflenet_v2_x1_0": (3, 32, 32),
    "squeezenet1_0": (3, 64, 64),
    "convnext_tiny": (3, 32, 32),
    "regnet_y_400mf": (3, 32, 32),
    "unet_padded": (1, 32, 32),
    "dcgan_generator": None,
    "m5": (1, 1600),
    "r3d_18": (3, 4, 16, 16),
    "vit_tiny": (3, 64, 64),
    "yolov8n": (3, 64, 64),
}

FLIPPED = """
name: flipped
input: [1, 8, 8]
layers:
  - concat:
      a: [conv: {name: one, channels: 2, kernel: 3}]
      b: [conv: {share: one, channels: 2, kernel: 3, flip: true}]
      c: [conv: {share: one, channels: 2, kernel: 3, stride: 2}, upsample: 2]
"""


def arrays_of(spec: Spec) -> Arrays:
    """Weights that keep the size of the numbers, and leave no shift, scale or statistic at rest."""
    found = {}
    for name, p in spec.graph.parameters.items():
        array = rng.stream(0, "source", name).random(p.shape) - 0.5
        at_rest = p.fill is not None or name.endswith(".bias")
        shift = 1.0 if name.endswith((".weight", ".running_var")) else 0.0
        array = array + shift if at_rest else array * 2 * (6 / max(1, p.fan_in)) ** 0.5
        found[name] = array.astype(np.float32)
    return found


def same(model: Any, spec: Spec, arrays: Arrays, inputs: dict[str, Any], slack: float = 1e-5) -> None:
    wanted = cnnspec.build(spec, "numpy", weights=arrays, dtype="float64", memory_limit=4 << 30).run(inputs)
    found = keras_outputs(model, inputs, spec.graph.output_names)
    for name, expected in wanted.items():
        scale = np.abs(np.nan_to_num(expected, posinf=0, neginf=0)).max()
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=slack * scale + 1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_of_every_layer(kind: str, keras: Any, tmp_path: Path) -> None:
    """Also after Keras has saved and loaded the model: what is no layer of its own is found again."""
    for case in (case for case in CASES if case.kind == kind):
        if case.name in REFUSED:
            with pytest.raises(ExportError, match=REFUSED[case.name]):
                keras_source(case.loaded())
        else:
            check_case(case, keras, tmp_path / "model.keras")


def check_case(case: Case, keras: Any, path: Path) -> None:
    spec, arrays, inputs = case.loaded(), case.weights(), {"input": case.x()}
    model = keras_model(spec, arrays)
    with np.errstate(all="ignore"):
        same(model, spec, arrays, inputs)
    model.save(path)
    found, expected = (keras_outputs(m, inputs, ["y"])["y"] for m in (keras.models.load_model(path), model))
    np.testing.assert_array_equal(found, expected)


def test_every_layer_can_be_written() -> None:
    assert {case.kind for case in CASES} == LAYERS.keys()


@pytest.mark.parametrize("name", ZOO)
def test_networks(name: str, keras: Any) -> None:
    spec = cnnspec.load(name, input_shape=ZOO[name])
    arrays = arrays_of(spec)
    x = rng.stream(0, "source", "input").standard_normal((1, *spec.graph.input.shape))
    same(keras_model(spec, arrays), spec, arrays, {spec.graph.inputs[0]: x}, slack=2e-5)


@pytest.mark.parametrize("text", [TOWERS, INSIDE, UNNAMED, RUNS], ids=["towers", "inside", "unnamed", "runs"])
def test_shared_weights_several_outputs_and_repeats(text: str, keras: Any) -> None:
    text = text.replace("b: [conv: {share: wide-conv, channels: 4, kernel: 3, dilation: 2}]", "b: []")
    spec = cnnspec.loads(text.replace(", dilation: 2}]", ", padding: {top: 2, left: 2}}, crop: [8, 8]]"))
    inputs = {n: rng.stream(0, n).standard_normal((2, *spec.graph.by_name[n].shape)) for n in spec.graph.inputs}
    arrays = arrays_of(spec)
    model = keras_model(spec, arrays)
    same(model, spec, arrays, inputs)
    assert model.count_params() == sum(p.size for p in spec.graph.parameters.values())


def test_blocks_are_functions_and_repeats_are_loops() -> None:
    source = keras_source(cnnspec.load("resnet50"))
    assert source.count("\ndef ") == 5  # three kinds of units, the stage, the network
    assert 'x = stage(x, 1024, units=6, name="stage3")' in source
    assert "for i in range(1, units):" in source
    assert len(source.splitlines()) < 90
    runs = keras_source(cnnspec.loads(RUNS))
    assert "for i in range(1, 4):" in runs


def test_layers_have_the_names_of_the_spec(keras: Any) -> None:
    spec = cnnspec.load("resnet18", input_shape=(3, 32, 32))
    model = keras_model(spec, arrays_of(spec))
    names = {layer.name for layer in model.layers}
    assert {node.name.replace(".", "_") for node in spec.graph.nodes} == {n for n in names if not n.endswith("_pad")}
    assert model.get_layer("stage2_unit0_conv1").kernel.shape == (3, 3, 64, 128)


def test_a_saved_model_is_loaded_where_its_source_is_imported(keras: Any, tmp_path: Path, process: Any) -> None:
    spec = cnnspec.loads(UNNAMED.replace("  - repeat:", "  - position_embedding\n  - resize: 5\n  - repeat:", 1))
    model = keras_model(spec, arrays_of(spec))
    model.save(tmp_path / "model.keras")
    (tmp_path / "net.py").write_text(keras_source(spec), "utf-8")
    code = (
        "import keras, net, numpy; model = keras.models.load_model('model.keras'); "
        "print(model(numpy.ones((1, 8, 8, 3), 'float32')).tolist())"
    )
    done = process(code=code, env={"KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    expected = model(np.ones((1, 8, 8, 3), np.float32)).tolist()
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), expected, rtol=1e-5)


def test_training_drops_and_normalizes_as_keras_does(keras: Any) -> None:
    spec = cnnspec.loads("input: [200]\nlayers: [dropout: 0.5, stochastic_depth: 0.5]\n")
    model, x = keras_model(spec, {}), np.ones((64, 200), np.float32)
    np.testing.assert_array_equal(model(x, training=False).detach().numpy(), x)
    y = model(x, training=True).detach().numpy()
    assert set(np.unique(y).tolist()) == {0.0, 4.0}
    assert {bool(row.any()) for row in y} == {True, False}


def test_a_new_model_begins_with_what_the_fields_say(keras: Any) -> None:
    text = "name: tiny\ninput: [3]\nlayers: [scale: 0.5, shift: 2.0, prelu: {slope: 0.1}, position_embedding: 0.0]\n"
    names: dict[str, Any] = {}
    exec(keras_source(cnnspec.loads(text)), names)
    y = names["tiny"]()(np.array([[2.0, -2.0, -8.0]], np.float32))
    np.testing.assert_allclose(y.detach().numpy(), [[3, 1, -0.2]], rtol=1e-6)


def test_what_one_layer_of_keras_cannot_be_is_an_error() -> None:
    spec = cnnspec.loads(FLIPPED)
    with pytest.raises(ExportError, match=r"`conv\d?` has the arrays of `one`.*; `conv\d?` has the arrays of `one`"):
        keras_source(spec)


class Unknown(Elementwise):
    """A layer of another package."""

    kind = "unknown"
    monotone = False
    linear = False
    piecewise = False


def test_layers_of_other_packages_are_an_error() -> None:
    builder = GraphBuilder("odd")
    builder.add("odd1", Unknown(), [builder.input((3,)).name])
    builder.add("odd2", Unknown(), ["odd1"])
    with pytest.raises(ExportError, match=r"no Keras code for `odd1` \(unknown\); .* `odd2` \(unknown\)"):
        keras_source(Spec("odd", builder.graph(), {}))


def test_no_variable_hides_a_helper() -> None:
    helpers = [*KERAS_HELPERS, *TORCH_HELPERS]
    assert {name for name in helpers if name[0].islower()} <= TAKEN


def test_two_layers_of_one_name_are_an_error() -> None:
    block = "blocks: {b: {layers: [conv: {name: c_d, channels: 1, kernel: 1}, relu]}}"
    layers = "layers: [b: {name: a}, conv: {name: a_c_d, channels: 1, kernel: 1}]"
    with pytest.raises(ExportError, match=r"`a\.c_d` and `a_c_d` would both be called `a_c_d` in Keras"):
        keras_source(cnnspec.loads(f"input: [1, 2, 2]\n{block}\n{layers}\n"))


def test_is_formatted(tmp_path: Path) -> None:
    pytest.importorskip("ruff")
    names = ["lenet", "resnet50", "googlenet", "unet", "shufflenet_v2_x1_0", "regnet_y_400mf", "vit_tiny", "siamese"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(keras_source(cnnspec.load(name)), "utf-8")
    for case in (case for case in CASES if case.name not in REFUSED):
        (tmp_path / f"case_{case.name.replace('-', '_')}.py").write_text(keras_source(case.loaded()), "utf-8")
    for command in (["format", "--check"], ["check", "--select", "E,F,W,I,UP,B,C4,SIM"]):
        options = ["--isolated", "--line-length", "120", str(tmp_path)]
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_needs_no_keras() -> None:
    code = (
        "import sys, cnnspec; from cnnspec.interop.source.keras_source import keras_source; "
        "keras_source(cnnspec.load('resnet50')); assert not {'keras', 'torch', 'h5py'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
