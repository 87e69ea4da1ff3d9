"""The torch backend beyond the conformance kit: the module in users' hands, devices, training, several processes."""

import copy
import io
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec.errors import BackendError
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.training import Adam, AdamW, CrossEntropy, MeanSquaredError, Sgd, Train
from cnnspec.layers.base import Elementwise
from cnnspec.runtime.backend import find
from cnnspec.testing import CASES
from cnnspec.weights.initial import initial

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install cnnspec[torch]")

F = torch.nn.functional

ROOT = Path(__file__).resolve().parents[2]

SMALL = """
cnnspec: 1
input: [1, 8, 8]
layers:
  - conv: {channels: 4, kernel: 3, norm: batch_norm, activation: relu}
  - max_pool: 2
  - flatten
  - dropout: 0.4
  - dense: 3
"""

OPTIMIZERS = [
    Sgd(learning_rate=0.1),
    Sgd(learning_rate=0.1, momentum=0.9, weight_decay=1e-3),
    Sgd(learning_rate=0.1, momentum=0.9, nesterov=True),
    Adam(weight_decay=1e-2),
    AdamW(),
]


def batches(n, size=8, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(size, 1, 8, 8)), rng.integers(0, 3, size)) for _ in range(n)]


def trained(model, data, train):
    model.begin_training(train, 10)
    return [model.step(x, t) for x, t in data]


def script(code, **environment):
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# The package


def test_importing_the_package_does_not_import_torch():
    process = script("import cnnspec_torch, sys; print('torch' in sys.modules)")
    assert process.communicate(timeout=60)[0] == "False\n"


def test_without_torch_every_use_says_how_to_install_it():
    code = """
import sys
sys.modules["torch"] = None
import cnnspec
from cnnspec_torch import backend
graph = cnnspec.load("lenet")
for use in (
    backend.version, backend.devices, backend.dtypes, lambda: backend.distributed("cpu"),
    lambda: backend.prepare(graph, {}, device="cpu", dtype="float32"), lambda: backend.to_module(graph, {}),
):
    try:
        use()
    except cnnspec.BackendError as error:
        print('pip install "cnnspec[torch]"' in str(error))
"""
    assert script(code).communicate(timeout=60)[0] == "True\n" * 6


# The module in users' hands


def test_state_dict_has_the_names_of_the_spec():
    graph = cnnspec.load("lenet").graph
    assert set(cnnspec.to_torch(graph).state_dict()) == set(graph.parameters)


def test_state_dict_of_attention_has_the_names_of_torch():
    module = cnnspec.to_torch(cnnspec.loads("input: [4, 3, 3]\nlayers: [attention: {heads: 2, name: a}]\n").graph)
    expected = torch.nn.MultiheadAttention(4, 2).state_dict()
    assert {name: value.shape for name, value in module.state_dict().items()} == {
        f"a.{name}": value.shape for name, value in expected.items()
    }


def test_state_dict_names_of_blocks_and_of_layers_named_like_methods():
    graph = cnnspec.loads("""
cnnspec: 1
input: [4, 6, 6]
blocks:
  unit:
    layers: [conv: {channels: 4, kernel: 1, norm: batch_norm}]
layers:
  - unit: {name: stage2}
  - conv: {name: half, channels: 2, kernel: 1}
  - prelu: {name: forward}
""").graph
    module = cnnspec.to_torch(graph)
    assert set(module.state_dict()) == set(graph.parameters)
    assert {"stage2.conv1.weight", "stage2.batch_norm1.running_mean", "half.weight"} < set(module.state_dict())
    x = np.ones((1, 4, 6, 6))
    expected = cnnspec.build(graph, "numpy").predict(x)
    np.testing.assert_allclose(module.eval()(torch.ones(1, 4, 6, 6)).detach().numpy(), expected, rtol=1e-5)


def test_module_learns_in_a_plain_torch_loop():
    torch.manual_seed(0)
    module = cnnspec.to_torch(cnnspec.loads(SMALL).graph).train()
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    ((x, t),) = batches(1, 16)
    x, t = torch.tensor(x, dtype=torch.float32), torch.tensor(t)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(F.cross_entropy(module(x), t))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2


