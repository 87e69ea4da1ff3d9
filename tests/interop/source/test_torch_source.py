"""PyTorch source: it computes what the torch backend does, has the spec's names, and is formatted and typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec import rng
from cnnspec.errors import ExportError
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.interop.source import pytorch
from cnnspec.interop.source.names import MODULE_ATTRIBUTES, class_name
from cnnspec.interop.source.pytorch import torch_source
from cnnspec.layers.dense import Dense
from cnnspec.runtime.options import Execution
from cnnspec.testing.case import Case
from cnnspec.testing.cases import CASES

torch = pytest.importorskip("torch")

KINDS = sorted({case.kind for case in CASES})
# Small inputs; what else makes them small are the parameters.
ZOO: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "lenet": ((1, 28, 28), {}),
    "resnet18": ((3, 32, 32), {}),
    "resnet50": ((3, 32, 32), {}),
    "mobilenet_v2": ((3, 32, 32), {}),
    "mobilenet_v3_small": ((3, 32, 32), {}),
    "efficientnet_v2_s": ((3, 32, 32), {}),
    "googlenet": ((3, 32, 32), {}),
    "inception_v3": ((3, 107, 107), {}),
    "densenet121": ((3, 32, 32), {}),
    "shufflenet_v2_x1_0": ((3, 32, 32), {}),
    "squeezenet1_0": ((3, 64, 64), {}),
    "convnext_tiny": ((3, 32, 32), {}),
    "regnet_y_400mf": ((3, 32, 32), {}),
    "unet": ((1, 188, 188), {}),
    "attention_unet": ((3, 32, 32), {}),
    "vgg16": ((3, 32, 32), {"hidden": 64}),
    "m5": ((1, 1600), {}),
    "r3d_18": ((3, 4, 16, 16), {}),
}

TOWERS = """
name: towers
inputs: {left: [1, 12, 12], right: [1, 12, 12]}
outputs: [type, box]
blocks:
  tower: {layers: [conv: {channels: 4, kernel: 3}, relu, conv: {name: half, channels: 4, kernel: 3}, batch_norm]}
layers:
  - concat:
      a: [tower: {name: one}]
      b: [from: right, tower: {name: two, share: one}]
      c: [from: left, conv: {name: wide-conv, channels: 4, kernel: 3, padding: 2}, crop: [8, 8]]
      d: [from: right, conv: {share: wide-conv, channels: 4, kernel: 3, dilation: 2}]
  - global_avg_pool: {name: features}
  - dense: {units: 2, name: type}
  - from: features
  - dense: {units: 3, name: box}
"""

INSIDE = """
name: inside
input: [1, 12, 12]
outputs: {all: dense1, part: one.relu1}
blocks:
  tower: {layers: [conv: {channels: 4, kernel: 3}, relu, conv: {name: half, channels: 4, kernel: 3}]}
layers:
  - tower: {name: one}
  - flatten
  - dense: 3
"""

RUNS = """
name: runs
input: [4, 6, 6]
outputs: {deep: concat1, last: relu1}
blocks:
  unit: {params: {c: 4}, layers: [conv: {channels: $c, kernel: 3, padding: same}, batch_norm, tanh]}
  stage:
    params: {n: int}
    layers:
      - unit: {name: unit0, c: 6}
      - conv: {channels: 4, kernel: 1}
      - unit: {name: unit1}
      - repeat: {times: $n, name: deep, layers: [unit: {name: unit}]}
layers:
  - unit: {name: stem}
  - repeat: {each: {i: [1, 2, 3]}, layers: [unit: {name: unit$i}]}
  - stage: {n: 2, name: stage1}
  - stage: {n: 1, name: stage2}
  - concat: {a: [], skip: [from: stem]}
  - conv: {channels: 2, kernel: 1}
  - relu
"""

UNNAMED = """
name: unnamed
input: [3, 8, 8]
layers:
  - conv: {channels: 8, kernel: 2, stride: 2}
  - repeat:
      times: 8
      layers:
        - add: {main: [layer_norm, attention: 2], skip: []}
        - add:
            main: [layer_norm, conv: {channels: 16, kernel: 1, activation: gelu}, conv: {channels: 8, kernel: 1}]
            skip: []
  - global_avg_pool
  - dense: 2
