"""What a spec means: the graph that each form of the language comes to."""

from __future__ import annotations

import dataclasses
import gc
import random
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import cnnspec
from cnnspec import bundled, layers
from cnnspec.diagnostics import Source, SpecError, any_errors, format_diagnostic
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.spec import Spec
from cnnspec.language.edits import apply
from cnnspec.layers.activation import Relu
from cnnspec.layers.base import Layer, WithoutMacs
from cnnspec.layers.fields import Numbers
from cnnspec.layers.geometry import Pads


def spec(layers_text: str, *, input: str = "[3, 16, 16]", top: str = "", params: dict | None = None) -> Spec:
    """The spec of a list of layers in flow or block style."""
    return cnnspec.loads(f"input: {input}\n{top}\nlayers: {layers_text}\n", params=params)


def graph(layers_text: str, *, input: str = "[3, 16, 16]", top: str = "", params: dict | None = None) -> Graph:
    """Its graph."""
    return spec(layers_text, input=input, top=top, params=params).graph


def shapes(found: Graph) -> dict[str, tuple[int, ...]]:
    return {node.name: node.shape for node in found.nodes}


def names(found: Graph) -> list[str]:
    return [node.name for node in found.nodes[1:]]


def reads(found: Graph) -> dict[str, tuple[str, ...]]:
    return {node.name: node.inputs for node in found.nodes[1:]}


def only(found: Graph) -> Node:
    (node,) = found.nodes[1:]
    return node


def codes(text: str, **options) -> list[str]:
    return [d.code for d in cnnspec.check(Source("spec.yaml", text), **options).diagnostics]


# Layers


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("relu", "relu: {}"),
        ("relu", "relu: "),
        ("dense: 5", "dense: {units: 5}"),
        ("max_pool: 2", "max_pool: {kernel: 2, stride: 2}"),
        ("max_pool: [2, 3]", "max_pool: {kernel: [2, 3], stride: [2, 3]}"),
        ("conv: {channels: 2, kernel: 3}", "conv: {channels: 2, kernel: 3, stride: 1, padding: valid}"),
        ("conv: {channels: 2, kernel: 3, padding: 2}", "conv: {channels: 2, kernel: 3, padding: [2, 2]}"),
        ("conv: {channels: 2, kernel: 3, padding: 0}", "conv: {channels: 2, kernel: 3, padding: valid}"),
        ("conv: {channels: 2, kernel: 3, padding: {top: 1}}",
         "conv: {channels: 2, kernel: 3, padding: {top: 1, bottom: 0, left: 0, right: 0}}"),
        ("dropout: 0.5", "dropout: {rate: 0.5}"),
        ("leaky_relu: 0.2", "leaky_relu: {slope: 0.2}"),
        ("slice: [0, 2]", "slice: {channels: [0, 2]}"),
        ("crop: 4", "crop: {size: 4}"),
        ("pad: 2", "pad: {padding: 2, mode: constant, value: 0}"),
        ("upsample: 2", "upsample: {scale: 2, mode: nearest}"),
        ("adaptive_avg_pool: 1", "adaptive_avg_pool: {size: 1}"),
        ("group_norm: 3", "group_norm: {groups: 3}"),
        ("scale: 0.1", "scale: {value: 0.1}"),
        ("elu: 2", "elu: {alpha: 2.0}"),
    ],
)  # fmt: skip
def test_short_forms(short, long):
    shape = "[12]" if short.startswith("dense") else "[3, 12, 12]"
    one, other = only(graph(f"[{short}]", input=shape)), only(graph(f"[{long}]", input=shape))
    assert (one.shape, one.inferred.pads, one.parameters) == (other.shape, other.inferred.pads, other.parameters)
    given = {"stride"} if "max_pool" in short else {"padding"}  # a default that is written out
    assert one.layer.model_dump(exclude=given) == other.layer.model_dump(exclude=given)


def test_flow_and_block_style_are_one():
    block = (
        "\n  - conv:\n      channels: 4\n      kernel:\n        - 3\n        - 1\n  - relu:\n  - flatten\n  - dense: 3"
    )
    assert shapes(graph(block)) == shapes(graph("[conv: {channels: 4, kernel: [3, 1]}, relu, flatten, dense: 3]"))


def test_the_padding_is_the_total_of_both_sides():
    node = only(graph("[conv: {channels: 1, kernel: 4, padding: [3, 1]}]"))
    assert node.inferred.pads == Pads(((2, 1), (1, 0)))
    assert node.shape == (1, 16, 14)


@pytest.mark.parametrize(
    ("weight", "shape"),
    [("[[0, 1], [2, 3]]", (2, 2)), ("[[[[0, 1], [2, 3]]]]", (1, 1, 2, 2)), ("0.5", ())],
)
def test_inline_numbers_may_leave_out_leading_axes(weight, shape):
    node = only(graph(f"[conv: {{channels: 1, kernel: 2, weight: {weight}, bias: 0}}]", input="[1, 3, 3]"))
    assert node.parameters["weight"].numbers.shape == shape
    assert node.parameters["weight"].shape == (1, 1, 2, 2)
    assert node.parameters["bias"].numbers == Numbers((), (0.0,))


# Sugar


def test_norm_and_activation_stand_for_the_layers_that_follow():
    found = graph("[conv: {channels: 4, kernel: 3, norm: batch_norm, activation: {leaky_relu: 0.2}}]")
    assert [node.kind for node in found.nodes[1:]] == ["conv", "batch_norm", "leaky_relu"]
    assert names(found) == ["conv1", "batch_norm1", "leaky_relu1"]
    assert found.nodes[3].layer.slope == 0.2
    assert reads(found) == {"conv1": ("input",), "batch_norm1": ("conv1",), "leaky_relu1": ("batch_norm1",)}


