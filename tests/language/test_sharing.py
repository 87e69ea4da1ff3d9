"""`share`: layers and blocks with the weights of earlier ones, in the graph, the totals and the rendered text."""

from __future__ import annotations

from dataclasses import replace

import pytest

import cnnspec
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.costs import summarize, trainable
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.language.render import render
from cnnspec.layers import ShapeError
from cnnspec.layers.dense import Dense
from cnnspec.view.report import to_dict
from cnnspec.view.table import explanation, network_lines
from cnnspec.weights.initial import initial

BLOCKS = """
blocks:
  tower:
    params: {c: int, act: relu}
    layers:
      - conv: {channels: $c, kernel: 3, norm: batch_norm, activation: $act}
      - add: {main: [unit: {name: inner, c: $c}], skip: []}
      - dense_of: $c
  unit: {params: {c: int}, layers: [conv: {channels: $c, kernel: 3, padding: same}, prelu]}
  dense_of: {params: {c: int}, layers: [flatten, dense: $c]}
"""

PAIR = (
    """
name: pair
input: [4, 5, 5]
layers:
  - multiply:
      left: [slice: [0, 2], tower: {name: left, c: 3}]
      right: [slice: [2, 4], tower: {name: right, c: 3, share: left}]
"""
    + BLOCKS
)


def graph(layers: str, shape: str = "[4, 5, 5]", blocks: str = "") -> Graph:
    return cnnspec.loads(f"name: x\ninput: {shape}\nlayers: [{layers}]\n{blocks}").graph


def arrays(network: Graph) -> dict[str, list[str]]:
    return {node.name: list(node.arrays.values()) for node in network.nodes if node.arrays}


def branches(first: str, second: str) -> Graph:
    return graph(f"add: {{a: [slice: [0, 2], {first}], b: [slice: [2, 4], {second}]}}")


# What is shared


def test_a_layer_has_the_arrays_of_the_one_that_it_names() -> None:
    found = branches(
        "conv: {name: one, channels: 2, kernel: 3}", "conv: {channels: 2, kernel: 3, stride: 1, share: one}"
    )
    assert arrays(found) == {"one": ["one.weight", "one.bias"], "conv2": ["one.weight", "one.bias"]}
    assert list(found.parameters) == ["one.weight", "one.bias"]
    assert found.shares == {"conv2": "one"}


def test_of_layers_that_share_in_turn_all_have_the_arrays_of_the_first() -> None:
    found = graph(
        "dense: {name: a, units: 4}, dense: {name: b, units: 4, share: a}, dense: {units: 4, share: b}", "[4]"
    )
    assert found.shares == {"b": "a", "dense3": "a"}


def test_the_norm_and_the_activation_behind_a_layer_are_shared_with_it() -> None:
    unit = "channels: 2, kernel: 3, norm: batch_norm, activation: prelu"
    found = branches(f"conv: {{name: one, {unit}}}", f"conv: {{share: one, {unit}}}")
    assert found.shares == {"conv2": "one", "batch_norm2": "batch_norm1", "prelu2": "prelu1"}
    norm = [f"batch_norm1.{key}" for key in ("weight", "bias", "running_mean", "running_var")]
    assert arrays(found)["batch_norm2"] == norm


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("bias: false", "norm: batch_norm", ["conv2"]),
        ("activation: relu", "activation: prelu", ["conv2"]),
        ("activation: prelu", "activation: relu", ["conv2"]),
        ("activation: relu", "activation: tanh", ["conv2"]),
    ],
)
def test_a_norm_or_activation_whose_counterpart_has_no_weights_has_its_own(
    first: str, second: str, shared: list[str]
) -> None:
    unit = "channels: 2, kernel: 3"
    found = branches(f"conv: {{name: one, {unit}, {first}}}", f"conv: {{share: one, {unit}, {second}}}")
    assert list(found.shares) == shared


def test_layers_that_stand_alone_behind_a_shared_one_have_their_own_weights() -> None:
    found = branches(
        "conv: {name: one, channels: 2, kernel: 3, bias: false}, batch_norm",
        "conv: {share: one, channels: 2, kernel: 3, bias: false}, batch_norm",
    )
    assert list(found.shares) == ["conv2"]


def test_a_block_shares_layer_by_layer() -> None:
    found = cnnspec.loads(PAIR).graph
    own = ["conv1", "batch_norm1", "inner.conv1", "inner.prelu1", "dense1"]
    assert found.shares == {f"right.{name}": f"left.{name}" for name in own}
    assert all(name.startswith("left.") for name in found.parameters)


def test_a_share_inside_of_a_block_is_looked_up_from_the_inside_outwards() -> None:
    twice = "blocks: {twice: {layers: [dense: {name: one, units: 4}, tanh, dense: {units: 4, share: one}]}}"
    found = graph("twice: {name: a}, twice: {name: b}, twice: {name: c, share: a}", "[4]", twice)
    assert found.shares == {"a.dense2": "a.one", "b.dense2": "b.one", "c.one": "a.one", "c.dense2": "a.one"}


