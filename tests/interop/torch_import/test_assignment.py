"""Weights for a spec by its module: layers are paired by what they read, whatever their names and order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.errors import WeightsError
from cnnspec.interop.torch_import.assignment import assigned
from cnnspec.weights.conversion import convert

torch = pytest.importorskip("torch")
nn = torch.nn

SPEC = """
name: branches
input: [3, 16, 16]
layers:
  - conv: {channels: 8, kernel: 3, padding: same, norm: batch_norm, activation: relu}
  - add:
      main:
        - conv: {channels: 8, kernel: 3, padding: same, norm: batch_norm, activation: relu}
        - conv: {channels: 8, kernel: 3, padding: same, norm: batch_norm}
      skip: [conv: {channels: 8, kernel: 1, norm: batch_norm}]
  - relu
  - concat:
      a: [conv: {channels: 4, kernel: 3, padding: same}]
      b: [conv: {channels: 4, kernel: 3, padding: same}]
  - global_avg_pool
  - dense: 5
"""


class Branches(nn.Module):
    """The same network: its parts are defined in another order, and the summands are exchanged."""

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.head = nn.Linear(8, 5)
        self.right, self.left = nn.Conv2d(8, 4, 3, 1, 1), nn.Conv2d(8, 4, 3, 1, 1)
        self.short = nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8))
        self.first = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8))
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8))
        self.act = nn.LeakyReLU(slope) if slope else nn.ReLU()
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.running_mean)
                nn.init.uniform_(part.running_var, 0.5, 2.0)

    def forward(self, x: Any) -> Any:
        x = self.act(self.stem(x))
        x = self.act(self.short(x) + self.second(self.act(self.first(x))))
        return self.head(torch.cat([self.left(x), self.right(x)], 1).mean((2, 3)))


def test_layers_are_paired_by_what_they_read() -> None:
    torch.manual_seed(0)
    module, spec = Branches().eval(), cnnspec.loads(SPEC)
    found = assigned(spec.graph, module, "Branches")
    assert found.arrays.keys() == spec.graph.parameters.keys()
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        expected = module(x).numpy()
    y = cnnspec.build(spec, weights=found.arrays).predict(x.numpy())
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    sources = {pair.name: pair.source for pair in found.pairs}
    left, right = (node.name for node in spec.graph.nodes if node.kind == "conv" and node.layer.channels == 4)
    assert (sources[f"{left}.weight"], sources[f"{right}.weight"]) == ("left.weight", "right.weight")


class Twins(nn.Module):
    """Two branches of one shape are added: only the numbers tell which is which of the spec's."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(3, 4, 3, 1, 1)

    def forward(self, x: Any) -> Any:
        return self.b(x) + self.a(x).relu()


def test_branches_of_one_shape_are_told_apart_by_what_they_compute() -> None:
    conv = "conv: {channels: 4, kernel: 3, padding: same}"
    spec = cnnspec.loads(f"name: twins\ninput: [3, 8, 8]\nlayers:\n  - add: {{x: [{conv}, relu], y: [{conv}]}}\n")
    found = assigned(spec.graph, Twins(), "Twins")
    assert {pair.name: pair.source for pair in found.pairs}["conv1.weight"] == "a.weight"


class Scaled(nn.Module):
    """Parameters that stand alone, two of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.randn(1, 4, 1, 1)), nn.Parameter(torch.randn(4, 1, 1))
        self.conv = nn.Conv2d(3, 4, 3)
        self.after = nn.Parameter(torch.randn(4, 1, 1))

    def forward(self, x: Any) -> Any:
        return (self.conv(x) * self.after + self.beta) * self.gamma


@pytest.mark.parametrize("by_module", [True, False])
def test_parameters_that_stand_alone_fit_the_spec_that_was_imported(tmp_path: Path, by_module: bool) -> None:
    torch.manual_seed(0)
    module, spec = Scaled(), cnnspec.from_torch(Scaled(), (3, 6, 6)).spec
    torch.save(module.state_dict(), tmp_path / "scaled.pth")
    found = assigned(spec.graph, module, "Scaled") if by_module else convert(spec.graph, tmp_path / "scaled.pth")
    x = torch.randn(2, 3, 6, 6)
    y = cnnspec.build(spec, weights=found.arrays).predict(x.numpy())
    np.testing.assert_allclose(y, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    sources = {pair.name: (pair.source, pair.source_shape) for pair in found.pairs if pair.source != pair.name}
    wanted = {"after.weight": ("after", (4, 1, 1)), "beta.bias": ("beta", (4, 1, 1))}
    assert sources == wanted | {"gamma.weight": ("gamma", (1, 4, 1, 1))}


def test_a_network_that_computes_something_else_is_told() -> None:
    with pytest.raises(WeightsError, match="the spec computes something else: the outputs differ by"):
        assigned(cnnspec.loads(SPEC).graph, Branches(slope=0.3), "Branches")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dense: 5", "dense: 6", r"`dense1` \(dense, weight 6×8, bias 6\) of the spec, and `head` \(dense"),
        ("skip: [conv: {channels: 8, kernel: 1, norm: batch_norm}]", "skip: []", "not the same network"),
    ],
)
def test_another_network_is_an_error_that_names_the_layers(old: str, new: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        assigned(cnnspec.loads(SPEC.replace(old, new)).graph, Branches(), "Branches")