@pytest.mark.parametrize(
    ("config", "biased"),
    [("", True), ("norm: batch_norm", False), ("norm: batch_norm, bias: true", True), ("activation: relu", True),
     ("bias: false", False), ("norm: {layer_norm: {eps: 1e-3}}", False)],
)  # fmt: skip
def test_a_norm_takes_the_place_of_the_bias(config, biased):
    for kind, shape in (("conv: {channels: 4, kernel: 3", "[3, 8, 8]"), ("dense: {units: 4", "[8]")):
        found = graph(f"[{kind}, {config}}}]", input=shape)
        assert ("bias" in found.nodes[1].parameters) is biased


def test_a_name_is_what_the_layer_hands_on():
    found = graph("""
  - conv: {channels: 3, kernel: 3, padding: same, norm: batch_norm, activation: relu, name: first}
  - tanh
  - add: {main: [], skip: [from: first]}
""")
    assert names(found) == ["first", "batch_norm1", "relu1", "tanh1", "add1"]
    assert found.by_name["add1"].inputs == ("tanh1", "relu1")


def test_a_norm_may_have_a_name_of_its_own():
    found = graph("[conv: {channels: 3, kernel: 3, norm: {batch_norm: {name: n}}}, add: {a: [], b: [from: n]}]")
    assert found.by_name["add1"].inputs == ("n", "n")


def test_expect_is_about_what_the_layer_hands_on():
    text = "input: [1, 8, 8]\nlayers:\n  - conv: {channels: 2, kernel: 3, norm: batch_norm, expect: %s}\n"
    assert codes(text % "[2, 6, 6]") == []
    assert codes(text % "[2, 8, 8]") == ["expectation-failed"]


def test_expectations_are_of_the_spec_as_it_is_written():
    text = "input: [1, 8, 8]\nparams: {c: 2}\nlayers: [conv: {channels: $c, kernel: 3, expect: [2, 6, 6]}]\n"
    text += "expect: {output: [2, 6, 6], parameters: 20}\nexamples: [{input: 1, output: [[[1, 2]]]}]\n"
    assert codes(text) == ["example-shape"]
    assert codes(text, params={"c": 3}) == []
    assert codes(text, input_shape=(1, 9, 9)) == []


# Names


def test_names_count_each_kind():
    assert names(graph("[relu, tanh, relu, relu: {name: mine}, relu]")) == ["relu1", "tanh1", "relu2", "mine", "relu4"]


def test_names_inside_of_named_blocks_are_prefixed():
    top = "blocks: {unit: {layers: [relu, tanh, inner]}, inner: {layers: [relu, relu: {name: last}]}}"
    assert names(graph("[relu, unit: {name: a}, unit: {name: b}]", top=top)) == [
        "relu1", "a.relu1", "a.tanh1", "a.relu2", "a.last", "b.relu1", "b.tanh1", "b.relu2", "b.last",
    ]  # fmt: skip
    assert names(graph("[unit: {name: a}]", top=top.replace("inner]", "inner: {name: in}]")))[-1] == "a.in.last"


def test_names_inside_of_named_repeats_are_numbered():
    found = graph("[repeat: {times: 2, name: stage, layers: [relu, relu: {name: out}]}, relu]")
    assert names(found) == ["stage1.relu1", "stage1.out", "stage2.relu1", "stage2.out", "relu1"]
    assert names(graph("[repeat: {times: 3, layers: [relu]}]")) == ["relu1", "relu2", "relu3"]


def test_names_are_looked_up_from_the_inside_outwards():
    top = "blocks: {unit: {layers: [relu: {name: x}, add: {a: [], b: [from: x], c: [from: y], d: [from: unit1.x]}]}}"
    found = graph("[tanh: {name: x}, tanh: {name: y}, unit: {name: unit1}]", top=top)
    assert found.by_name["unit1.add1"].inputs == ("unit1.x", "unit1.x", "y", "unit1.x")


def test_a_round_of_a_repeat_is_known_by_its_number():
    stage = "repeat: {each: {c: [2, 3]}, name: stage, layers: [conv: {channels: $c, kernel: 1}, relu]}"
    found = graph(f"[{stage}, concat: {{a: [from: stage1], b: [from: stage2], c: [from: stage]}}]")
    assert found.nodes[-1].inputs == ("stage1.relu1", "stage2.relu1", "stage2.relu1")
    own = graph(
        "[relu: {name: stage1}, repeat: {times: 1, name: stage, layers: [tanh]}, add: {a: [from: stage1], b: []}]"
    )
    assert own.nodes[-1].inputs == ("stage1", "stage1.tanh1")


def test_a_block_and_a_repeat_are_known_by_their_names():
    top = "blocks: {unit: {layers: [relu, tanh]}}"
    found = graph(
        "[unit: {name: u}, repeat: {times: 2, name: r, layers: [relu]}, add: {a: [from: u], b: [from: r], c: []}]",
        top=top,
    )
    assert found.by_name["add1"].inputs == ("u.tanh1", "r2.relu1", "r2.relu1")


# Branches


def test_branches_start_from_the_current_tensor():
    found = graph("[relu, add: {main: [tanh, sigmoid], skip: []}]")
    assert reads(found) == {
        "relu1": ("input",), "tanh1": ("relu1",), "sigmoid1": ("tanh1",), "add1": ("sigmoid1", "relu1"),
    }  # fmt: skip
    assert found.by_name["add1"].branches == ("main", "skip")


def test_branches_nest():
    found = graph("[add: {a: [concat: {x: [relu], y: [tanh]}, conv: {channels: 3, kernel: 1}], b: []}]")
    assert shapes(found)["concat1"] == (6, 16, 16)
    assert found.by_name["concat1"].inputs == ("relu1", "tanh1")
    assert found.by_name["add1"].inputs == ("conv1", "input")


def test_long_skips():
    found = graph("""
  - conv: {channels: 4, kernel: 3, padding: same, name: encoder}
  - max_pool: 2
  - conv_transpose: {channels: 4, kernel: 2, stride: 2}
  - concat: {up: [], skip: [from: encoder, relu], raw: [from: input]}
""")
    assert found.by_name["concat1"].inputs == ("conv_transpose1", "relu1", "input")
    assert found.by_name["relu1"].inputs == ("encoder",)
    assert found.output.shape == (11, 16, 16)