def test_module_follows_train_and_eval():
    module = cnnspec.to_torch(cnnspec.loads(SMALL).graph).train()
    x = torch.randn(8, 1, 8, 8)
    assert not torch.equal(module(x), module(x))
    assert module.state_dict()["batch_norm1.running_mean"].abs().max() > 0
    module.eval()
    before = copy.deepcopy(module.state_dict())
    assert torch.equal(module(x), module(x))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_module_is_copied_pickled_and_saved():
    module = cnnspec.to_torch("lenet")
    x = torch.rand(2, 1, 28, 28)
    expected = module.eval()(x)
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    saved.seek(0)
    loaded = cnnspec.to_torch("lenet", seed=1).eval()
    loaded.load_state_dict(torch.load(saved))
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), loaded):
        assert torch.equal(twin(x), expected)
        with torch.no_grad():
            next(twin.parameters()).zero_()
    assert torch.equal(module(x), expected)


def test_module_runs_a_layer_that_was_exchanged():
    module = cnnspec.to_torch("lenet")
    module.dense3 = torch.nn.Identity()
    assert module(torch.rand(2, 1, 28, 28)).shape == (2, 84)


def test_module_frees_what_is_dead():
    layers = "\n".join(["  - tanh"] * 6)
    module = cnnspec.to_torch(cnnspec.loads(f"cnnspec: 1\ninput: [1, 4, 4]\nlayers:\n{layers}\n").graph)
    made, alive = [], []

    def see(name, value):
        made.append(weakref.ref(value))
        alive.append(sum(ref() is not None for ref in made))

    with torch.no_grad():
        module.execute({"input": torch.rand(1, 1, 4, 4)}, see)
    # The caller holds the input; beside it a layer's input and its output.
    assert len(made) == 7
    assert max(alive) <= 3


def test_export_round_trip_with_any_batch():
    graph = cnnspec.loads(SMALL).graph
    module = cnnspec.to_torch(graph).eval()
    x = torch.randn(2, 1, 8, 8)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    saved = io.BytesIO()
    torch.export.save(program, saved)
    saved.seek(0)
    again = torch.export.load(saved)
    assert set(again.state_dict) == set(graph.parameters)
    for n in (2, 5):
        x = torch.randn(n, 1, 8, 8)
        torch.testing.assert_close(again.module()(x), module(x))


@pytest.mark.parametrize("training", [False, True])
def test_compile_takes_the_module_as_one_graph(training):
    module = cnnspec.to_torch(cnnspec.loads(SMALL.replace("dropout: 0.4", "relu")).graph).train(training)
    twin = copy.deepcopy(module)
    x = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(torch.compile(twin, backend="aot_eager", fullgraph=True)(x), module(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_option_compile():
    graph = cnnspec.loads("cnnspec: 1\ninput: [3]\nlayers: [dense: 2, tanh]\n").graph
    x = np.ones((4, 3))
    compiled, plain = (cnnspec.build(graph, "torch", compile=flag) for flag in (True, False))
    np.testing.assert_allclose(compiled.predict(x), plain.predict(x), rtol=1e-5)


# Devices, formats, options


@pytest.mark.parametrize("case", CASES, ids=str)
def test_everything_is_placed_on_the_device(case):
    """On `meta`, which refuses to mix with numbers elsewhere: parameters, state and every activation."""
    graph = case.graph()
    model = find("torch").prepare(graph, case.weights(), device="meta", dtype="float32")
    arrays = model.module.state_dict()
    named = {name: tuple(a.shape) for name, a in model.module.arrays().items()}
    assert named == {n: p.shape for n, p in graph.parameters.items()}
    values = {}
    for training in (False, True):
        model.module.train(training).execute({"input": torch.empty(case.x().shape, device="meta")}, values.__setitem__)
        assert {value.device.type for value in (*values.values(), *arrays.values())} == {"meta"}
        assert {name: tuple(v.shape[1:]) for name, v in values.items()} == {n.name: n.shape for n in graph.nodes}


def test_meta_has_no_numbers():
    with pytest.raises(BackendError, match="shapes and no numbers"):
        cnnspec.build("lenet", "torch", device="meta").predict(np.zeros((1, 1, 28, 28)))


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cpu:1", ""])
def test_an_absent_device_is_an_error_that_lists_those_present(device):
    with pytest.raises(BackendError, match=rf"no device `{device}` here; torch has cpu"):
        cnnspec.build("lenet", "torch", device=device)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fast": True}, "no option `fast`; it has compile, channels_last, tf32"),
        ({"compile": "yes"}, "`compile` of the torch backend is true or false, not 'yes'"),
        ({"tf32": None}, "`tf32` of the torch backend is true or false, not None"),
    ],
)
def test_wrong_options_are_errors(options, message):
    with pytest.raises(BackendError, match=message):
        cnnspec.build("lenet", "torch", **options)


