"""Inputs and outputs by name in the language; their diagnostics are in diagnostics/several.md."""

from __future__ import annotations

from pathlib import Path

import pytest

import cnnspec
from cnnspec.diagnostics import Source, SpecError
from cnnspec.graph.costs import receptive_fields
from cnnspec.graph.liveness import released_after

BASE = """
name: base
params: {n: 5}
inputs: {image: [3, 8, 8], meta: [4]}
outputs: [main, aux]
classes: [a, b, c, d, e]
blocks:
  head: {layers: [global_avg_pool, dense: $n]}
layers:
  - conv: {channels: 8, kernel: 3, activation: relu, name: stem}
  - head: {name: aux}
  - from: stem
  - flatten
  - concat: {x: [], m: [from: meta, dense: 3]}
  - dense: {units: $n, name: main}
"""


def test_an_output_is_handed_out_under_the_name_that_is_written() -> None:
    graph = cnnspec.loads(BASE.replace("[main, aux]", "[main, aux, stem]")).graph
    assert graph.inputs == ("image", "meta")
    assert graph.output_names == ("main", "aux", "stem")
    assert graph.outputs == ("main", "aux.dense1", "relu1")  # after the block, and after the activation
    assert graph.output_nodes["stem"].shape == (8, 6, 6)


def test_outputs_stay_alive() -> None:
    graph = cnnspec.loads(BASE).graph
    released = [name for names in released_after(graph) for name in names]
    assert not {"main", "aux.dense1"} & {*released}
    assert sorted(released) == sorted(node.name for node in graph.nodes if node.name not in graph.outputs)


def test_a_spec_that_extends_takes_inputs_and_outputs_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE.replace("classes: [a, b, c, d, e]\n", ""), "utf-8")
    Path("child.yaml").write_text("extends: base.yaml\nparams: {n: 7}\n", "utf-8")
    child = cnnspec.load("child.yaml").graph
    assert child.output_names == ("main", "aux")
    assert child.output_nodes["aux"].shape == (7,)
    Path("other.yaml").write_text("extends: base.yaml\noutputs: {features: stem, main: main}\n", "utf-8")
    report = cnnspec.check("other.yaml")
    assert report.spec is not None
    assert report.spec.graph.output_names == ("features", "main")
    assert [d.code for d in report.diagnostics] == ["unread-layer"]
    Path("single.yaml").write_text("extends: base.yaml\ninput: [3, 8, 8]\n", "utf-8")
    with pytest.raises(SpecError, match="no layer is called `meta`"):
        cnnspec.load("single.yaml")


def test_a_list_of_classes_is_that_of_every_output_that_fits() -> None:
    spec = cnnspec.loads(BASE.replace("[main, aux]", "[main, aux, stem]"))
    assert {*spec.classes_of} == {"main", "aux"}
    with pytest.raises(ValueError, match="`base` has 3 outputs"):
        _ = spec.classes
    with pytest.raises(ValueError, match="`base` has 2 inputs"):
        _ = spec.input


def test_heads_in_a_repeat_start_from_named_layers() -> None:
    graph = cnnspec.loads("""
input: [3, 8, 8]
outputs: [head1, head2]
layers:
  - conv: {channels: 4, kernel: 3, name: p1}
  - conv: {channels: 4, kernel: 3, name: p2}
  - repeat:
      each: {i: [1, 2]}
      layers:
        - from: p$i
        - conv: {channels: 2, kernel: 1, name: head$i}
""").graph
    assert [graph.by_name[name].inputs for name in graph.outputs] == [("p1",), ("p2",)]


def test_one_input_by_name_and_one_output_that_is_not_the_last() -> None:
    spec = cnnspec.loads("""
inputs: {image: {shape: [3, 4, 4], scale: 1}}
outputs: [first]
layers:
  - flatten
  - dense: {units: 3, name: first}
  - from: flatten1
  - dense: 2
""")
    assert (spec.graph.input.name, spec.graph.output.name, spec.input.scale) == ("image", "first", 1)
    assert [warning.code for warning in spec.warnings] == ["unread-layer"]
    assert spec.losses.keys() == {"first"}
    assert receptive_fields(spec.graph)["first"]


def test_examples_of_a_spec_without_inputs() -> None:
    text = "layers: [relu]\nexamples: [{input: [1, 2], output: [1, 2]}]\n"
    assert [d.code for d in cnnspec.check(Source("x", text)).diagnostics] == ["missing-key"]