def test_uses_of_two_blocks_may_share() -> None:
    blocks = "blocks: {p: {layers: [dense: 4, relu]}, q: {layers: [tanh, dense: {units: 4, activation: elu}]}}"
    assert graph("p: {name: a}, q: {name: b, share: a}", "[4]", blocks).shares == {"b.dense1": "a.dense1"}


def test_a_repeated_layer_can_use_one_set_of_weights() -> None:
    found = graph("dense: {name: step, units: 4}, repeat: {times: 3, name: s, layers: [tanh, dense: {units: 4, "
                  "share: step}]}", "[4]")  # fmt: skip
    assert list(found.parameters) == ["step.weight", "step.bias"]
    assert trainable(found.nodes) == 20


def test_the_first_layer_says_how_the_weights_begin() -> None:
    found = graph("dense: {name: a, units: 2, weight: [[1, 2], [3, 4]], bias: 5}, dense: {units: 2, share: a}, "
                  "dense: {name: z, units: 2, init: zeros}, dense: {units: 2, share: z}", "[2]")  # fmt: skip
    weights = initial(found, 0)
    assert weights["a.weight"].tolist() == [[1, 2], [3, 4]]
    assert found.parameters["a.bias"].numbers is not None
    assert not weights["z.weight"].any()
    assert found.parameters["z.weight"].scheme == "zeros"


# What is counted, shown and written


def test_shared_weights_count_once_and_their_work_each_time() -> None:
    spec = cnnspec.loads(PAIR)
    alone = cnnspec.loads(PAIR.replace(", share: left", ""))
    found, twice = summarize(spec.graph), summarize(alone.graph)
    assert 2 * found.totals.parameters == twice.totals.parameters
    assert 2 * found.state == twice.state
    assert found.totals.macs == twice.totals.macs
    assert sum(row.parameters for row in found.rows) == found.totals.parameters
    assert sum(parameters for _, parameters, _ in found.by_kind) == found.totals.parameters
    count = found.totals.parameters
    assert not cnnspec.check(cnnspec.Source("x", f"{PAIR}expect: {{parameters: {count}}}\n")).diagnostics


def test_the_table_and_the_json_say_whose_weights_they_are() -> None:
    report = cnnspec.check(cnnspec.Source("x", PAIR))
    assert report.spec is not None
    rows = {row["name"]: row for row in to_dict(report)["layers"]}
    assert (rows["right.dense1"]["shares"], rows["right.dense1"]["parameters"]) == ("left.dense1", 0)
    assert (rows["left.dense1"]["shares"], rows["left.dense1"]["parameters"]) == (None, 3 * 27 + 3)
    summary = summarize(report.spec.graph)
    heading, _, *lines = network_lines(report.spec.graph, summary, None, lambda text, _: text)
    assert " shares " in heading
    (line,) = (line for line in lines if line.startswith("right.dense1"))
    assert line.split()[:3] == ["right.dense1", "dense", "left.dense1"]
    text = "\n".join(explanation(report.spec.graph, summary, lambda text, _: text))
    assert "parameters       weight 3×27 + bias 3 = 84" in text
    assert "parameters       weight 3×27 + bias 3, of left.dense1" in text


@pytest.mark.parametrize("defaults", [True, False])
def test_the_rendered_spec_shares_as_well(defaults: bool) -> None:
    spec = cnnspec.loads(PAIR)
    text = render(spec, defaults=defaults)
    assert text.count("share: left.") == 5
    again = cnnspec.loads(text)
    assert [replace(node, span=None) for node in again.graph.nodes] == [
        replace(node, span=None) for node in spec.graph.nodes
    ]
    assert render(again, defaults=defaults) == text


# Graphs without text


def dense_graph(arrays: dict[str, str], units: int = 3) -> GraphBuilder:
    builder = GraphBuilder("g")
    builder.input((3,))
    builder.add("one", Dense(units=3), ["input"])
    builder.add("two", Dense(units=units), ["one"], arrays=arrays)
    return builder


@pytest.mark.parametrize("arrays", [{"weight": "one.weight"}, {"weight": "w", "bias": "b"}])
def test_a_graph_whose_arrays_no_spec_can_name_is_not_rendered(arrays: dict[str, str]) -> None:
    spec = Spec("g", dense_graph(arrays).graph(), {"input": Input(shape=(3,))})
    with pytest.raises(ValueError, match="the arrays of `two` are neither its own nor those of one other layer"):
        render(spec)


def test_arrays_of_other_shapes_cannot_be_shared() -> None:
    with pytest.raises(ShapeError, match=r"has a weight of 4×3, and `one` one of 3×3") as caught:
        dense_graph({"weight": "one.weight", "bias": "one.bias"}, units=4)
    assert caught.value.remedies == ("`units: 3`",)