def test_one_tensor_twice():
    assert graph("[add: {a: [], b: []}]").by_name["add1"].inputs == ("input", "input")


# Parameters


@pytest.mark.parametrize(
    ("value", "use", "shape"),
    [
        ("4", "conv: {channels: $p, kernel: 1}", (4, 16, 16)),
        ("4", "conv: {channels: $(p * 2 + 1), kernel: 1}", (9, 16, 16)),
        ("[3, 5]", "conv: {channels: 1, kernel: $p}", (1, 14, 12)),
        ("3", "conv: {channels: 1, kernel: [$p, $(p + 2)]}", (1, 14, 12)),
        ("3", "conv: {channels: 1, kernel: 1, padding: {top: $p}}", (1, 19, 16)),
        ("same", "conv: {channels: 1, kernel: 3, padding: $p}", (1, 16, 16)),
        ("max_pool", "$p: 2", (3, 8, 8)),
        ("max", "$(p)_pool: 2", (3, 8, 8)),
        ("relu", "$p", (3, 16, 16)),
        ("relu", "conv: {channels: 2, kernel: 1, activation: $p}", (2, 16, 16)),
        ("8", "repeat: {times: $(p // 4), layers: [max_pool: 2]}", (3, 4, 4)),
        ("[1, 2]", "repeat: {each: {c: $p}, layers: [conv: {channels: $c, kernel: 3}]}", (2, 12, 12)),
        ("0.25", "dropout: $p", (3, 16, 16)),
        ("true", "conv: {channels: 2, kernel: 1, bias: $p}", (2, 16, 16)),
    ],
)
def test_references_stand_everywhere(value, use, shape):
    assert graph(f"[{use}]", top=f"params: {{p: {value}}}").output.shape == shape


def test_references_in_names_and_inline_numbers():
    found = graph(
        "[repeat: {each: {i: [1, 2]}, layers: [conv: {channels: 1, kernel: 1, name: c$(i)_$tag, weight: $w}]}]",
        top="params: {tag: x, w: [[0.5]]}", input="[1, 4, 4]",
    )  # fmt: skip
    assert names(found) == ["c1_x", "c2_x"]
    assert found.nodes[1].parameters["weight"].numbers == Numbers((1, 1), (0.5,))


def test_parameters_may_build_on_each_other():
    top = "params: {a: 2, b: $(a * 3), c: [$a, $b]}"
    assert graph("[repeat: {each: {k: $c}, layers: [conv: {channels: $k, kernel: 1}]}]", top=top).output.shape[0] == 6


def test_parameters_are_overridden_and_keep_their_type():
    top = "params: {width: 4, rate: 0.5, doubled: $(width * 2)}"
    text = "[conv: {channels: $doubled, kernel: 1}, dropout: $rate]"
    assert graph(text, top=top, params={"width": 8}).nodes[1].shape[0] == 16
    assert graph(text, top=top, params={"rate": 0}).nodes[2].layer.rate == 0
    spec = f"input: [3, 8, 8]\n{top}\nlayers: {text}\n"
    for params, code in (
        ({"width": 8.0}, "wrong-type"), ({"width": "8"}, "wrong-type"), ({"width": True}, "wrong-type"),
        ({"width": [8]}, "wrong-type"), ({"wdth": 8}, "unknown-param"),
    ):  # fmt: skip
        assert codes(spec, params=params) == [code]
    assert codes(spec, params={"a": 1, "b": 2}) == ["unknown-param"] * 2


def test_parameters_of_the_spec_take_part_in_its_input():
    assert cnnspec.loads("params: {n: 4}\ninput: [1, $n, $(n * 2)]\nlayers: [relu]\n").graph.input.shape == (1, 4, 8)


# Blocks


UNIT = "blocks: {unit: {params: {c: int, k: 3, act: relu, bias: bool, s: [1, 1]}, layers: [conv: {channels: $c, kernel: $k, stride: $s, bias: $bias, activation: $act}]}}"  # noqa: E501


@pytest.mark.parametrize(
    ("use", "shape", "kind"),
    [
        ("unit: {c: 4, bias: true}", (4, 14, 14), "relu"),
        ("unit: {c: 4, k: 5, act: tanh, bias: false, s: [2, 3]}", (4, 6, 4), "tanh"),
        (
            "unit: {c: 4, k: [1, 7], bias: true}",
            (4, 16, 10),
            "relu",
        ),  # an int as the default may be a size for each axis
        ("unit: {c: $(2 + 2), bias: true, expect: [4, 14, 14]}", (4, 14, 14), "relu"),
    ],
)
def test_blocks_have_typed_parameters_and_defaults(use, shape, kind):
    found = graph(f"[{use}]", top=UNIT)
    assert found.output.shape == shape
    assert found.output.kind == kind


def test_the_first_parameter_of_a_block_may_stand_alone():
    top = "blocks: {unit: {params: {c: int, k: 1}, layers: [conv: {channels: $c, kernel: $k}]}}"
    assert graph("[unit: 5]", top=top).output.shape == (5, 16, 16)


def test_a_block_sees_the_parameters_of_the_spec_and_not_those_of_its_user():
    top = "params: {w: 4}\nblocks: {a: {params: {c: int}, layers: [b]}, b: {layers: [conv: {channels: %s, kernel: 1}]}}"
    assert graph("[a: 9]", top=top % "$w").output.shape[0] == 4
    assert codes(f"input: [1, 4, 4]\n{top % '$c'}\nlayers: [a: 9]\n") == ["unknown-param"]


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("int", ["1", "$(4 // 2)"], ["1.0", "x", "true", "[1]", "$(4 / 2)", "~"]),
        ("float", ["1", "1.5"], ["x", "true", "[1.0]"]),
        ("bool", ["true"], ["1", "yes", "x"]),
        ("text", ["x", "yes", "'1'"], ["1", "true"]),
        ("list", ["[1, 2]", "[]"], ["1", "x"]),
    ],
)
def test_arguments_are_of_the_declared_type(type_, good, bad):
    text = "input: [1, 4, 4]\nblocks: {unit: {params: {p: %s}, layers: [relu]}}\nlayers: [unit: {p: %s}]\n"
    for value in good:
        assert codes(text % (type_, value)) == ["unused-param"]
    for value in bad:
        assert codes(text % (type_, value)) == ["wrong-type"]


