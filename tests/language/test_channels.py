"""`$in`: the number of channels that arrive where it is written."""

from __future__ import annotations

import pytest

import cnnspec
from cnnspec import Source
from cnnspec.graph.graph import Graph


def graph(layers: str, top: str = "", shape: str = "[6, 8, 8]") -> Graph:
    return cnnspec.loads(f"input: {shape}\n{top}\nlayers: [{layers}]\n").graph


def channels(found: Graph, kind: str = "conv") -> list[int]:
    return [node.shape[0] for node in found.nodes if node.kind == kind]


def codes(layers: str, top: str = "") -> list[str]:
    report = cnnspec.check(Source("x", f"input: [6, 8, 8]\n{top}\nlayers: [{layers}]\n"))
    return [found.code for found in report.diagnostics]


CONV = "conv: {channels: %s, kernel: 1}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("$in", 6), ("$(in * 6)", 36), ("$( in )", 6), ("$(k + in)", 8), ("$(in // k % 2)", 1), ("$(-(-in))", 6)],
)
def test_expressions(value: str, expected: int) -> None:
    assert channels(graph(CONV % value, "params: {k: 2}")) == [expected]


def test_each_layer_sees_what_the_layer_before_it_makes() -> None:
    found = graph(", ".join([CONV % "$(in + 1)"] * 2 + ["slice: [2, $in]", "flatten", "dense: $(in // 64)"]))
    assert [node.shape for node in found.nodes] == [(6, 8, 8), (7, 8, 8), (8, 8, 8), (6, 8, 8), (384,), (6,)]


def test_it_stands_in_names_and_in_lists() -> None:
    layer = "conv: {name: c$in, channels: 2, kernel: 1, bias: [$in, 0], expect: [$(in // 3), 8, 8]}"
    found = graph(layer)
    assert found.nodes[1].name == "c6"
    assert found.nodes[1].parameters["bias"].numbers == ((2,), (6.0, 0.0))


def test_a_norm_and_an_activation_see_the_output_of_their_layer() -> None:
    found = graph("conv: {channels: 4, kernel: 1, norm: {group_norm: $in}, activation: {leaky_relu: $(in / 8)}}")
    assert (found.nodes[2].layer.groups, found.nodes[3].layer.slope) == (4, 0.5)  # type: ignore[attr-defined]


def test_branches_begin_with_the_channels_of_their_start() -> None:
    merge = f"concat: {{a: [{CONV % '$(in * 2)'}, {CONV % '$(in - 1)'}], b: [from: one, {CONV % '$in'}], c: []}}"
    found = graph(f"{CONV % '3'}, conv: {{name: one, channels: 5, kernel: 1}}, {CONV % '4'}, {merge}, {CONV % '$in'}")
    assert channels(found) == [3, 5, 4, 8, 7, 5, 7 + 5 + 4]


def test_a_merge_sees_what_arrives_at_it() -> None:
    assert codes(f"concat: {{a: [{CONV % '1'}], b: [], expect: [$(in + 1), 8, 8]}}") == []


def test_each_round_sees_its_own() -> None:
    assert channels(graph(f"repeat: {{times: 3, layers: [{CONV % '$(in * 2)'}]}}")) == [12, 24, 48]
    assert channels(graph(f"repeat: {{times: $in, layers: [{CONV % '$(in + 1)'}]}}")) == [7, 8, 9, 10, 11, 12]
    each = f"repeat: {{each: {{c: [$in, $(in // 2)]}}, layers: [{CONV % '$c'}, {CONV % '1'}]}}"
    assert channels(graph(each)) == [6, 1, 3, 1]


def test_an_argument_is_evaluated_where_the_block_is_used() -> None:
    blocks = f"blocks: {{unit: {{params: {{hidden: int}}, layers: [{CONV % '5'}, {CONV % '$hidden'}]}}}}"
    assert channels(graph("unit: $(in * 6), unit: {hidden: $in}", blocks)) == [5, 36, 5, 36]


def test_a_default_is_evaluated_where_the_block_is_used() -> None:
    blocks = f"blocks: {{unit: {{params: {{c: int, hidden: $(in * k)}}, layers: [{CONV % '$hidden'}, {CONV % '$c'}]}}}}"
    found = graph("unit: 4, unit: 5, unit: {c: 1, hidden: 2}", f"params: {{k: 3}}\n{blocks}")
    assert channels(found) == [18, 4, 12, 5, 2, 1]