ROUNDOFF = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""The unit roundoff: half the distance from 1 to the next number of the format."""

SMOOTH = (
    SMALL.replace("activation: relu", "activation: tanh")
    .replace("max_pool", "avg_pool")
    .replace("dropout: 0.4", "tanh")
)
"""Without kinks, where rounding would not perturb a derivative but replace it by another."""

PRODUCTS = 2
"""Layers of that network that autocast computes in the format: the convolution and the dense layer."""


def relative_error(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("seed", range(4))
def test_reduced_precision_keeps_to_its_bound(dtype, seed):
    """The bound of docs/training.md: 3 roundings for each product on the way, in the norm of each array.

    A value has passed every product once, a gradient once forward and once backward.
    """
    spec = cnnspec.loads(SMOOTH)
    model, exact = (cnnspec.build(spec, "torch", dtype=d, seed=seed) for d in (dtype, "float64"))
    ((x, t),) = batches(1, 16, seed)
    y = model.predict(x)
    assert y.dtype == np.float32
    bound = 3 * PRODUCTS * ROUNDOFF[dtype]
    assert 0 < relative_error(y, exact.predict(x)) < bound
    loss, gradients = model.loss_and_gradients(x, t)
    expected_loss, expected = exact.loss_and_gradients(x, t)
    assert loss == pytest.approx(expected_loss, rel=2 * bound)
    for name, gradient in gradients.items():
        assert gradient.dtype == np.float32
        assert relative_error(gradient, expected[name]) < 2 * bound, name


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_reduced_precision_trains_float32_weights(dtype):
    model = cnnspec.build(cnnspec.loads(SMALL), "torch", dtype=dtype)
    ((x, t),) = batches(1, 16)
    before = model.state()["dense1.weight"]
    trained(model, [(x, t)], Train(optimizer=Adam(learning_rate=1e-6)))
    after = model.state()["dense1.weight"]
    # A step of 1e-6 is far below the spacing of the format at these weights: stored in it, they would not move.
    assert 0 < np.abs(after - before).max() < ROUNDOFF[dtype] * np.abs(before).max() / 8
    losses = trained(model, [(x, t)] * 40, Train(optimizer=Adam(learning_rate=0.01)))
    assert losses[-1] < losses[0] / 2
    assert {a.dtype for a in model.state().values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("channels_last", [False, True])
def test_memory_format_changes_no_result(channels_last):
    ((x, t),) = batches(1)
    train = Train(optimizer=Sgd(learning_rate=0.1, momentum=0.9))
    model, other = (cnnspec.build(cnnspec.loads(SMALL).graph, b, dtype="float64", **o) for b, o in
                    (("torch", {"channels_last": channels_last}), ("numpy", {})))  # fmt: skip
    assert trained(model, [(x, t)] * 3, train) == pytest.approx(trained(other, [(x, t)] * 3, train), rel=1e-10)
    for name, array in model.state().items():
        assert array.flags.c_contiguous
        np.testing.assert_allclose(array, other.state()[name], rtol=1e-9, atol=1e-12)


# Numbers stay whose they are


def test_weights_are_copied_in():
    graph = cnnspec.load("lenet").graph
    weights = {name: array.astype(np.float32) for name, array in initial(graph, 0).items()}
    for array in weights.values():
        array.flags.writeable = False
    model = find("torch").prepare(graph, weights, device="cpu", dtype="float32")
    model.begin_training(Train(), 1)
    before = {name: array.copy() for name, array in weights.items()}
    model.step(np.ones((2, 1, 28, 28)), [0, 1])
    assert all(np.array_equal(before[name], array) for name, array in weights.items())


def test_input_is_not_handed_back_and_may_be_read_only():
    model = cnnspec.build(cnnspec.loads("cnnspec: 1\ninput: [4]\nlayers: [dropout: 0.5]\n").graph, "torch")
    x = np.ones((1, 4), np.float32)
    assert not np.shares_memory(model.predict(x), x)
    x.flags.writeable = False
    assert model.predict(x).tolist() == [[1, 1, 1, 1]]


# Training


def test_step_equals_a_hand_written_loop():
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Sigmoid(), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.MaxPool2d(2, 2),
        nn.Flatten(), nn.Linear(256, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip
    graph = cnnspec.load("lenet").graph
    weights = dict(zip(graph.parameters, (p.detach().numpy().copy() for p in net.parameters()), strict=True))
    model = cnnspec.build(graph, "torch", weights=weights)
    model.begin_training(
        Train(optimizer=Sgd(learning_rate=0.5, momentum=0.9), loss=CrossEntropy(label_smoothing=0.1)), 9
    )
    optimizer = torch.optim.SGD(net.parameters(), 0.5, momentum=0.9)
    for _ in range(5):
        x, t = torch.rand(16, 1, 28, 28), torch.randint(0, 10, (16,))
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), t, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        assert model.step(x.numpy(), t.numpy()) == pytest.approx(loss.item(), rel=1e-5)
    for array, p in zip(model.state().values(), net.parameters(), strict=True):
        np.testing.assert_allclose(array, p.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_both_backends_tell_one_story_and_take_each_others_checkpoints(optimizer):
    train = Train(optimizer=optimizer, seed=3)
    ours, other = (cnnspec.build(cnnspec.loads(SMALL).graph, b, dtype="float64") for b in ("torch", "numpy"))
    data = batches(8)
    assert trained(ours, data[:4], train) == pytest.approx(trained(other, data[:4], train), rel=1e-9)
    assert ours.training_state().keys() == other.training_state().keys()
    resumed = cnnspec.build(cnnspec.loads(SMALL).graph, "torch", weights=other.state(), dtype="float64")
    resumed.begin_training(train, 10)
    resumed.load_training_state(other.training_state())
    expected = [other.step(x, t) for x, t in data[4:]]
    assert [resumed.step(x, t) for x, t in data[4:]] == pytest.approx(expected, rel=1e-9)
    assert [ours.step(x, t) for x, t in data[4:]] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_resuming_is_bit_exact(optimizer):
    train, data = Train(optimizer=optimizer), batches(6)
    whole, first, second = (cnnspec.build(cnnspec.loads(SMALL).graph, "torch", seed=seed) for seed in (0, 0, 1))
    expected = trained(whole, data, train)
    trained(first, data[:3], train)
    second.begin_training(train, 10)
    second.load(first.state())
    second.load_training_state(first.training_state())
    assert [second.step(x, t) for x, t in data[3:]] == expected[3:]
    for one, two in ((whole.state(), second.state()), (whole.training_state(), second.training_state())):
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[name], two[name]) for name in one)


def test_gradients_move_nothing():
    model = cnnspec.build(cnnspec.loads(SMALL).graph, "torch")
    ((x, t),) = batches(1)
    model.begin_training(Train(), 10)
    before = model.state()
    first, second = model.loss_and_gradients(x, t), model.loss_and_gradients(x, t)
    assert first[0] == second[0]
    assert first[1].keys() == {name for name, p in model.graph.parameters.items() if p.trainable}
    assert all(np.array_equal(first[1][name], second[1][name]) for name in first[1])
    assert all(np.array_equal(before[name], array) for name, array in model.state().items())


def test_a_network_without_parameters_has_a_loss():
    model = cnnspec.build(cnnspec.loads("cnnspec: 1\ninput: [2]\nlayers: [relu]\n").graph, "torch")
    model.begin_training(Train(loss=MeanSquaredError()), 1)
    assert model.step([[1, -1]], [[0, 0]]) == 0.5


# Layers of third parties


class Double(Elementwise):
    """Twice the input."""

    kind = "double"
    monotone = True
    linear = True
    piecewise = False


def double(at, x):
    return 2 * x


def doubling():
    builder = GraphBuilder("doubling")
    builder.add("double1", Double(), [builder.input((3,)).name])
    return builder.graph()


def test_a_layer_without_an_op_is_an_error_that_names_it():
    with pytest.raises(BackendError, match=r"no op for `double`; .* `cnnspec_torch\.ops`"):
        find("torch").prepare(doubling(), {}, device="cpu", dtype="float32")


def test_an_op_comes_by_entry_point(monkeypatch):
    from importlib.metadata import EntryPoint

    from cnnspec_torch import ops

    point = EntryPoint("double", f"{__name__}:double", ops.ENTRY_POINTS)
    monkeypatch.setattr(ops, "entry_points", lambda group: [point] if group == ops.ENTRY_POINTS else [])
    model = find("torch").prepare(doubling(), {}, device="cpu", dtype="float32")
    assert model.predict([[1, 2, 3]]).tolist() == [[2, 4, 6]]


# Several processes

SIZES = (8, 5, 1, 7, 1, 8)

PROCESS = f"""
import json, sys, weakref
import numpy as np
import torch
import cnnspec
from cnnspec.runtime.backend import find
from cnnspec.graph.training import Sgd, Train

