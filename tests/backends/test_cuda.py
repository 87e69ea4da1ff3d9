"""CUDA: on a device where there is one; elsewhere what surrounds it, with stand-ins for the device alone.

A recording is stood in for by a trace: operations of tensors in the memory that they had, with every number of Python
fixed, as a CUDA graph has them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.errors import BackendError, MemoryLimitError
from cnnspec.graph.training import Adam, AdamW, BinaryCrossEntropy, Clip, Cosine, CrossEntropy, Dice, Loss, Sgd, Train
from cnnspec.runtime.backend import find
from cnnspec.runtime.model import Model
from cnnspec.testing import CASES

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install cnnspec[torch]")

from cnnspec_torch import devices, recording, transfer  # noqa: E402
from cnnspec_torch.model import TorchModel  # noqa: E402

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

SMALL = """
cnnspec: 1
name: net
input: [1, 8, 8]
layers:
  - conv: {channels: 4, kernel: 3, norm: batch_norm, activation: relu}
  - max_pool: 2
  - flatten
  - dropout: 0.4
  - dense: 3
"""
MAP = "input: [1, 8, 8]\nlayers: [conv: {channels: 3, kernel: 3, padding: same, norm: batch_norm}]\n"


def batch(size: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, 1, 8, 8)), rng.integers(0, 3, size)


def trained(model: Model, batches: list[tuple[Any, Any]], train: Train) -> list[float]:
    model.begin_training(train, 10)
    return [model.step(x, t) for x, t in batches]


# On a device


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("options", [{}, {"cuda_graphs": True}, {"channels_last": True}], ids=str)
def test_cuda_agrees_with_the_cpu(options: dict[str, Any]) -> None:
    for case in CASES:
        there, here = (
            find("torch").prepare(case.graph(), case.weights(), device=device, dtype="float32", **given)
            for device, given in (("cuda", options), ("cpu", {}))
        )
        for _ in range(2):
            expected = here.predict(case.x())
            np.testing.assert_allclose(there.predict(case.x()), expected, rtol=1e-4, atol=1e-5, err_msg=case.name)


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("cuda_graphs", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_cuda_learns(dtype: str, cuda_graphs: bool) -> None:
    options: dict[str, Any] = {"device": "cuda", "dtype": dtype, "cuda_graphs": cuda_graphs}
    model = cnnspec.build(cnnspec.loads(SMALL).graph, "torch", **options)
    losses = trained(model, [batch(16)] * 40, Train(optimizer=Adam(learning_rate=0.01)))
    assert losses[-1] < losses[0] / 2


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("options", [{}, {"cuda_graphs": True}, {"channels_last": True}], ids=str)
@pytest.mark.parametrize("optimizer", [Sgd(learning_rate=0.1, momentum=0.9), AdamW()], ids=repr)
def test_cuda_trains_as_numpy_does(optimizer: Any, options: dict[str, Any]) -> None:
    """Without dropout, whose masks are drawn on the device."""
    spec = cnnspec.loads(SMALL.replace("dropout: 0.4", "tanh"))
    data = [batch(size, size) for size in (8, 8, 5, 8)]
    ours = cnnspec.build(spec, "torch", device="cuda", dtype="float64", **options)
    other = cnnspec.build(spec, "numpy", dtype="float64")
    train = Train(optimizer=optimizer, clip=Clip(norm=1.0), ema=0.9)
    assert trained(ours, data, train) == pytest.approx(trained(other, data, train), rel=1e-8)
    for name, array in other.state().items():
        np.testing.assert_allclose(ours.state()[name], array, rtol=1e-7, atol=1e-10, err_msg=name)


@gpu
@pytest.mark.gpu
def test_deterministic_training_on_cuda_is_bit_equal() -> None:
    runs = []
    for _ in range(2):
        model = cnnspec.build("lenet", "torch", device="cuda", deterministic=True)
        rng = np.random.default_rng(0)
        data = [(rng.normal(size=(64, 1, 28, 28)), rng.integers(0, 10, 64)) for _ in range(5)]
        runs.append((trained(model, data, Train()), model.state()))
    assert runs[0][0] == runs[1][0]
    assert all(np.array_equal(array, runs[1][1][name]) for name, array in runs[0][1].items())


# Recordings


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let the CPU record, by a trace; returns the traces so far."""
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils._pytree import tree_leaves

    made: list[Any] = []

    def record(function: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        for _ in range(recording.WARM_UPS):
            function()
        found: list[Any] = []

        def traced() -> list[Any]:
            found.append(function())
            return tree_leaves(found[-1])

        graph = make_fx(traced)()
        made.append(graph)
        result = found[-1]

        def replay() -> None:
            for mine, new in zip(tree_leaves(result), graph(), strict=True):
                mine.copy_(new)

        return result, replay

    monkeypatch.setattr(recording, "record", record)
    monkeypatch.setattr(TorchModel, "_check_options", lambda self: None)
    return made


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", [Sgd(learning_rate=0.1, momentum=0.9), AdamW()], ids=repr)
def test_recorded_steps_are_those_that_are_not(recordings: list[Any], dtype: str, optimizer: Any) -> None:
    """Batches of several sizes, in one part and in several; rates, masks and running statistics change each time."""
    train = Train(optimizer=optimizer, clip=Clip(norm=1.0), ema=0.9, schedule=Cosine(warmup=1), epochs=2)
    plain, recorded = (
        cnnspec.build(cnnspec.loads(SMALL), "torch", dtype=dtype, cuda_graphs=flag) for flag in (False, True)
    )
    for model in (plain, recorded):
        model.begin_training(train, 3)
    for i, size in enumerate((8, 5, 8, 8, 5, 8)):
        x, t = batch(size, i)
        losses = [model.step(x, t, 1 + i // 3) for model in (plain, recorded)]
        assert losses[0] == losses[1]
        np.testing.assert_array_equal(plain.outputs, recorded.outputs)
    for one, two in ((plain.state(), recorded.state()), (plain.training_state(), recorded.training_state())):
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[name], array) for name, array in two.items())
    assert len(recordings) == 5  # batches of 8 and 5, and parts of 4, 3 and 2


def test_a_recorded_step_resumes(recordings: list[Any]) -> None:
    train = Train(optimizer=AdamW())
    data = [batch(8, i) for i in range(6)]
    whole, first, second = (cnnspec.build(cnnspec.loads(SMALL), "torch", seed=s, cuda_graphs=True) for s in (0, 0, 1))
    expected = trained(whole, data, train)
    trained(first, data[:3], train)
    second.begin_training(train, 10)
    second.load(first.state())
    second.load_training_state(first.training_state())
    assert [second.step(x, t) for x, t in data[3:]] == expected[3:]


@pytest.mark.parametrize(
    "loss",
    [CrossEntropy(class_weights=(1.0, 2.0, 0.5), label_smoothing=0.1), CrossEntropy(ignore=1), Dice(), Dice(ignore=2)],
    ids=repr,
)
def test_recorded_losses_of_maps(recordings: list[Any], loss: Loss) -> None:
    models = [cnnspec.build(cnnspec.loads(MAP), "torch", cuda_graphs=flag) for flag in (False, True)]
    for model in models:
        model.begin_training(Train(loss=loss), 3)
    for seed in range(3):
        target = np.random.default_rng(seed).integers(0, 3, (4, 8, 8))  # another number of ignored pixels each time
        one, two = (model.step(batch(4, seed)[0], target) for model in models)
        assert one == two


def test_recorded_inference_follows_the_weights(recordings: list[Any]) -> None:
    plain, recorded = (cnnspec.build(cnnspec.loads(SMALL), "torch", cuda_graphs=flag) for flag in (False, True))
    for factor in (1.0, 1.5, 0.5):
        state = {name: array * factor for name, array in plain.state().items()}
        for model in (plain, recorded):
            model.load(state)
        for size in (3, 1):
            x, _ = batch(size, size)
            np.testing.assert_allclose(recorded.predict(x), plain.predict(x), rtol=1e-5, atol=1e-6)
    assert len(recordings) == 2  # one for each size: new weights are read by the same recording


def test_no_more_recordings_are_kept_than_have_room(recordings: list[Any]) -> None:
    model = cnnspec.build(cnnspec.loads(SMALL), "torch", cuda_graphs=True)
    for size in range(1, recording.MOST + 3):
        model.predict(batch(size)[0])
    before = len(recordings)
    model.predict(batch(recording.MOST)[0])
    assert len(recordings) == before
    model.predict(batch(1)[0])
    assert len(recordings) == before + 1


def test_threads_share_recorded_inference(recordings: list[Any]) -> None:
    model = cnnspec.build(cnnspec.loads(SMALL), "torch", cuda_graphs=True)
    inputs = [batch(4, seed)[0] for seed in range(4)]
    expected = [model.predict(x) for x in inputs]
    wrong = []

    def repeat(i: int) -> None:
        wrong.extend(i for _ in range(20) if not np.array_equal(model.predict(inputs[i]), expected[i]))

    threads = [Thread(target=repeat, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_cuda_graphs_without_cuda_or_beside_what_excludes_them_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="`cuda_graphs` needs a CUDA device, and the model is on `cpu`"):
        cnnspec.build(cnnspec.loads(SMALL), "torch", cuda_graphs=True)
    model = cnnspec.build(cnnspec.loads(SMALL), "torch")
    assert isinstance(model, TorchModel)
    model.torch_device = torch.device("cuda:0")
    model.options = type(model.options)(cuda_graphs=True, recompute=("stage*",))
    with pytest.raises(BackendError, match="`cuda_graphs` and `recompute` exclude each other"):
        model._check_options()


# A step that is waited for later


def test_a_device_that_computes_meanwhile_gives_the_same_run(tmp_path: Path) -> None:
    """Metrics, checkpoints and resuming are those of a device that is waited for at each step."""
    from cnnspec.data.options import DataOptions
    from cnnspec.language.load import load_spec
    from cnnspec.runtime.options import Execution
    from cnnspec.training.recorded import read_records
    from cnnspec.training.result import Interrupted
    from cnnspec.training.run import resume_run, settings_for, start_run
    from cnnspec.weights import files

    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x_train=rng.random((50, 1, 8, 8), np.float32), y_train=rng.integers(0, 3, 50))
    (tmp_path / "net.yaml").write_text(SMALL + "train: {batch: 8, epochs: 3, validation: 0.2}\n")
    spec = load_spec(tmp_path / "net.yaml", None, resize=False)
    order: list[str] = []

    def made(name: str, overlaps: bool, stop_after: int | None = None) -> Path:
        folder, data = tmp_path / name, DataOptions(str(tmp_path / "data.npz"))
        with start_run(spec, settings_for(spec, {"data": data.source}), Execution("torch"), data, folder=folder) as run:
            if overlaps:
                lag(run.trainer.model, order)
            if stop_after is None:
                run.trainer.run()
                return folder
            run.trainer.should_stop = lambda: run.trainer.model.steps >= stop_after
            with pytest.raises(Interrupted):
                run.trainer.run()
        with resume_run(folder, DataOptions()) as run:
            assert run.trainer.model.steps == stop_after
            lag(run.trainer.model, order)
            run.trainer.run()
        return folder

    def records(folder: Path) -> list[dict[str, Any]]:
        timed = {"seconds", "samples_per_second", "data_wait"}
        return [{key: value for key, value in record.items() if key not in timed} for record in read_records(folder)]

    def weights(folder: Path) -> dict[str, Any]:
        return dict(files.read(folder / "last.safetensors", private=True))

    expected = made("plain", overlaps=False)
    found = made("overlapping", overlaps=True)
    assert order[:4] == ["begin 1", "begin 2", "finish 1", "begin 3"]
    for folder in (found, made("stopped", overlaps=True, stop_after=7)):
        assert records(folder) == records(expected)
        assert all(np.array_equal(array, weights(folder)[name]) for name, array in weights(expected).items())


def lag(model: Any, order: list[str]) -> None:
    """Let a model hand out the result of a step when it is waited for."""
    model.overlaps = True
    start = model._start_step

    def start_step(parts: Any) -> Callable[[], Any]:
        number = model.steps + 1
        order.append(f"begin {number}")
        finish = start(parts)

        def finished() -> Any:
            order.append(f"finish {number}")
            return finish()

        return finished

    model._start_step = start_step


class Streams:
    """A stand-in for CUDA's streams, which writes down what is done in which order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.now = "computing"
        log = self.log

        class Stream:
            def __init__(self, name: str) -> None:
                self.name = name

            def wait_stream(self, other: Stream) -> None:
                log.append(f"{self.name} waits for {other.name}")

        class Event:
            def record(self, stream: Stream) -> None:
                log.append(f"event on {stream.name}")

            def synchronize(self) -> None:
                log.append("wait for the event")

        empty = torch.empty

        @contextmanager
        def inside(stream: Stream) -> Iterator[None]:
            before, self.now = self.now, stream.name
            yield
            self.now = before

        def pin(tensor: Any) -> Any:
            log.append(f"pin for {self.now}")
            return tensor.clone()

        monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: Stream(self.now))
        monkeypatch.setattr(torch.cuda, "stream", inside)
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(transfer, "_stream_of_copies", lambda device: Stream("copying"))
        monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
        monkeypatch.setattr(torch.Tensor, "record_stream", lambda t, s: log.append(f"memory is read on {s.name}"))
        monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: empty(shape, dtype=dtype))


def test_copies_to_the_device_run_beside_the_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    copy = transfer._to_cuda(torch.arange(3.0), torch.device("cpu"))
    assert copy.tolist() == [0, 1, 2]
    assert streams.log == ["pin for copying", "computing waits for copying", "memory is read on computing"]


def test_results_are_copied_behind_what_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    y = torch.arange(3.0)
    arrays = transfer._from_cuda({"y": y}, torch.device("cpu"))
    y.zero_()  # by the next step
    assert streams.log == ["event on computing"]
    assert arrays()["y"].tolist() == [0, 1, 2]
    assert streams.log == ["event on computing", "wait for the event"]


# Placement


class NoWaiting(torch.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc]
    """Fails where an operation waits for the device, or brings numbers there from the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        result = func(*args, **(kwargs or {}))
        leaves = torch.utils._pytree.tree_leaves((args, kwargs, result))
        # Numbers without axes go along with a kernel, as those of Python do.
        devices = {x.device.type for x in leaves if isinstance(x, torch.Tensor) and (x.ndim or x.is_meta)}
        assert "cpu" not in devices, f"`{name}` is on the CPU"
        assert "meta" not in devices or name not in WAITS, f"`{name}` waits"
        return result


WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal")


LOSSES: list[tuple[str, Loss, tuple[int, ...], Any]] = [
    (SMALL, CrossEntropy(class_weights=(1.0, 2.0, 0.5)), (4,), np.int64),
    (MAP, CrossEntropy(ignore=1), (4, 8, 8), np.int64),
    (MAP, Dice(ignore=1), (4, 8, 8), np.int64),
    (MAP, BinaryCrossEntropy(positive_weight=(1.0, 2.0, 3.0)), (4, 3, 8, 8), np.float32),
]


@pytest.mark.parametrize(("text", "loss", "shape", "dtype"), LOSSES, ids=lambda value: getattr(value, "kind", None))
def test_a_step_waits_for_nothing(
    text: str, loss: Loss, shape: tuple[int, ...], dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On `meta`: passes forward and back, the update and the moving average stay on the device."""
    model = cnnspec.build(cnnspec.loads(text), "torch", device="meta")
    assert isinstance(model, TorchModel)
    model.begin_training(Train(loss=loss, optimizer=AdamW(), clip=Clip(norm=1.0, value=1.0), ema=0.99), 10)
    parts = model._parts(np.zeros((4, 1, 8, 8)), np.zeros(shape, dtype), 2)

    def there(array: Any) -> Any:
        return torch.empty(array.shape, device="meta", dtype=getattr(torch, str(array.dtype)))

    def mask(name: str, shape: tuple[int, ...], rate: float) -> Any:
        return torch.empty(shape, device="meta", dtype=torch.bool)

    monkeypatch.setattr(model.transfer, "to_device", there)
    monkeypatch.setattr(model.gradients, "_mask", mask)
    with NoWaiting():
        found, outputs = model.gradients(parts)
        model._update()
    assert found.is_meta
    output = model.graph.output
    assert {name: tuple(y.shape) for name, y in outputs.items()} == {output.name: (4, *output.shape)}
    assert all(p.grad is not None and p.grad.is_meta for p in model.parameters.values())


def test_images_are_channels_last_where_tensor_cores_read_them() -> None:
    cuda, cpu = torch.device("cuda:0"), torch.device("cpu")
    faster = devices.channels_last_is_faster
    assert [faster(cuda, t, False) for t in (torch.bfloat16, torch.float16, torch.float32)] == [True, True, False]
    assert faster(cuda, torch.float32, True)
    assert not faster(cuda, torch.float64, True)
    assert [faster(cpu, t, False) for t in (torch.float32, torch.float64, torch.bfloat16)] == [True, False, False]


def test_settings_of_cuda_are_those_of_the_model_while_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(devices.WORKSPACE, raising=False)
    current: list[str] = []

    @contextmanager
    def device(given: Any) -> Iterator[None]:
        current.append(str(given))
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn

    def settings() -> tuple[bool, ...]:
        strict = torch.are_deterministic_algorithms_enabled()
        return matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, strict

    before = settings()
    with devices.cuda_settings(torch.device("cuda:1"), tf32=True, autotune=True, deterministic=False):
        assert settings() == (True, True, True, False, False)
        assert current == ["cuda:1"]
    assert settings() == before
    with devices.cuda_settings(torch.device("cuda:0"), tf32=False, autotune=True, deterministic=True):
        assert settings() == (False, False, False, True, True)
    assert settings() == before
    with devices.cuda_settings(torch.device("cpu"), tf32=True, autotune=True, deterministic=True):
        assert settings() == before


# What is not there


class TestOutOfMemory:
    """The device says that its memory is used up, of which this process can have 1 MiB."""

    @pytest.fixture(autouse=True)
    def memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices, "memory", lambda device: (1 << 20, 8 << 30))

    def failing(self, monkeypatch: pytest.MonkeyPatch, model: Model) -> list[Any]:
        """Let the network fail in the middle; returns references to what it holds there."""
        held: list[Any] = []

        def relu(module: Any, x: Any) -> Any:
            y = x + 1
            held.append(weakref.ref(y))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        assert isinstance(model, TorchModel)
        for layer in (*model.module.layers(), *model.training_module.layers()):
            if layer.node.kind == "relu":
                monkeypatch.setattr(layer, "op", relu)
        return held

    def test_in_training(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = cnnspec.build(cnnspec.loads(SMALL), "torch", numerics="strict")
        model.begin_training(Train(), 1)
        with monkeypatch.context() as patched:
            held = self.failing(patched, model)
            with pytest.raises(MemoryLimitError) as caught:
                model.step(*batch(2000))
        said = str(caught.value)
        assert said.startswith("out of memory: training `net` with a batch of 2000 takes ")
        assert "of the 8.6 GB of the device, this process can have 1.0 MB. What fits: `--batch " in said
        assert [reference() for reference in held] == [None]  # while the error is kept
        assert np.isfinite(model.step(*batch(4)))

    def test_at_inference(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = cnnspec.build(cnnspec.loads(SMALL), "torch", numerics="strict")
        with monkeypatch.context() as patched:
            self.failing(patched, model)
            with pytest.raises(MemoryLimitError, match=r"`net` with a batch of 2000 takes .*What fits: `--batch "):
                model.predict(batch(2000)[0])
        assert np.isfinite(model.predict(batch(4)[0])).all()

    def test_when_the_state_of_the_optimizer_is_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_room(*arguments: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        monkeypatch.setattr("cnnspec_torch.model.Optimizer", no_room)
        with pytest.raises(MemoryLimitError, match="out of memory: training `net` with a batch of 64 takes"):
            cnnspec.build(cnnspec.loads(SMALL), "torch").begin_training(Train(batch=64), 1)


def test_without_cuda_the_error_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    with pytest.raises(BackendError, match=r"no device `cuda` here; torch has cpu: .* built without CUDA"):
        devices.device("cuda")

    def too_old() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", too_old)
    with pytest.raises(BackendError, match=r"no device `cuda:1` here; torch has cpu: The NVIDIA driver .* too old"):
        devices.device("cuda:1")


def test_an_index_that_is_not_there_is_an_error_that_lists_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BackendError, match=r"no device `cuda:2` here; torch has cpu, cuda, cuda:0, cuda:1$"):
        devices.device("cuda:2")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs, and the second of the processes of a launcher."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("two_gpus")
def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    dist = torch.distributed
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: called.append(f"device {device}"))
    monkeypatch.setattr(dist, "init_process_group", lambda backend: called.append(f"group {backend}"))
    monkeypatch.setattr(dist, "barrier", lambda: called.append("barrier"))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: called.append("end"))
    with find("torch").distributed("cuda") as device:
        assert device == "cuda:1"
    # NCCL for tensors, and gloo for what is none, so that it waits for no device
    assert called == ["device cuda:1", "group cpu:gloo,cuda:nccl", "barrier", "end"]


@pytest.mark.usefixtures("two_gpus")
def test_more_processes_than_gpus_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    message = "3 processes train here, each on a GPU, of which there are 2: start 2"
    with pytest.raises(BackendError, match=message), find("torch").distributed("cuda"):
        pass


def test_a_layer_without_a_deterministic_method_is_an_error_that_names_the_option() -> None:
    model = cnnspec.build(cnnspec.loads(SMALL), "torch", deterministic=True)
    assert isinstance(model, TorchModel)
    message = "upsample_bilinear2d_backward_out_cuda does not have a deterministic implementation"
    expected = pytest.raises(BackendError, match="with `deterministic` this network does not run on CUDA: upsample")
    with expected, model.compute_context(training=True):
        raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="another"), model.compute_context(training=True):
        raise RuntimeError("another")
