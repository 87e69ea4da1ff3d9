"""When values are released, and which share memory."""

from __future__ import annotations

import cnnspec
from cnnspec.graph.liveness import buffers, buffers_released_after, released_after

TEXT = """
input: [2, 4, 4]
layers:
  - relu: {name: a}
  - add: {name: sum, main: [conv: {name: b, channels: 2, kernel: 1}], skip: []}
  - flatten: {name: c}
  - dropout: {name: d, rate: 0.5}
  - dense: {name: e, units: 3}
"""


def by_node(released: list[list[str]]) -> dict[str, list[str]]:
    graph = cnnspec.loads(TEXT).graph
    return {node.name: names for node, names in zip(graph.nodes, released, strict=True) if names}


def test_values_are_released_behind_their_last_reader_and_outputs_never() -> None:
    graph = cnnspec.loads(TEXT).graph
    assert by_node(released_after(graph)) == {"a": ["input"], "sum": ["a", "b"], "c": ["sum"], "d": ["c"], "e": ["d"]}


def test_views_keep_the_buffer_alive() -> None:
    graph = cnnspec.loads(TEXT).graph
    assert {name: owner for name, owner in buffers(graph).items() if name != owner} == {"c": "sum", "d": "sum"}
    assert by_node(buffers_released_after(graph)) == {"a": ["input"], "sum": ["a", "b"], "e": ["sum"]}


def test_a_value_that_nothing_reads_is_released_at_once() -> None:
    report = cnnspec.check(cnnspec.Source("x", "input: [3]\nlayers: [relu, add: {a: [from: input], b: [from: input]}]"))
    assert report.spec is not None
    assert released_after(report.spec.graph)[1] == ["relu1"]
