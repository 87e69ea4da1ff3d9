"""Training on pixels that the device scales: on the CPU, bit for bit what training on numbers gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.arrays import Pixels
from cnnspec.data import loader, open_dataset
from cnnspec.data.options import DataOptions
from cnnspec.runtime.options import Execution
from cnnspec.training.evaluation import evaluate_split
from cnnspec.training.run import settings_for, start_run

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install cnnspec[torch]")

from cnnspec_torch.transfer import Transfer  # noqa: E402

SPEC = """
name: small
input: {shape: [3, 8, 8], mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3]}
layers:
  - conv: {channels: 4, kernel: 3, norm: batch_norm, activation: relu}
  - flatten
  - dropout: 0.3
  - dense: 2
train: {data: data.npz, optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}, batch: 8, epochs: 2, validation: 0.25}
"""
TWO_INPUTS = """
name: two
inputs: {left: {shape: [1, 8, 8], mean: 0.5}, right: [2, 4, 4], extra: [5]}
layers:
  - flatten
  - concat: {l: [], r: [from: right, flatten], e: [from: extra]}
  - dense: 2
train: {data: two.npz, batch: 8, epochs: 2, validation: 0.25}
"""
AUTOENCODER = """
name: auto
input: [3, 8, 8]
layers: [conv: {channels: 4, kernel: 3, padding: same}, tanh, conv: {channels: 3, kernel: 1}]
train: {data: data.npz, target: input, loss: mean_squared_error, batch: 8, epochs: 2, augment: [flip, noise: 9]}
"""


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (36, 3, 8, 8), np.uint8), np.arange(36) % 2
    np.savez("data.npz", x=x, y=y)
    np.savez("two.npz", left=x[:, 0], right=x[:, 1:, :4, :4], extra=rng.normal(size=(36, 5)).astype(np.float32), y=y)
    image = pytest.importorskip("PIL.Image")
    for i, pixels in enumerate(x):
        path = Path(f"pets/{'cat' if y[i] else 'dog'}/{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels.transpose(1, 2, 0)).save(path)


def trained(
    text: str, settings: dict[str, Any], takes_pixels: bool, workers: int = 0, dtype: str = "float32"
) -> dict[str, Any]:
    """The losses, the records of the epochs and the weights of a run."""
    spec = cnnspec.loads(text)
    execution, data = Execution(backend="torch", dtype=dtype), DataOptions(workers=workers)
    with start_run(spec, settings_for(spec, settings), execution, data, keep=False) as run:
        run.trainer.model.takes_pixels = takes_pixels
        result = run.trainer.run()
        timed = ("seconds", "samples_per_second", "data_wait")
        records = [{key: value for key, value in one.items() if key not in timed} for one in result.epochs]
        return {"losses": result.losses, "records": records, "weights": run.trainer.model.state()}


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The samples that were moved to the device: [n, c, ...]."""
    found: list[Any] = []
    to_device = Transfer.to_device
    monkeypatch.setattr(Transfer, "to_device", lambda self, array: found.append(array) or to_device(self, array))
    return found