def test_blocks_may_use_blocks_and_no_block_itself():
    chain = ", ".join(f"b{i}: {{layers: [b{i + 1}]}}" for i in range(20)) + ", b20: {layers: [relu]}"
    assert names(graph("[b0]", top=f"blocks: {{{chain}}}")) == ["relu1"]
    deep = ", ".join(f"b{i}: {{layers: [b{i + 1}]}}" for i in range(40)) + ", b40: {layers: [relu]}"
    assert set(codes(f"input: [1, 4, 4]\nblocks: {{{deep}}}\nlayers: [b0]\n")) == {"recursive-block"}
    (found,) = cnnspec.check(
        Source("x", "input: [1, 4, 4]\nblocks: {a: {layers: [relu, b]}, b: {layers: [a]}}\nlayers: [a]\n")
    ).diagnostics
    assert found.label.text == "a → b → a"


# Repeats


def test_repeats():
    text = (
        "[repeat: {each: {c: [4, 8], k: [1, 3]}, name: s, layers: [conv: {channels: $c, kernel: $k, padding: same}]}]"
    )
    assert shapes(graph(text)) == {"input": (3, 16, 16), "s1.conv1": (4, 16, 16), "s2.conv1": (8, 16, 16)}
    assert names(graph("[relu, repeat: {times: 0, layers: [tanh]}, relu]")) == ["relu1", "relu2"]
    assert names(graph("[relu, repeat: {each: {c: []}, layers: [tanh]}]")) == ["relu1"]
    assert codes("input: [1, 2, 2]\nlayers: [repeat: {each: {a: [1], b: [1, 2]}, layers: [relu]}]\n") == ["uneven-each"]
    assert codes("input: [1, 2, 2]\nlayers: [repeat: {times: 0, layers: [relu]}]\n") == ["invalid-value"]


def test_repeats_nest_and_use_what_is_around_them():
    found = graph(
        "[repeat: {each: {c: [2, 4]}, layers: [repeat: {times: $(c // 2), layers: [conv: {channels: $c, kernel: 1}]}]}]"
    )
    assert [node.shape[0] for node in found.nodes[1:]] == [2, 4, 4]


FROM = "blocks: {tail: {params: {source: text}, layers: [from: $source, conv: {channels: 2, kernel: 1}]}}\n"
FROM += "input: [3, 8, 8]\nlayers: [relu: {name: a}, tanh: {name: b}, concat: {x: [%s], y: []}]\n"


@pytest.mark.parametrize(
    "first", ["tail: a", "repeat: {times: 1, layers: [tail: a]}", "repeat: {each: {s: [a]}, layers: [tail: $s]}"]
)
def test_a_block_that_begins_a_branch_begins_from_a_layer(first):
    found = cnnspec.loads(FROM % first).graph
    assert [node.inputs for node in found.nodes[-2:]] == [("a",), ("conv1", "b")]


@pytest.mark.parametrize(
    "items",
    [
        "relu, tail: a",
        "from: b, tail: a",
        "tail: a, tail: b",
        "repeat: {times: 2, layers: [tail: a]}",
        "repeat: {times: 1, layers: [relu, tail: a]}",
    ],
)
def test_a_block_that_would_discard_what_a_branch_holds_begins_from_no_layer(items):
    report = cnnspec.check(cnnspec.Source("x", FROM % items))
    assert [found.code for found in report.diagnostics] == ["misplaced-from"]


def test_the_number_of_a_round_is_a_parameter():
    conv = "conv: {channels: $(4 * i), kernel: 1}"
    assert [node.shape[0] for node in graph(f"[repeat: {{times: 3, index: i, layers: [{conv}]}}]").nodes[1:]] == [
        4,
        8,
        12,
    ]
    found = graph(
        "[repeat: {each: {c: [2, 3]}, index: i, first: 5, layers: [conv: {channels: $(c * i), kernel: 1, name: c$i}]}]"
    )
    assert [(node.name, node.shape[0]) for node in found.nodes[1:]] == [("c5", 10), ("c6", 18)]


def test_rounds_are_counted_from_the_first_number():
    unit = "layers: [relu, repeat: {times: 2, name: u, first: $n, layers: [tanh]}]"
    found = graph(f"[repeat: {{each: {{n: [0, 5]}}, name: layer, first: 0, {unit}}}]")
    expected = ["layer0.relu1", "layer0.u0.tanh1", "layer0.u1.tanh1"]
    assert names(found) == [*expected, "layer1.relu1", "layer1.u5.tanh1", "layer1.u6.tanh1"]
    twice = "repeat: {times: 2, name: r, %slayers: [relu]}"
    assert names(graph(f"[{twice % ''}]")) == names(graph(f"[{twice % 'first: 1, '}]")) == ["r1.relu1", "r2.relu1"]
    shown = graph("[repeat: {times: 2, name: r, first: 0, layers: [relu]}, add: {a: [from: r0.relu1], b: [from: r]}]")
    assert shown.nodes[-1].inputs == ("r0.relu1", "r1.relu1")


# Sizes of other layers


def test_a_crop_takes_the_size_of_a_named_layer():
    text = (
        "[conv: {name: far, channels: 4, kernel: [5, 4]}, conv: {name: near, channels: 2, kernel: 3, activation: relu},"
        " concat: {skip: [from: far, relu, crop: {like: near}], up: []}]"
    )
    found = graph(text)
    (crop,) = (node for node in found.nodes if node.kind == "crop")
    assert (crop.shape, crop.layer.size) == ((4, 10, 11), (10, 11))
    written = graph(text.replace("like: near", "size: [10, 11]"))
    first, second = ([dataclasses.replace(node, span=None) for node in each.nodes] for each in (found, written))
    assert first == second
    assert "crop: {size: [10, 11]}" in cnnspec.render(spec(text), defaults=False)


