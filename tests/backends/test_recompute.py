"""Blocks that training computes twice: the same numbers, and less memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cnnspec
from cnnspec.errors import BackendError
from cnnspec.graph.training import Train
from cnnspec.runtime.model import Model

NETWORK = """
input: [2, 8, 8]
blocks:
  unit:
    params: {c: 4}
    layers:
      - add:
          main: [conv: {channels: $c, kernel: 3, padding: same, norm: batch_norm, activation: relu}, dropout: 0.3]
          skip: []
layers:
  - conv: {channels: 4, kernel: 1}
  - unit: {name: first}
  - unit: {name: second}
  - concat: {a: [], b: [from: first.conv1]}
  - max_pool: 2
  - flatten
  - dense: 3
"""


def trained(steps: int = 4, **options: object) -> Model:
    model = cnnspec.build(cnnspec.loads(NETWORK), backend="torch", dtype="float64", **options)
    model.begin_training(Train(seed=5), 4)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        model.step(rng.normal(size=(6, 2, 8, 8)), rng.integers(0, 3, 6), 2)
    return model


@pytest.mark.parametrize("blocks", ["first", ["first", "second"], "*", ["f*"]])
def test_the_weights_and_statistics_are_the_same(blocks: str | list[str]) -> None:
    expected = trained().state()
    for name, array in trained(recompute=blocks).state().items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_fewer_values_are_kept() -> None:
    """What autograd saves between the passes, counted by its hooks."""

    def saved(**options: object) -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.data_ptr()] = tensor.numel()
            return tensor

        model = cnnspec.build(cnnspec.loads(NETWORK), backend="torch", **options)
        x = torch.randn(6, 2, 8, 8)
        module = model.training_module  # type: ignore[attr-defined]
        module.train()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            y = module(x)
        y.sum().backward()
        return sum(sizes.values())

    assert saved(recompute="*") < 0.6 * saved()


def test_blocks_that_are_not_there() -> None:
    with pytest.raises(BackendError, match=r"no named block `frist` to recompute: did you mean `first`\?"):
        trained(recompute="frist")
    with pytest.raises(BackendError, match="is a name or a list of names, not 3"):
        trained(recompute=3)
    with pytest.raises(BackendError, match="numpy has no option `recompute`"):
        cnnspec.build(cnnspec.loads(NETWORK), recompute="first")