SHAPES = {SPEC: [(3, 8, 8)], AUTOENCODER: [(3, 8, 8)], TWO_INPUTS: [(1, 8, 8), (2, 4, 4)]}
"""The inputs that are images."""
AUGMENT = {"augment": [{"shift": 1}, {"flip": "both"}, {"noise": 9}]}
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "in memory": (SPEC, {}, 0),
    "augmented": (SPEC, AUGMENT, 0),
    "accumulated": (SPEC, {"batch": 3, "accumulate": 3}, 0),
    "averaged weights": (SPEC, {"ema": 0.9}, 0),
    "files": (SPEC, {"data": "pets"}, 0),
    "files by workers": (SPEC, {"data": "pets", **AUGMENT}, 2),
    "several inputs": (TWO_INPUTS, {"accumulate": 2}, 0),
    "own targets": (AUTOENCODER, {}, 0),
}


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Compare two runs to the bit."""
    assert one["losses"] == other["losses"]
    assert one["records"] == other["records"]
    assert all(np.array_equal(array, other["weights"][name]) for name, array in one["weights"].items())


@pytest.mark.parametrize("case", CASES)
def test_training_on_pixels_is_training_on_numbers(case: str, moved: list[Any]) -> None:
    text, settings, workers = CASES[case]
    numbers = trained(text, settings, False, workers)
    assert not any(isinstance(x, Pixels) for x in moved)
    moved.clear()
    pixels = trained(text, settings, True, workers)
    images = [x for x in moved if isinstance(x, Pixels)]
    assert all(x.values.dtype == np.uint8 for x in images)
    counts = {shape: sum(len(x) for x in images if x.shape[1:] == shape) for shape in SHAPES[text]}
    assert counts == dict.fromkeys(SHAPES[text], 2 * 36)  # in two epochs, samples to train on and others to evaluate
    same(numbers, pixels)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_every_data_type_gets_the_same_numbers(dtype: str) -> None:
    same(trained(SPEC, {}, False, dtype=dtype), trained(SPEC, {}, True, dtype=dtype))


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_samples_that_are_mixed_are_loaded_as_numbers(mixing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = []
    read = loader.read_answer
    monkeypatch.setattr(loader, "read_answer", lambda pipe: answers.append(read(pipe)) or answers[-1])
    pixels = trained(SPEC, {"data": "pets", mixing: 1.0}, True, workers=2)
    loaded = [x for _, (x, _) in answers]
    assert {len(x) for x in loaded if isinstance(x, Pixels)} == {9}  # what is held out, which is not mixed
    assert sum(isinstance(x, np.ndarray) for x in loaded) == 2 * 4
    same(trained(SPEC, {"data": "pets", mixing: 1.0}, False), pixels)


class Seen:
    """An observer that keeps the sums of what it is given."""

    def __init__(self) -> None:
        self.sums: list[Any] = []

    def layer(self, name: str, value: Any) -> None:
        self.sums.append((name, value.shape, float(value.sum())))

    def batch(self, outputs: Any, target: Any, indices: Any) -> None:
        self.sums += [float(y.sum()) for y in outputs.values()]


def test_an_observer_is_given_the_same_layers() -> None:
    spec = cnnspec.loads(SPEC)
    model = cnnspec.build(spec, "torch")
    split = open_dataset("data.npz", spec).train
    found = []
    for model.takes_pixels in (False, True):
        seen = Seen()
        found.append((evaluate_split(model, split, spec.losses, 16, observer=seen).metrics, seen.sums))
    assert found[0] == found[1]
    assert ("input", (16, 3, 8, 8)) in [one[:2] for one in found[1][1] if isinstance(one, tuple)]


DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 3, 4, 4), (5, 3), (5, 3, 7), (0, 3, 4, 4)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_numbers_are_looked_up_on_the_device(
    channels: int, shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool, device: str
) -> None:
    rng = np.random.default_rng(0)
    pixels = Pixels(rng.integers(0, 256, shape, np.uint8), rng.normal(size=(channels, 256)).astype(np.float32))
    transfer = Transfer(torch.device(device), dtype, channels_last)
    found = transfer.to_device(pixels)
    assert found.dtype == dtype
    assert torch.equal(found.cpu(), torch.from_numpy(np.asarray(pixels)).to(dtype))
    layout = torch.channels_last if channels_last and len(shape) == 4 else torch.contiguous_format
    assert found.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("device", DEVICES)
def test_a_step_on_pixels_is_a_step_on_numbers(device: str) -> None:
    rng = np.random.default_rng(0)
    levels = np.linspace(-1, 1, 256, dtype=np.float32)[None]
    data = [(Pixels(rng.integers(0, 256, (8, 1, 28, 28), np.uint8), levels), rng.integers(0, 10, 8)) for _ in range(3)]
    found = []
    for takes_pixels in (True, False):
        model = cnnspec.build("lenet", "torch", device=device, deterministic=device == "cuda")
        assert model.takes_pixels == (device == "cuda")
        model.takes_pixels = takes_pixels
        found.append(([model.step(x, target, parts=2) for x, target in data], model.state(), model.predict(data[0][0])))
    assert found[0][0] == found[1][0]
    assert all(np.array_equal(array, found[1][1][name]) for name, array in found[0][1].items())
    assert np.array_equal(found[0][2], found[1][2])