def test_a_crop_may_name_a_layer_of_a_branch_or_the_input():
    found = graph("[add: {a: [conv: {name: inner, channels: 3, kernel: 3}], b: [crop: {like: inner}]}, "
                  "concat: {a: [], b: [from: input, crop: {like: add1}]}]")  # fmt: skip
    assert found.output.shape == (6, 14, 14)
    block = "blocks: {fit: {params: {to: text}, layers: [crop: {like: $to}]}}"
    found = graph(
        "[conv: {name: small, channels: 3, kernel: 3}, add: {a: [], b: [from: input, fit: small]}]", top=block
    )
    assert found.output.shape == (3, 14, 14)


@pytest.mark.parametrize(
    ("input", "kernel", "size"),
    [("{channels: 2, length: 9}", 4, (6,)), ("{channels: 2, depth: 9, height: 8, width: 7}", 3, (7, 6, 5))],
)
def test_crops_to_a_layer_over_any_number_of_axes(input, kernel, size):
    text = f"[conv: {{name: a, channels: 2, kernel: {kernel}}}, add: {{a: [], b: [from: input, crop: {{like: a}}]}}]"
    assert graph(text, input=input).output.shape == (2, *size)


# Specs that extend others


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


BASE = "input: [3, 8, 8]\nparams: {width: 4, kernel: 1}\nlayers: [conv: {channels: $width, kernel: $kernel}]\n"


def test_a_spec_is_another_one_with_other_parameters(tmp_path):
    write(tmp_path, base=BASE, wide="extends: base.yaml\nparams: {width: 8}\nexpect: {output: [8, 8, 8]}\n")
    found = cnnspec.load(tmp_path / "wide.yaml").graph
    assert (found.name, found.output.shape) == ("wide", (8, 8, 8))
    assert cnnspec.load(tmp_path / "wide.yaml", params={"width": 2, "kernel": 3}).graph.output.shape == (2, 6, 6)


def test_what_a_spec_says_itself_comes_first(tmp_path):
    write(
        tmp_path,
        base=BASE + "classes: [a, b, c, d]\ninit: zeros\ntrain: {epochs: 3}\nexpect: {output: [4, 8, 8]}\n",
        middle="extends: base.yaml\nparams: {width: 6}\nclasses: [a, b, c, d, e, f]\ninput: [1, 9, 9]\n",
        top="extends: middle.yaml\nparams: {kernel: 3}\nname: mine\n",
    )
    found = cnnspec.load(tmp_path / "top.yaml")
    assert (found.name, found.graph.output.shape, found.init, found.train.epochs) == ("mine", (6, 7, 7), "zeros", 3)
    assert len(found.classes) == 6


def test_a_bundled_spec_may_be_extended_from_anywhere(tmp_path):
    write(tmp_path, mine="extends: vgg\nname: mine\n")
    assert cnnspec.load(tmp_path / "mine.yaml").graph.parameters == cnnspec.load("vgg").graph.parameters
    assert cnnspec.loads("extends: lenet.yaml\n").graph.output.shape == (10,)


def test_the_folder_counts_and_not_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path, sub__base=BASE, sub__wide="extends: base.yaml\nparams: {width: 8}\n", base="not: this")
    monkeypatch.chdir(tmp_path)
    assert cnnspec.load("sub/wide.yaml").graph.output.shape == (8, 8, 8)


@pytest.mark.parametrize("name", ["../secret.yaml", "sub/../../secret.yaml", "/etc/passwd", "-", "$HOME", "x" * 5000])
def test_no_spec_leads_out_of_its_folder(tmp_path, monkeypatch, name):
    write(tmp_path, secret=BASE, sub__spec=f"extends: {name!r}\n")
    monkeypatch.setattr(sys, "stdin", None)
    (found,) = cnnspec.check(tmp_path / "sub" / "spec.yaml").diagnostics
    assert found.code == "unreadable-file"


def test_specs_do_not_extend_each_other_without_end(tmp_path):
    write(tmp_path, a="extends: b.yaml\n", b="extends: a.yaml\n", c="extends: c.yaml\n")
    for name in "ac":
        assert [d.code for d in cnnspec.check(tmp_path / f"{name}.yaml").diagnostics] == ["endless-extends"]
    write(tmp_path, **{f"s{i}": f"extends: s{i + 1}.yaml\n" for i in range(30)}, s30=BASE)
    assert [d.code for d in cnnspec.check(tmp_path / "s0.yaml").diagnostics] == ["endless-extends"]
    assert cnnspec.check(tmp_path / "s25.yaml").ok


# The whole


def test_the_graph_is_in_topological_order_and_frozen():
    found = cnnspec.load("googlenet").graph
    seen = set()
    for node in found.nodes:
        assert set(node.inputs) <= seen
        assert node.in_shapes == tuple(found.by_name[name].shape for name in node.inputs)
        seen.add(node.name)
    assert len(seen) == len(found.nodes)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name = "other"
    with pytest.raises(AttributeError):
        found.nodes[0].name = "other"
    with pytest.raises(ValueError, match="frozen"):
        found.nodes[1].layer.kernel = (1, 1)


def test_the_input_may_say_how_pixels_become_numbers():
    found = spec("[relu]", input="{shape: [3, 8, 8], scale: 1, mean: 0.5, std: [1, 2, 3]}")
    assert (found.input.shape, found.input.scale, found.input.mean, found.input.std) == (
        (3, 8, 8),
        1,
        (0.5,),
        (1, 2, 3),
    )


def test_another_input_shape():
    text = "input: [1, 28, 28]\nlayers: [conv: {channels: 2, kernel: 5}]\n"
    assert cnnspec.load(Source("x", text), input_shape=(3, 10, 12)).graph.output.shape == (2, 6, 8)