with find("torch").distributed("cpu") as device:
    group = weakref.ref(torch.distributed.group.WORLD) if torch.distributed.is_initialized() else lambda: None
    model = cnnspec.build(cnnspec.loads('''{SMALL}'''), "torch", device=device, dtype="float64")
    model.begin_training(Train(optimizer=Sgd(learning_rate=0.1, momentum=0.9)), 10)
    losses, outputs = [], []
    for i, size in enumerate({SIZES}):
        rng = np.random.default_rng(i)
        x, t = rng.normal(size=(size, 1, 8, 8)), rng.integers(0, 3, size)
        mine = model.shard(size)
        losses.append(model.step(x[mine], t[mine]))
        outputs.append(np.concatenate(model.gather(model.outputs)).tolist())
    state = {{name: array.tolist() for name, array in model.state().items()}}
    print(json.dumps([model.processes, losses, outputs, state]))
assert not torch.distributed.is_initialized()
assert group() is None, "threads of a group that is alive can abort the process when it ends"
"""


def run_processes(code, count):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launched = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    processes = [script(code, RANK=str(rank), LOCAL_RANK=str(rank), **launched) for rank in range(count)]
    try:
        outputs = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def test_two_processes_train_as_one_does():
    """With batch norm and dropout, and batches that do not divide, down to one sample."""
    process = script(PROCESS)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    processes, losses, outputs, state = json.loads(out)
    assert processes == 1
    for code, out, err in run_processes(PROCESS, 2):
        assert code == 0, err
        count, *others = json.loads(out.splitlines()[-1])
        assert count == 2
        assert others[0] == pytest.approx(losses, rel=1e-10)
        for mine, theirs in zip(others[1], outputs, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-10)
        for name, array in others[2].items():
            np.testing.assert_allclose(array, state[name], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("failure", ["raise RuntimeError('disk full')", "os._exit(3)"])
def test_the_others_do_not_wait_for_a_process_that_failed(failure):
    code = f"""
