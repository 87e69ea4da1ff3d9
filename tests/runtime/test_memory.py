"""Limits of memory, and the error of a device whose memory was not enough."""

from __future__ import annotations

import re

import pytest

import cnnspec
from cnnspec.errors import MemoryLimitError
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Adam, Sgd, Train
from cnnspec.graph.training_memory import training_memory
from cnnspec.runtime.memory import ROOM, check_training_memory, out_of_memory
from cnnspec.runtime.options import Execution
from cnnspec.sizes import size_of

BLOCKS = """\
name: small
input: [8, 20, 20]
blocks:
  unit: {layers: [conv: {channels: 8, kernel: 3, padding: same, norm: batch_norm, activation: relu}]}
layers:
  - repeat: {name: stage, times: 8, layers: [unit]}
  - global_avg_pool
"""


@pytest.fixture
def graph() -> Graph:
    return cnnspec.loads(BLOCKS).graph


def needed(graph: Graph, batch: int, itemsize: int = 4, recompute: str = "", **settings: object) -> int:
    blocks = (recompute,) if recompute else ()
    return training_memory(graph, itemsize, Train(**settings), blocks).bytes(batch)


class TestLimitOfTraining:
    @pytest.mark.parametrize("settings", [{}, {"ema": 0.9}, {"accumulate": 4}, {"optimizer": Adam()}], ids=str)
    def test_at_the_limit(self, graph: Graph, settings: dict[str, object]) -> None:
        train = Train(batch=3, **settings)
        limit = needed(graph, 3, **settings)
        check_training_memory(graph, train, 4, limit)
        with pytest.raises(MemoryLimitError, match=f"a batch of 3 takes {size_of(limit)}: .* Raise it with"):
            check_training_memory(graph, train, 4, limit - 1)

    def test_a_moving_average_counts(self, graph: Graph) -> None:
        with pytest.raises(MemoryLimitError):
            check_training_memory(graph, Train(batch=3, ema=0.9), 4, needed(graph, 3))

    def test_formats_of_16_bits_take_less(self, graph: Graph) -> None:
        limit = needed(graph, 100, itemsize=2)
        check_training_memory(graph, Train(batch=100), 2, limit)
        with pytest.raises(MemoryLimitError):
            check_training_memory(graph, Train(batch=100), 4, limit)

    def test_recomputed_blocks_take_less(self, graph: Graph) -> None:
        limit = needed(graph, 100, recompute="stage*")
        check_training_memory(graph, Train(batch=100), 4, limit, ("stage*",))
        with pytest.raises(MemoryLimitError):
            check_training_memory(graph, Train(batch=100), 4, limit)

    @pytest.mark.parametrize(
        ("given", "blocks"), [("stage*", ("stage*",)), (["a", "b"], ("a", "b")), (3, ()), (None, ())]
    )
    def test_blocks_of_the_option(self, given: object, blocks: tuple[str, ...]) -> None:
        assert Execution(options={} if given is None else {"recompute": given}).recompute == blocks


class TestOutOfMemory:
    def test_what_was_needed_and_what_there_is(self, graph: Graph) -> None:
        error = out_of_memory(graph, 200, 4, Train(), 40_000_000, 50_000_000)
        assert isinstance(error, MemoryLimitError)
        weights = 4 * sum(p.size for p in graph.parameters.values())
        total = needed(graph, 200)
        assert str(error).startswith(
            f"out of memory: training `small` with a batch of 200 takes {size_of(total)}: {size_of(weights)} of "
            f"weights and optimizer state, and {size_of(total - weights)} of gradients and activations; of the "
            "50.0 MB of the device, this process can have 40.0 MB. What fits: `--batch"
        )

    def test_what_is_said_to_fit_does(self, graph: Graph) -> None:
        free = needed(graph, 170)
        text = str(out_of_memory(graph, 200, 4, Train(accumulate=3), free, free))
        batch, parts = map(int, re.findall(r"`--batch (\d+) --setting accumulate=(\d+)`", text)[0])
        assert batch * parts >= 200 * 3
        assert f"({size_of(needed(graph, batch, accumulate=parts))}; the batch in 2 parts)" in text
        assert needed(graph, batch, accumulate=parts) <= ROOM * free
        assert f"or `--dtype bfloat16` ({size_of(needed(graph, 200, itemsize=2, accumulate=3))})" in text
        recomputed = needed(graph, 200, recompute="*", accumulate=3)
        assert f'or `--option "recompute=*"` ({size_of(recomputed)})' in text

    def test_what_does_not_fit_either_is_not_said(self, graph: Graph) -> None:
        free = needed(graph, 10)
        text = str(out_of_memory(graph, 200, 4, Train(), free, free))
        assert "--batch" in text
        assert "bfloat16" not in text
        assert "recompute" not in text

    def test_a_step_that_should_have_fitted(self, graph: Graph) -> None:
        """Something else takes the memory: a smaller batch than the one that failed is proposed."""
        text = str(out_of_memory(graph, 10, 4, Train(), 10**9, 10**9))
        assert "`--batch 5 --setting accumulate=2`" in text

    def test_no_named_blocks_and_16_bits_already(self) -> None:
        graph = cnnspec.load("lenet").graph
        text = str(out_of_memory(graph, 10_000, 2, Train(optimizer=Sgd()), 10**8, 10**8))
        assert "--batch" in text
        assert "bfloat16" not in text
        assert "recompute" not in text

    def test_nothing_fits(self, graph: Graph) -> None:
        text = str(out_of_memory(graph, 200, 4, Train(), 1000, 50_000_000))
        assert text.endswith("Make the network or its input smaller: no batch fits")

    def test_inference(self, graph: Graph) -> None:
        weights, value = 4 * sum(p.size for p in graph.parameters.values()), 4 * 8 * 20 * 20
        text = str(out_of_memory(graph, 1000, 4, None, weights + 300 * value, 10**8))
        fits = int((ROOM * (weights + 300 * value) - weights) // (2 * value))
        assert f"takes {size_of(weights + 2000 * value)}: {size_of(weights)} of weights and" in text
        assert text.endswith(f"What fits: `--batch {fits}` ({size_of(weights + 2 * fits * value)})")