"""


def module_of(spec: Spec, source: str) -> Any:
    names: dict[str, Any] = {}
    exec(compile(source, "net.py", "exec"), names)
    return names[class_name(spec.name)]().double()


def arrays_of(graph: Graph) -> dict[str, Any]:
    """Weights that keep the size of the numbers, and leave no shift, scale or statistic at rest."""
    found = {}
    for name, p in graph.parameters.items():
        array = rng.stream(0, "source", name).random(p.shape) - 0.5
        at_rest = p.fill is not None or name.endswith(".bias")
        shift = 1.0 if name.endswith((".weight", ".running_var")) else 0.0
        array = array + shift if at_rest else array * 2 * (6 / p.fan_in) ** 0.5
        found[name] = torch.tensor(array.astype(np.float32)).double()  # the module of the backend begins in float32
    return found


def same(spec: Spec, arrays: dict[str, Any], inputs: list[Any], training: bool = False, slack: float = 1e-10) -> None:
    """The source computes what the backend's module does, and has the same gradients."""
    own = module_of(spec, torch_source(spec))
    own.load_state_dict(arrays)  # strictly
    state = {name for name in own.state_dict() if not name.endswith("num_batches_tracked")}
    assert state == set(spec.graph.parameters)
    expected = cnnspec.to_torch(spec.graph, {name: a.numpy() for name, a in arrays.items()}).double()
    expected.load(arrays)
    results = []
    for module in (own, expected):
        module.train(training)
        given = [x.clone().requires_grad_() for x in inputs]
        outputs = module(*given)
        outputs = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
        torch.cat([y.flatten() * (1 + torch.arange(y.numel())).sin() for y in outputs]).sum().backward()
        gradients = {name: p.grad for name, p in module.named_parameters(remove_duplicate=True)}
        results.append((outputs, [x.grad for x in given], gradients))
    (found, d, of), (wanted, e, expected_of) = results
    for a, b in zip([*found, *d], [*wanted, *e], strict=True):
        scale = b.detach().nan_to_num().abs().max().item()
        torch.testing.assert_close(a, b, rtol=0, atol=slack * scale + 1e-300, equal_nan=True)
    for name, gradient in of.items():
        if gradient is not None:
            other = expected_of[name]
            torch.testing.assert_close(gradient, other, rtol=0, atol=slack * other.abs().max().item() + 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_of_every_layer(kind: str) -> None:
    for case in (case for case in CASES if case.kind == kind):
        check_case(case)


def check_case(case: Case) -> None:
    spec = case.loaded()
    arrays = {name: torch.tensor(array) for name, array in case.weights().items()}
    # torch's hardsigmoid has the derivative 1/6 of float32.
    slack = 1e-7 if case.kind == "hard_sigmoid" else 1e-10
    same(spec, arrays, [torch.tensor(case.x())], slack=slack)
    if not any(node.layer.stochastic for node in spec.graph.nodes):
        same(spec, arrays, [torch.tensor(case.x())], training=True, slack=slack)


@pytest.mark.parametrize("name", ZOO)
def test_networks(name: str) -> None:
    shape, params = ZOO[name]
    spec = cnnspec.load(name, input_shape=shape, params=params)
    own = module_of(spec, torch_source(spec)).eval()
    arrays = arrays_of(spec.graph)
    own.load_state_dict(arrays)
    expected = cnnspec.to_torch(spec.graph).double().eval()
    expected.load(arrays)
    x = torch.tensor(rng.stream(0, "source", "input").standard_normal((1, *shape)))
    with torch.no_grad():
        found, wanted = own(x), expected(x)
    assert wanted.std() > 0
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10 * wanted.abs().max().item())


@pytest.mark.parametrize("text", [TOWERS, INSIDE, UNNAMED, RUNS], ids=["towers", "inside", "unnamed", "runs"])
def test_shared_weights_several_outputs_and_unnamed_repeats(text: str) -> None:
    spec = cnnspec.loads(text)
    inputs = [
        torch.tensor(rng.stream(0, n).standard_normal((2, *spec.graph.by_name[n].shape))) for n in spec.graph.inputs
    ]
    same(spec, arrays_of(spec.graph), inputs, slack=1e-9)