@pytest.mark.parametrize(
    ("expect", "found"),
    [
        ("{parameters: 60, macs: 3456, output: [2, 8, 8]}", []),
        ("{parameters: 56, macs: 3456, output: [2, 8, 8]}", []),
        ("{parameters: 57}", ["expectation-failed"]),
        ("{parameters: 1, macs: 1, output: [1]}", ["expectation-failed"] * 3),
        ("{}", []),
    ],
)
def test_totals(expect, found):
    text = "input: [3, 8, 8]\nlayers: [conv: {channels: 2, kernel: 3, padding: same%s}]\nexpect: %s\n"
    biased = ", bias: false, norm: batch_norm" if "60" in expect else ""
    expect = expect.replace("60", "58")
    assert codes(text % (biased, expect)) == found


def test_classes_are_as_many_as_outputs():
    text = "input: [4]\nlayers: [dense: 2]\nclasses: %s\n"
    assert cnnspec.loads(text % "[cat, 7]").classes == ("cat", "7")
    assert codes(text % "[a, b, c]") == ["invalid-value"]
    assert codes(text % "[a]") == ["invalid-value"]


def test_a_network_that_grows_without_end_is_refused():
    text = "input: [1, 4, 4]\nlayers: [%s]\n"
    towers = "repeat: {times: 300, layers: [repeat: {times: 300, layers: [%s]}]}"
    for inner in ("relu", "repeat: {times: 0, layers: []}"):
        assert codes(text % (towers % inner)) == ["too-many-layers"]
    assert codes(text % "repeat: {times: 999999999999, layers: [relu]}") == ["too-many-layers"]
    doubling = ", ".join(f"b{i}: {{layers: [b{i + 1}, b{i + 1}]}}" for i in range(25)) + ", b25: {layers: []}"
    assert codes(f"blocks: {{{doubling}}}\n" + text % "relu, b0") == ["too-many-layers"]


def test_lists_that_hold_lists_are_bounded():
    doubling = "a0: [1], " + ", ".join(f"a{i}: [$a{i - 1}, $a{i - 1}]" for i in range(1, 60))
    text = f"input: [1, 4, 4]\nparams: {{{doubling}}}\nlayers: [conv: {{channels: 1, kernel: 1, weight: $a59}}]\n"
    assert set(codes(text)) == {"bad-expression"}
    nested = "a0: [1], " + ", ".join(f"a{i}: [$a{i - 1}]" for i in range(1, 3000))
    assert "bad-expression" in codes(f"input: [1, 4, 4]\nparams: {{{nested}}}\nlayers: [dense: $a2999]\n")


