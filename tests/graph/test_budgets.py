"""Limits of costs, memory by format and optimizer, the largest batch, and sums by block: by hand."""

from __future__ import annotations

import re

import pytest

import cnnspec
from cnnspec.graph.blocks import block_rows
from cnnspec.graph.budgets import Budget, largest_batch, over_budget, parse_budgets
from cnnspec.graph.costs import inference_bytes, summarize

# LeNet: 6·(25 + 1) + 16·(6·25 + 1) + 120·257 + 84·121 + 10·85 parameters.
PARAMETERS = 156 + 2416 + 30840 + 10164 + 850
PEAK = 2 * 6 * 24 * 24  # the first convolution and its sigmoid


class TestMemory:
    @pytest.mark.parametrize("width", [8, 4, 2])
    def test_inference_is_weights_and_the_peak(self, width: int) -> None:
        graph = cnnspec.load("lenet").graph
        assert inference_bytes(graph, 5, width) == width * (PARAMETERS + 5 * PEAK)
        assert summarize(graph, 5, width).totals.inference_bytes == inference_bytes(graph, 5, width)


class TestLargestBatch:
    @pytest.mark.parametrize(
        ("limit", "batch"), [(106, 0), (107, 1), (113, 1), (114, 2), (1000, 128), (10**9, 142857128)]
    )
    def test_is_exact(self, limit: int, batch: int) -> None:
        assert largest_batch(lambda n: 100 + 7 * n, limit) == batch
        assert batch == 0 or 100 + 7 * batch <= limit < 100 + 7 * (batch + 1)


class TestParse:
    @pytest.mark.parametrize(
        ("text", "budget"),
        [
            ("macs=500M", Budget("macs", None, 500_000_000)),
            ("parameters=1.5k", Budget("parameters", None, 1500)),
            ("flops=2e9", Budget("flops", None, 2_000_000_000)),
            ("memory=4GB", Budget("memory", None, 4_000_000_000)),
            ("training=1GiB", Budget("training", None, 2**30)),
            ("receptive-field=64..", Budget("receptive_field", 64, None)),
            ("parameters=1M..5M", Budget("parameters", 1_000_000, 5_000_000)),
        ],
    )
    def test_units(self, text: str, budget: Budget) -> None:
        assert parse_budgets(text) == [budget]

    def test_several(self) -> None:
        assert [b.figure for b in parse_budgets("macs=1G, memory=1MB,activations=5kB")] == [
            "macs",
            "memory",
            "activations",
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("mac=5", "did you mean `macs`"),
            ("speed=5", "there are parameters, macs"),
            ("macs", "write it as macs=500M"),
            ("memory=", "write it as memory=4GB"),
            ("macs=many", "`many` is no number"),
            ("memory=4Q", "`4Q` is no size"),
            ("macs=5..3", "the first limit is the lower one"),
            ("macs=..", "states no limit"),
        ],
    )
    def test_faults(self, text: str, message: str) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            parse_budgets(text)


class TestOverBudget:
    def found(self, text: str) -> list[tuple[str, str, int, tuple[str, ...]]]:
        graph = cnnspec.load("lenet").graph
        over = over_budget(graph, summarize(graph), parse_budgets(text))
        assert {d.code for d in over} <= {"over-budget"}
        return [(d.severity, d.message, d.label.span.line, d.notes) for d in over]

    def test_within(self) -> None:
        assert self.found(f"parameters={PARAMETERS},macs=281640,receptive_field=28..28,memory=1MB,training=1MB") == []

    def test_beyond(self) -> None:
        """conv2 has 16·8·8 × 6·5·5 = 153,600 of 281,640 MACs, and conv1 6·24·24 × 25 = 86,400."""
        ((severity, message, line, notes),) = self.found("macs=200k")
        assert (severity, line) == ("error", 12)
        assert message == "`lenet` takes 281,640 MACs, 81,640 (40.8 %) more than its budget of at most 200,000"
        assert notes == ("most MACs are of `conv2` 54.5 %, `conv1` 30.7 %, `dense1` 10.9 %",)

    def test_below(self) -> None:
        ((_, message, _, _),) = self.found("receptive_field=32..")
        assert message == (
            "the receptive field of the output of `lenet` is 28, 4 (12.5 %) less than its budget of at least 32"
        )

    def test_each_figure_has_its_line(self) -> None:
        messages = [message for _, message, _, _ in self.found("parameters=1,memory=1kB,training=1kB,activations=1kB")]
        assert [message.split(",")[0] for message in messages] == [
            "`lenet` has 44",
            "inference of `lenet` takes 205.4 kB",
            "training of `lenet` takes 751.4 kB",
            "the activations of `lenet` take 27.6 kB at the peak",
        ]

    def test_a_network_without_a_receptive_field(self) -> None:
        graph = cnnspec.loads("input: [3]\nlayers: [dense: 2]\n").graph
        (found,) = over_budget(graph, summarize(graph), parse_budgets("receptive_field=5.."))
        assert "has no receptive field" in found.message


def test_blocks_are_nested_sums() -> None:
    text = """\
input: [1, 6, 6]
blocks:
  unit: {params: {c: int}, layers: [conv: {channels: $c, kernel: 3, padding: same}, relu]}
  stage: {params: {c: int}, layers: [unit: {name: one, c: $c}, unit: {name: two, c: $c}, max_pool: 2]}
layers:
  - stage: {name: low, c: 2}
  - stage: {name: high, c: 4}
  - flatten
  - dense: 3
"""
    rows = block_rows(summarize(cnnspec.loads(text).graph).rows)
    # Each convolution has c·(c_in·9 + 1) parameters and c·n·n × c_in·9 MACs.
    low = [2 * (9 + 1), 2 * (18 + 1)], [2 * 36 * 9, 2 * 36 * 18]
    high = [4 * (18 + 1), 4 * (36 + 1)], [4 * 9 * 18, 4 * 9 * 36]
    assert [(row.name, row.depth, row.is_block, row.layers, row.parameters, row.macs) for row in rows] == [
        ("low", 0, True, 5, sum(low[0]), sum(low[1])),
        ("low.one", 1, True, 2, low[0][0], low[1][0]),
        ("low.two", 1, True, 2, low[0][1], low[1][1]),
        ("max_pool1", 1, False, 1, 0, 0),
        ("high", 0, True, 5, sum(high[0]), sum(high[1])),
        ("high.one", 1, True, 2, high[0][0], high[1][0]),
        ("high.two", 1, True, 2, high[0][1], high[1][1]),
        ("max_pool1", 1, False, 1, 0, 0),
        ("flatten1 … dense1", 0, False, 2, 4 * 3 + 3, 4 * 3),
    ]
    assert rows[0].activation_bytes == 4 * (4 * 2 * 36 + 2 * 9)  # two convolutions, two relus, a pool