def test_blocks_are_classes_and_repeats_are_loops() -> None:
    source = torch_source(cnnspec.load("resnet50"))
    assert source.count("class ") == 4  # two kinds of units, the stage, the network
    assert "self.stage3 = Stage(512, 1024, units=6, stride=2)" in source
    assert len(source.splitlines()) < 120
    assert "def block(" in torch_source(cnnspec.loads(UNNAMED))


def test_dropout_follows_the_mode() -> None:
    spec = cnnspec.loads("input: [200]\nlayers: [dropout: 0.5, stochastic_depth: 0.5]\n")
    own, x = module_of(spec, torch_source(spec)), torch.ones(64, 200, dtype=torch.float64)
    assert torch.equal(own.eval()(x), x)
    y = own.train()(x)
    assert set(y.unique().tolist()) == {0.0, 4.0}


def test_is_formatted_and_typed(tmp_path: Path) -> None:
    names = ["lenet", "resnet50", "googlenet", "unet", "shufflenet_v2_x1_0", "inception_v3"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(torch_source(cnnspec.load(name)), "utf-8")
    for text in (TOWERS, UNNAMED):
        spec = cnnspec.loads(text)
        (tmp_path / f"{spec.name}.py").write_text(torch_source(spec), "utf-8")
    for tool, command in (
        ("ruff", ["format", "--check", "--isolated", "--line-length", "120", str(tmp_path)]),
        (
            "mypy",
            [
                "--strict",
                f"--cache-dir={tmp_path / 'cache'}",
                str(tmp_path / "lenet.py"),
                str(tmp_path / "resnet50.py"),
            ],
        ),
    ):
        pytest.importorskip(tool)
        done = subprocess.run([sys.executable, "-m", tool, *command], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_needs_no_torch() -> None:
    code = (
        "import sys, cnnspec; from cnnspec.interop.source.pytorch import torch_source; "
        "torch_source(cnnspec.load('resnet50')); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_name_hides_an_attribute_of_modules() -> None:
    public = {name for name in dir(torch.nn.Module()) if not name.startswith("_")}
    assert public | {n for n in dir(torch.nn.ModuleDict()) if not n.startswith("_")} <= MODULE_ATTRIBUTES


def test_arrays_of_several_layers_are_an_error() -> None:
    builder = GraphBuilder("odd")
    x = builder.input((4,))
    builder.add("a", Dense(units=4), [x.name])
    builder.add("b", Dense(units=4), ["a"], arrays={"weight": "a.weight"})
    graph = builder.graph()
    with pytest.raises(ExportError, match=r"`b`.*`a\.weight`, `b\.bias`"):
        torch_source(Spec("odd", graph, {}))


def test_export_writes_the_weights_beside_it(tmp_path: Path, cnnspec: Any) -> None:
    result = cnnspec("export", "lenet", "-o", "net.py", "--weights", "lenet")
    assert result.exit_code == 0, result.output
    source = Path("net.py").read_text("utf-8")
    assert 'load_file("net.safetensors")' in source
    names: dict[str, Any] = {}
    exec(source, names)
    from safetensors.torch import load_file

    model = names["Lenet"]()
    model.load_state_dict(load_file("net.safetensors"))
    assert np.isfinite(model(torch.zeros(1, 1, 28, 28)).detach().numpy()).all()
    assert cnnspec("export", "lenet", "-o", "other.py").exit_code == 0
    assert not Path("other.safetensors").exists()


def test_source_with_weights_is_compared_with_numpy_before_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, path = cnnspec.load("lenet"), tmp_path / "net.py"
    found = pytorch.write_source(spec, path, Execution(), "lenet")
    assert found.engine is not None
    assert found.engine.startswith("torch ")
    assert found.difference is not None
    assert found.difference.relative < 1e-5
    good = path.read_text()
    wrong = pytorch.torch_source(spec).replace("sigmoid", "tanh")
    monkeypatch.setattr(pytorch, "torch_source", lambda *_: wrong)
    with pytest.raises(ExportError, match="PyTorch computes something else than the network"):
        pytorch.write_source(spec, path, Execution(), "lenet")
    assert path.read_text() == good
    assert pytorch.write_source(spec, path, Execution(), "lenet", verify=False).difference is None