def calls_for(count: int) -> int:
    """How many Python functions a check of so many layers calls."""
    text = "input: [8, 32, 32]\nlayers:\n" + "  - conv: {channels: 8, kernel: 3, padding: same}\n  - relu\n" * (
        count // 2
    )
    cnnspec.check(Source("x", text))
    calls = 0

    def count_call(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    gc.collect()
    gc.disable()  # what other tests have left would call its finalizers here
    sys.setprofile(count_call)
    try:
        report = cnnspec.check(Source("x", text))
    finally:
        sys.setprofile(None)
        gc.enable()
    assert report.ok
    assert len(report.spec.graph.nodes) == count + 1
    return calls


def test_the_work_grows_with_the_number_of_layers():
    """Counted, not timed; 1,000 layers are no more than five times 200."""
    small, large = calls_for(200), calls_for(1000)
    assert large < 5.05 * small


def test_a_clash_of_channels_behind_two_layers_of_one_name():
    """The convolution is named as the fourth relu is by itself: both faults are said, and nothing fails."""
    text = "inputs: {left: [2, 3, 3], right: [2, 3, 3]}\nlayers:\n"
    text += "  - add: {a: [conv: {channels: 2, kernel: 3, padding: same, name: relu2}], b: []}\n"
    text += "  - concat: {name: n2, a: [], b: []}\n  - slice: [0, 2]\n" + 5 * "  - relu\n"
    text += "  - add: {a: [], b: [from: n2]}\n"
    found = cnnspec.check(Source("x", text))
    assert not found.ok
    assert {d.code for d in found.diagnostics} >= {"duplicate-name"}


# Layers of others


class Twice(WithoutMacs):
    """Twice the channels, from another package.

    x [n, c, h, w] -> y [n, o, h, w]

        - twice
    """

    kind = "twice"
    elementwise = monotone = piecewise = False
    linear = True

    def receptive_field(self, seen, inputs, inferred):
        return seen

    def infer(self, *inputs):
        return layers.Inferred((2 * inputs[0][0], *inputs[0][1:]))


class Point:
    def __init__(self, name, found):
        self.name, self.found = name, found

    def load(self):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def entry_points(monkeypatch):
    points: list[Point] = []
    monkeypatch.setattr(layers, "entry_points", lambda group: points if group == "cnnspec.layers" else [])
    layers._third_party.cache_clear()
    yield points
    layers._third_party.cache_clear()


def test_a_layer_of_another_package(entry_points):
    entry_points.append(Point("twice", Twice))
    found = graph("[twice, twice: {name: again}]")
    assert shapes(found) == {"input": (3, 16, 16), "twice1": (6, 16, 16), "again": (12, 16, 16)}
    assert codes("input: [1, 4, 4]\nlayers: [twic]\n") == ["unknown-kind"]
    (near,) = cnnspec.check(Source("x", "input: [1, 4, 4]\nlayers: [twic]\n")).diagnostics
    assert near.help == "did you mean `twice`?"


def test_a_broken_package_is_a_warning_that_names_it(entry_points):
    entry_points += [Point("thrice", ImportError("no such module")), Point("twice", Twice)]
    with pytest.warns(RuntimeWarning, match="`thrice` cannot be loaded: no such module"):
        assert graph("[twice]").output.shape == (6, 16, 16)


def test_a_layer_that_leaves_traits_undeclared_is_refused(entry_points):
    class Bare(Layer):
        kind = "bare"

    entry_points.append(Point("bare", Bare))
    with pytest.warns(RuntimeWarning, match="`bare` cannot be loaded: it does not declare `elementwise`, `monotone`"):
        assert codes("input: [1, 4, 4]\nlayers: [bare]\n") == ["unknown-kind"]


def test_no_package_takes_the_place_of_a_layer(entry_points):
    entry_points.append(Point("relu", Twice))
    assert type(graph("[relu]").nodes[1].layer) is Relu


# The padding that looks like one on each side


@pytest.mark.parametrize(
    ("layer", "warned"),
    [
        ("conv: {channels: 1, kernel: 3, padding: 1}", True),
        ("conv: {channels: 1, kernel: 5, padding: 2}", True),
        ("conv: {channels: 1, kernel: 5, padding: 1}", True),
        ("conv: {channels: 1, kernel: [1, 3], padding: [0, 1]}", True),
        ("conv: {channels: 1, kernel: 3, dilation: 2, padding: 2}", True),
        ("max_pool: {kernel: 3, stride: 2, padding: 1}", True),
        ("conv: {channels: 1, kernel: 3, padding: 2}", False),
        ("conv: {channels: 1, kernel: 5, padding: 4}", False),
        ("conv: {channels: 1, kernel: 3, padding: 0}", False),
        ("conv: {channels: 1, kernel: 1, padding: 1}", False),
        ("conv: {channels: 1, kernel: 2, padding: 1}", False),
        ("conv: {channels: 1, kernel: 3, padding: same}", False),
        ("conv: {channels: 1, kernel: 3, padding: {each_side: 1}}", False),
        ("conv: {channels: 1, kernel: 3, padding: {top: 1, bottom: 0, left: 1, right: 0}}", False),
        ("pad: 1", False),
        ("conv_transpose: {channels: 1, kernel: 3, padding: 1}", True),
    ],
)
def test_a_padding_that_looks_like_one_on_each_side(layer, warned):
    report = cnnspec.check(Source("x", f"input: [1, 12, 12]\nlayers: [{layer}]\n"))
    assert report.ok
    assert [d.code for d in report.diagnostics] == ["padding-per-side"] * warned


@given(
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    kind=st.sampled_from(["conv: {channels: 1, ", "max_pool: {stride: 1, "]),
)
@example(kernel=(5, 5), padding=(2, 2), kind="conv: {channels: 1, ")
def test_the_fixes_of_that_warning_do_what_they_promise(kernel, padding, kind):
    def source(form: str) -> Source:
        return Source("x", f"input: [1, 12, 12]\nlayers: [{kind}kernel: {list(kernel)}, {form}}}]\n")

    before = cnnspec.check(source(f"padding: {list(padding)}"))
    for warning in before.diagnostics if before.ok else ():
        assert 1 <= len(warning.fixes) <= 2
        for fix in warning.fixes:
            after = cnnspec.check(apply(source(f"padding: {list(padding)}"), fix.edits))
            assert after.diagnostics == ()
            assert after.spec.graph.output.inferred.pads == Pads(((padding[0], padding[0]), (padding[1], padding[1])))
        (meant,) = warning.help.split("`")[1::2]
        after = cnnspec.check(source(meant))
        assert after.diagnostics == ()
        assert after.spec.graph.output.inferred.pads == before.spec.graph.output.inferred.pads


# Help that is computed does help


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.integers(1, 12),
    dilation=st.integers(1, 3),
    stride=st.integers(1, 3),
)
@example(size=(2, 2), kernel=5, dilation=1, stride=1)
def test_the_remedies_of_a_window_that_does_not_fit(size, kernel, dilation, stride):
    def check(size, kernel, padding):
        text = f"input: [1, {size[0]}, {size[1]}]\nlayers:\n  - max_pool: {{kernel: 1, stride: 2}}\n  - conv: "
        config = f"kernel: {kernel}, dilation: {dilation}, stride: {stride}, padding: {padding}"
        return cnnspec.check(Source("x", text + f"{{channels: 1, {config}}}\n"))

    for found in check(size, kernel, "valid").diagnostics:
        largest = int(found.help.split("at most ")[1].split(",")[0].split(" ")[0])
        needed = [int(n) for n in found.help.split("at least ")[1].split("×")]
        assert check(size, largest, "valid").ok
        assert not check(size, largest + 1, "valid").ok
        assert check(size, kernel, "same").ok
        assert check(needed, kernel, "valid").ok
        for smaller in ((needed[0] - 1, needed[1]), (needed[0], needed[1] - 1)):
            assert 0 in smaller or not check(smaller, kernel, "valid").ok


@pytest.mark.parametrize(
    ("main", "skip"),
    [
        ("conv: {channels: 8, kernel: 3, padding: same}", ""),
        ("conv: {channels: 8, kernel: 3, stride: 2, padding: same}", ""),
        ("conv: {channels: 4, kernel: 3, stride: 2, padding: same}", ""),
        ("conv: {channels: 4, kernel: 3, stride: 3, padding: same}", ""),
        ("relu", "max_pool: 2"),
        ("conv: {channels: 8, kernel: 1}", "max_pool: 2"),
        ("relu", "conv: {channels: 4, kernel: 3}"),
        ("global_avg_pool", "global_avg_pool, dense: 7"),
    ],
)
def test_the_fixes_of_branches_that_differ(main, skip):
    source = Source("x", f"input: [4, 12, 12]\nlayers: [add: {{main: [{main}], skip: [{skip}]}}]\n")
    (found,) = cnnspec.check(source).diagnostics
    assert found.code == "shapes-differ"
    assert found.fixes
    for fix in found.fixes:
        assert cnnspec.check(apply(source, fix.edits)).ok


# Reports


def test_load_raises_what_check_reports():
    text = "input: [1, 4, 4]\nlayers: [reluu, conv: {channels: 1, kernel: 5}]\n"
    report = cnnspec.check(Source("x", text))
    assert (report.ok, report.spec, report.name) == (False, None, "x")
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(text, name="x")
    assert caught.value.diagnostics == report.diagnostics
    assert "did you mean `relu`?" in str(caught.value)


