"""A third party's backend, in a data type of its own, through every command and from Python."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cnnspec
from cnnspec.arrays import Array, Arrays
from cnnspec.cli import main
from cnnspec.data import inputs
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.runtime.backend import ENTRY_POINTS
from cnnspec.runtime.model import Hook, Model
from cnnspec.runtime.step import Part
from cnnspec.testing import reference
from cnnspec.testing.verification import verify

SPEC = """
name: small
input: [4]
layers: [dense: 3, relu, dense: 3]
classes: [one, two, three]
train: {data: examples, optimizer: {sgd: 0.5}, epochs: 2}
examples:
  - {input: [1, 0, 0, 0], output: [1, 0, 0]}
"""


class ToyModel(Model):
    """The definitions of the layers, with weights of 8 bits: each array is rounded to 255 steps of one scale."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array], device: str, dtype: str, steps: int) -> None:
        super().__init__(graph, device, dtype)
        self.quantisation = steps
        self.weights: dict[str, Any] = {}
        self._load(weights)

    def _quantised(self) -> Arrays:
        found = {}
        for name, array in self.weights.items():
            scale = max(np.abs(array).max(), 1e-12) / self.quantisation
            found[name] = np.round(array / scale) * scale
        return found

    def _run(self, inputs: Arrays, hook: Hook | None = None) -> Arrays:
        x = {name: array.astype(np.float64) for name, array in inputs.items()}
        values = reference.run(self.graph, self._quantised(), x)
        values = {name: value.astype(self.array_dtype) for name, value in values.items()}
        for name, value in values.items():
            if hook is not None:
                hook(name, value)
        return {name: values[name] for name in self.graph.outputs}

    def _state(self) -> Arrays:
        return {name: array.copy() for name, array in self.weights.items()}

    def _load(self, state: Mapping[str, Array]) -> None:
        self.weights = {name: np.array(array, np.float64) for name, array in state.items()}

    def _vjp(self, inputs: Arrays, dy: Arrays) -> tuple[Arrays, Arrays]:
        x = {name: array.astype(np.float64) for name, array in inputs.items()}
        return reference.gradients(self.graph, self._quantised(), x, dy)

    def _loss_and_gradients(self, part: Part) -> tuple[float, Arrays]:
        x = {name: array.astype(np.float64) for name, array in part.inputs.items()}
        targets = {name: term.target for name, term in part.terms.items()}
        return reference.loss_and_gradients(self.graph, self._quantised(), x, targets, self.train)

    def _step(self, parts: Sequence[Part]) -> tuple[float, Arrays]:
        (part,) = parts
        y = self._run(part.inputs)
        loss, gradients = self._loss_and_gradients(part)
        for name, gradient in gradients.items():
            self.weights[name] -= self.learning_rate * gradient
        return loss, y

    def _begin_training(self) -> None:
        pass

    def _optimizer_state(self) -> Arrays:
        return {}

    def _load_optimizer_state(self, state: Mapping[str, Array]) -> None:
        pass


class ToyBackend:
    """The object that the entry point names."""

    name = "toy"
    options = ("steps",)

    def version(self) -> str:
        return "toy 1.0"

    def devices(self) -> list[str]:
        return ["cpu"]

    def dtypes(self) -> dict[str, int]:
        return {"int8": 1}

    @contextmanager
    def distributed(self, device: str) -> Iterator[str]:
        yield device

    def prepare(
        self, graph: Graph, weights: Mapping[str, Array], *, device: str, dtype: str, steps: int = 127
    ) -> ToyModel:
        return ToyModel(graph, weights, device, dtype, steps)


toy = ToyBackend()


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("toy", f"{__name__}:toy", ENTRY_POINTS)
    real = importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda **given: [*real(**given), *([point] if given.get("group") == ENTRY_POINTS else [])],
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SPEC.replace("data: examples", "data: data.npz"), "utf-8")
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    x = np.eye(4, dtype=np.float32)[y] + rng.normal(0, 0.1, (30, 4)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--backend", "toy"])


def test_it_is_listed_with_its_options() -> None:
    found = json.loads(CliRunner().invoke(main, ["backends", "--format", "json"]).stdout)
    assert {
        "name": "toy", "version": "toy 1.0", "devices": ["cpu"], "dtypes": ["int8"], "options": ["steps"],
        "fault": None,
    } in found  # fmt: skip


def test_its_data_type_counts_its_own_bytes(folder: Path) -> None:
    with pytest.raises(cnnspec.MemoryLimitError, match="`small` takes 34 B: 27 B of weights and 7 B of activations"):
        cnnspec.build("small.yaml", "toy", dtype="int8", memory_limit=1)
    assert cnnspec.build("small.yaml", "toy", dtype="int8", memory_limit=34).dtype == "int8"


def test_a_data_type_or_an_option_that_it_lacks_is_an_error(folder: Path) -> None:
    result = run("run", "small.yaml")
    assert (result.exit_code, result.stderr) == (1, "error: the backend toy has no dtype `float32`: it has int8\n")
    result = run("run", "small.yaml", "--dtype", "int8", "--option", "compile=true")
    assert (result.exit_code, result.stderr) == (1, "error: the backend toy has no option `compile`; it has steps\n")
    for command in ("test", "verify"):
        result = run(command, "small.yaml", "--numerics", "strict")
        assert result.exit_code == 2
        assert "Error: none of `toy` has an option `numerics`" in result.stderr


def test_run_with_an_option(folder: Path) -> None:
    def outputs(*arguments: str) -> list[float]:
        result = run("run", "small.yaml", "--dtype", "int8", "--format", "json", *arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["samples"][0]["output"]  # type: ignore[no-any-return]

    spec = cnnspec.load("small.yaml")
    exact = cnnspec.build(spec, "numpy", dtype="float64").predict(inputs.random(spec.input.shape, 1, seed=0).x)[0]
    fine, coarse = outputs("--option", "steps=100000"), outputs("--option", "steps=2")
    np.testing.assert_allclose(fine, exact, rtol=1e-3)
    assert not np.allclose(coarse, exact, rtol=1e-2)


def test_train_resume_and_evaluate(folder: Path) -> None:
    result = run("train", "small.yaml", "--dtype", "int8", "--out", "run", "--option", "steps=63", "--format", "json")
    assert result.exit_code == 0, result.output
    first, second = (json.loads(line) for line in result.stdout.splitlines()[:2])
    assert second["loss"] < first["loss"]
    assert json.loads((folder / "run" / "run.json").read_text("utf-8"))["options"] == {"steps": 63}
    result = CliRunner().invoke(main, ["train", "--resume", "run", "--epochs", "30", "--format", "json"])
    assert result.exit_code == 0, result.output
    result = run("evaluate", "small.yaml", "--dtype", "int8", "--weights", "run/best.safetensors", "--format", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["accuracy"] > 0.9


def test_verify_needs_a_tolerance_for_its_data_type(folder: Path) -> None:
    result = run("verify", "small.yaml", "--dtype", "int8")
    message = "error: no tolerance is known for the dtype `int8`, only for float64, float32: give --tolerance\n"
    assert (result.exit_code, result.stderr) == (1, message)
    result = run("verify", "small.yaml", "--dtype", "int8", "--tolerance", "0.01")
    assert result.exit_code == 0, result.output
    assert "toy, int8" in result.stdout
    with pytest.raises(BackendError, match="the backend numpy has no dtype `int8`"):
        verify("small.yaml", ["numpy", "toy"], dtypes=("int8",), tolerance=0.01)