def test_a_default_sees_the_parameters_of_the_spec_and_not_those_of_the_user_of_its_block() -> None:
    blocks = f"blocks: {{unit: {{params: {{hidden: $(in * k)}}, layers: [{CONV % '$hidden'}]}}}}"
    assert channels(graph("repeat: {each: {k: [5]}, layers: [unit]}", f"params: {{k: 2}}\n{blocks}")) == [12]
    assert codes("repeat: {each: {k: [5]}, layers: [unit]}", blocks) == ["unknown-param"]


def test_blocks_in_blocks_hand_it_on() -> None:
    inner = f"inner: {{params: {{c: $(in * 2)}}, layers: [{CONV % '1'}, {CONV % '$c'}]}}"
    outer = f"outer: {{params: {{c: $in}}, layers: [{CONV % '3'}, inner, inner: $c]}}"
    assert channels(graph("outer", f"blocks: {{{inner}, {outer}}}")) == [3, 1, 6, 1, 6]


def test_an_extended_spec_may_use_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "base.yaml").write_text(f"input: [6, 2, 2]\nparams: {{k: 2}}\nlayers: [{CONV % '$(in * k)'}]\n")
    (tmp_path / "own.yaml").write_text("extends: base.yaml\nparams: {k: 4}\n")
    assert channels(cnnspec.load(tmp_path / "own.yaml").graph) == [24]


def test_it_follows_another_input_shape() -> None:
    text = f"input: [6, 8, 8]\nlayers: [{CONV % '$(in * 2)'}]\n"
    assert channels(cnnspec.loads(text, input_shape=(3, 4, 4)).graph) == [6]


def test_what_follows_a_fault_is_silent() -> None:
    rest = f"{CONV % '$(in * 2)'}, repeat: {{times: $in, layers: [{CONV % '$in'}]}}, unit: {{c: $in}}, unit"
    blocks = f"blocks: {{unit: {{params: {{c: $in}}, layers: [{CONV % '$c'}]}}}}"
    assert codes(f"conv: {{channels: 1, kernel: 99}}, {rest}", blocks) == ["kernel-too-large"]
    assert codes(f"conv: {{channels: 1, kernel: 99, expect: [4, 8, 8]}}, {CONV % '$(in - 4)'}") == [
        "kernel-too-large", "invalid-value",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v2", "shufflenet_v2_x1_0"])
def test_bundled_specs_list_no_input_channels(name: str) -> None:
    text = cnnspec.bundled.find(name).read_text(encoding="utf-8")
    assert "$in" in text
    assert "cin" not in text


class TestSizes:
    """`$in_height`, `$in_width`, `$in_length`, `$in_depth`: the spatial sizes that arrive."""

    def test_each_layer_sees_the_sizes_that_arrive(self) -> None:
        found = graph(
            "conv: {channels: 4, kernel: 3}, reshape: [$(in * in_height), $in_width], reshape: [$in, $in_length]"
        )
        assert [node.shape for node in found.nodes[1:]] == [(4, 6, 6), (24, 6), (24, 6)]

    def test_volumes_have_a_depth(self) -> None:
        found = graph("crop: [$(in_depth - 1), $in_height, 2]", shape="{channels: 2, depth: 5, height: 4, width: 3}")
        assert found.output.shape == (2, 4, 4, 2)

    def test_a_parameter_of_that_name_is_the_parameter(self) -> None:
        assert graph("crop: [$in_height, $in_width]", "params: {in_height: 3}").output.shape == (6, 3, 8)

    def test_a_default_of_a_block_sees_what_arrives_at_the_block(self) -> None:
        blocks = "blocks: {whole: {params: {k: $in_height}, layers: [conv: {channels: 2, kernel: $k}]}}"
        assert graph("conv: {channels: 3, kernel: 4}, whole", blocks).output.shape == (2, 1, 1)

    def test_a_reduction_by_a_size_follows_the_input(self) -> None:
        layers = "adaptive_avg_pool: [1, $in_width], upsample: [$(2 * in_height), 1]"
        assert graph(layers, shape="[3, 9, 7]").output.shape == (3, 2, 7)

    @pytest.mark.parametrize("layers", ["flatten, reshape: [$in_height, -1]", "conv: {channels: $in_depth, kernel: 1}"])
    def test_a_size_that_does_not_arrive_is_an_error(self, layers: str) -> None:
        report = cnnspec.check(Source("x", f"input: [6, 8, 8]\nlayers: [{layers}]\n"))
        assert "nothing that has one arrives here" in report.diagnostics[0].help