def test_warnings_do_not_fail_and_stay_with_the_graph():
    report = cnnspec.check(Source("x", "input: [1, 8, 8]\nlayers: [conv: {channels: 1, kernel: 3, padding: 1}]\n"))
    assert report.ok
    assert report.spec.warnings == report.diagnostics
    assert [d.severity for d in report.diagnostics] == ["warning"]


def test_a_file_that_is_not_there_is_reported():
    report = cnnspec.check("lenett")
    assert not report.ok
    assert report.diagnostics[0].help == "did you mean the bundled spec `lenet`?"


# Whatever the text, a report


SEEDS = [
    bundled.find(name).read_text() for name in ("lenet", "googlenet", "resnet", "textbook/multiply_three_channels")
    if bundled.find(name)
] or [bundled.find("lenet").read_text()]  # fmt: skip
PIECES = [
    *"[]{}:,-#&*!|>'\"%@$()\n\t 0", "- ", ": ", "-1", "0", "1e9", "null", "true", "[]", "{}", "[[1]]", "$x", "$(1/0)",
    "repeat", "from", "add", "conv", "concat", "name", "expect", "norm", "padding", "times", "each", "layers", "blocks",
    "extends", "99999999999999999999", "same", "input", "\x85", "\ufeff", "：", "卷", "\ud800", "&a ", "*a", "<<",
]  # fmt: skip


def mutated(text: str, seed: int, count: int) -> str:
    """The text with some characters or lines deleted, doubled, moved or replaced."""
    chance = random.Random(seed)
    for _ in range(count):
        if chance.random() < 0.4:
            lines = text.split("\n")
            at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            match chance.randrange(4):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(other, lines[at])
                case 2:
                    lines[at] = " " * chance.randrange(6) + lines[at].lstrip()
                case 3:
                    lines[at], lines[other] = lines[other], lines[at]
            text = "\n".join(lines)
        else:
            at = chance.randrange(len(text) + 1)
            end = at + chance.choice([0, 1, 1, 2, 5])
            text = text[:at] + chance.choice(["", *PIECES]) + text[end:]
    return text


def holds(text: str) -> None:
    """A check of the text reports, and what it reports lies within the text."""
    where = Source("spec.yaml", text)
    report = cnnspec.check(where)
    assert report.ok is not any_errors(report.diagnostics)
    assert report.ok is (report.spec is not None)
    for diagnostic in report.diagnostics:
        assert format_diagnostic(diagnostic)
        for label in (diagnostic.label, *diagnostic.others):
            span = label.span
            lines = span.source.lines
            assert span.source.name != "spec.yaml" or span.source is where
            assert 1 <= span.line <= span.end_line <= len(lines)
            assert 1 <= span.column <= len(lines[span.line - 1]) + 1
            assert span.end_column >= 1


@given(st.sampled_from(SEEDS), st.integers(0, 2**32), st.integers(1, 8))
def test_a_damaged_spec_is_reported(text, seed, count):
    holds(mutated(text, seed, count))


KEYS = st.sampled_from(
    ["input", "layers", "params", "blocks", "name", "expect", "classes", "train", "examples", "extends", "init", "conv",
     "dense", "add", "repeat", "relu", "max_pool", "from", "times", "each", "channels", "kernel", "padding", "stride",
     "norm", "activation", "main", "skip", "unit", "weight", "bias", "shape", "output", "loss", "optimizer", "c", "x"]
)  # fmt: skip
LEAVES = st.one_of(
    KEYS,
    st.integers(-2, 9),
    st.sampled_from([None, True, 1.5, 10**30, "$c", "$(c * 2)", "$", "same", "lenet", "a b", ""]),
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)


@given(
    top=st.dictionaries(KEYS, TREES, max_size=5),
    items=st.lists(TREES, max_size=5),
    params=st.dictionaries(st.sampled_from("cx"), TREES, max_size=2),
)
@example(top={}, items=[{"repeat": {"times": True, "layers": []}}], params={})
@example(top={"layers": {}}, items=[], params={})
def test_any_tree_is_reported(top, items, params):
    spec = {"input": [3, 8, 8], "params": {"c": 2, **params}, "layers": items, **top}
    holds(yaml.safe_dump(spec, sort_keys=False))
    holds(yaml.safe_dump(spec, sort_keys=False, default_flow_style=True, width=40))


class TestNoNormAndNoActivation:
    """`none` in `norm` and `activation`: as if the field were left out."""

    @pytest.mark.parametrize("field", ["norm: none", "activation: none", "norm: none, activation: none"])
    def test_none_is_no_layer(self, field: str) -> None:
        with_none = cnnspec.loads(f"input: [3, 8, 8]\nlayers: [conv: {{channels: 4, kernel: 3, {field}}}]\n").graph
        without = cnnspec.loads("input: [3, 8, 8]\nlayers: [conv: {channels: 4, kernel: 3}]\n").graph
        assert [node.kind for node in with_none.nodes] == ["input", "conv"]
        assert with_none.parameters == without.parameters  # without a norm, there is a bias

    def test_a_parameter_chooses(self) -> None:
        spec = (
            "input: [3, 8, 8]\nblocks:\n  unit:\n    params: {c: int, norm: batch_norm, act: relu}\n"
            "    layers: [conv: {channels: $c, kernel: 1, norm: $norm, activation: $act}]\n"
            "layers: [unit: 4, unit: {c: 5, act: none}, unit: {c: 6, norm: none}]\n"
        )
        kinds = [node.kind for node in cnnspec.loads(spec).graph.nodes]
        assert kinds == ["input", "conv", "batch_norm", "relu", "conv", "batch_norm", "conv", "relu"]

    def test_a_parameter_that_is_missing_is_reported_once(self) -> None:
        report = cnnspec.check(
            cnnspec.Source("x", "input: [3, 8, 8]\nlayers: [conv: {channels: 4, kernel: 3, activation: $nothing}]\n")
        )
        assert [found.code for found in report.diagnostics] == ["unknown-param"]