import os
from cnnspec.runtime.backend import find

with find("torch").distributed("cpu"):
    if os.environ["RANK"] == "1":
        {failure}
"""
    (first, _, _), (second, _, err) = run_processes(code, 2)  # which fails where they take longer than its time limit
    assert first == 1
    assert (second, "disk full" in err) in ((1, True), (3, False))


@pytest.mark.parametrize(
    "pool",
    ["2", "{kernel: 3, stride: 2}", "{kernel: 3, stride: 2, padding: 2}", "{kernel: [2, 3], stride: [3, 1]}",
     "{kernel: 3, padding: {top: 2, right: 1}, rounding: ceil}", "{kernel: 1, stride: 2}"],
)  # fmt: skip
def test_a_large_pool_at_inference_is_the_one_of_training(pool):
    model = cnnspec.build(cnnspec.loads(f"input: [8, 33, 31]\nlayers: [max_pool: {pool}]\n"), "torch")
    x = np.random.default_rng(0).normal(size=(4, 8, 33, 31)).astype(np.float32)
    x[0, 0, 3, 3] = np.nan
    assert x.size >= 1 << 14  # from there on inference has a way of its own
    with torch.enable_grad():
        expected = model.module(torch.from_numpy(x).requires_grad_()).detach().numpy()
    np.testing.assert_array_equal(model.predict(x), expected)


def test_inference_follows_the_weights():
    model = cnnspec.build(cnnspec.loads(SMALL), "torch", dtype="float64")
    strict = cnnspec.build(cnnspec.loads(SMALL), "torch", dtype="float64", numerics="strict")
    ((x, t),) = batches(1)
    for _ in range(2):
        np.testing.assert_allclose(model.predict(x), strict.predict(x), rtol=1e-10, atol=1e-12)
        for each in (model, strict):
            each.step(x, t)
    state = {name: array * 1.5 for name, array in model.state().items()}
    for each in (model, strict):
        each.load(state)
    np.testing.assert_allclose(model.predict(x), strict.predict(x), rtol=1e-10, atol=1e-12)
    assert [node.kind for node in model.inference.rewritten.graph.nodes].count("batch_norm") == 0


def test_numerics_is_default_or_strict():
    with pytest.raises(BackendError, match="the option `numerics` is strict, default or fast, not 'exact'"):
        cnnspec.build(cnnspec.loads(SMALL), "torch", numerics="exact")
