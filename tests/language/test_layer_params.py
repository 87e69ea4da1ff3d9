"""Parameters that hold a layer: its kind, or a mapping of it to its fields."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

import cnnspec
from cnnspec.diagnostics import Source
from cnnspec.layers.activation import LeakyRelu, Relu
from cnnspec.layers.norm import BatchNorm, LayerNorm

BLOCK = """
blocks:
  unit:
    params: {c: int, act: relu, norm: {group_norm: $(in // 4)}}
    layers: [conv: {channels: $c, kernel: 1, norm: $norm, activation: $act}]
"""


def layers(items: str, head: str = "", params: dict[str, Any] | None = None) -> list[Any]:
    graph = cnnspec.loads(f"input: [8, 6, 6]\n{head}\nlayers: [{items}]\n", params=params).graph
    return [node.layer for node in graph.nodes[1:]]


def found(items: str, head: str = "") -> list[str]:
    report = cnnspec.check(Source("spec", f"input: [8, 6, 6]\n{head}\nlayers: [{items}]\n"))
    return [d.message for d in report.diagnostics]


def test_a_parameter_holds_a_norm_and_an_activation() -> None:
    head = "params: {bn: {batch_norm: {eps: 0.01}}, act: {leaky_relu: 0.3}}"
    _, norm, act = layers("conv: {channels: 2, kernel: 1, norm: $bn, activation: $act}", head)
    assert (norm, act) == (BatchNorm(eps=0.01), LeakyRelu(slope=0.3))


def test_a_parameter_holds_the_fields_of_a_layer() -> None:
    head = "params: {bn: {eps: 0.01}, three: {channels: 4, kernel: 3, norm: {batch_norm: {eps: 0.1}}}}"
    first, norm = layers("conv: $three", head)
    assert (first.channels, first.bias, norm) == (4, False, BatchNorm(eps=0.1))
    assert layers("conv: {channels: 2, kernel: 1, norm: {batch_norm: $bn}}", head)[1] == BatchNorm(eps=0.01)
    assert found("conv: $bn", head) == ["`conv` has no `eps`"]


def test_a_mapping_is_the_first_argument_of_a_block() -> None:
    head = "params: {act: {leaky_relu: 0.3}}\nblocks: {unit: {params: {a: layer}, layers: [$a]}}"
    assert layers("unit: $act", head) == [LeakyRelu(slope=0.3)]


def test_a_parameter_is_an_item_of_a_list() -> None:
    assert layers("$act", "params: {act: {leaky_relu: {slope: 0.3}}}") == [LeakyRelu(slope=0.3)]


def test_each_takes_layers() -> None:
    items = "repeat: {each: {act: [relu, {leaky_relu: 0.2}]}, layers: [$act]}"
    assert layers(items) == [Relu(), LeakyRelu(slope=0.2)]


def test_an_argument_replaces_the_kind_that_is_the_default() -> None:
    assert layers("unit: {c: 4, norm: none, act: {leaky_relu: 0.2}}", BLOCK)[1:] == [LeakyRelu(slope=0.2)]
    assert [layer.kind for layer in layers("unit: {c: 4, act: none}", BLOCK)] == ["conv", "group_norm"]


def test_a_default_that_is_a_mapping_sees_what_arrives() -> None:
    _, norm, _ = layers("unit: 4", BLOCK)
    assert norm.groups == 2


def test_a_declared_layer_is_required() -> None:
    head = "blocks: {unit: {params: {act: layer}, layers: [$act]}}"
    assert layers("unit: {act: {leaky_relu: 0.2}}", head) == [LeakyRelu(slope=0.2)]
    assert found("unit", head) == ["`unit` needs `act`"]
    assert found("unit: {act: 3}", head) == ["`act` of `unit` takes text or a mapping, not 3"]


def test_a_layer_from_outside() -> None:
    assert layers("$act", "params: {act: relu}", {"act": {"leaky_relu": 0.2}}) == [LeakyRelu(slope=0.2)]
    norm = {"layer_norm": MappingProxyType({"axes": ("height", "width")})}
    assert layers("$norm", "params: {norm: batch_norm}", {"norm": norm}) == [LayerNorm(axes=("height", "width"))]


@pytest.mark.parametrize(
    "value",
    [
        {"relu": {"name": "$act"}},
        {"$act": 1},
        {"repeat": {"times": 2, "layers": ["$act"]}},
        [{"concat": {"a": ["$act"]}}],
    ],
)
def test_a_layer_from_outside_refers_to_nothing(value: Any) -> None:
    text = "input: [8, 6, 6]\nparams: {act: relu}\nlayers: [$act]\n"
    (error,) = cnnspec.check(Source("spec", text), params={"act": value}).diagnostics
    assert error.help == "it holds no `$`, and the keys of a mapping are text"


def test_text_from_outside_refers_to_nothing() -> None:
    """A mapping that holds it would be evaluated again where it is used, and could hold itself."""
    text = "input: [8, 6, 6]\nparams: {s: relu, m: {repeat: {times: 1, layers: [$s]}}}\nlayers: [$m]\n"
    (error,) = cnnspec.check(Source("spec", text), params={"s": "$m"}).diagnostics
    assert error.message.endswith("not the text `$m`")
    assert error.help == "it holds no `$`, and the keys of a mapping are text"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("$act", "`leaky_relu` takes a number, not the text `x`"),
        ("conv: {channels: $act, kernel: 1}", "`channels` takes a whole number, not a mapping"),
        ("conv: {channels: $(2 * act), kernel: 1}", "`*` takes numbers, not a mapping"),
        ("relu: {name: a$act}", "a mapping cannot stand inside of text"),
        ("$act: {slope: 1}", "`$act` is a mapping, and a kind is text"),
    ],
)
def test_a_mapping_out_of_place_is_reported(items: str, message: str) -> None:
    assert found(items, "params: {act: {leaky_relu: x}}") == [message]


def test_mappings_of_mappings_do_not_grow_without_end() -> None:
    params = ", ".join(["p0: {a: 1, b: 1}", *(f"p{i}: {{a: $p{i - 1}, b: $p{i - 1}}}" for i in range(1, 40))])
    assert "nested too deep, or put in too often" in found("$p39", f"params: {{{params}}}")[0]
