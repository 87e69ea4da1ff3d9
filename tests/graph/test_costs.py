"""The figures that `check` prints, against sums by hand and against what the network really reads."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnnspec
from cnnspec.graph.costs import peak_activation_bytes, summarize

BRANCHY = """\
input: [4, 8, 8]
layers:
  - conv: {name: a, channels: 8, kernel: 3, padding: same}      # 4·64 -> 8·64
  - add:
      main:
        - conv: {name: b, channels: 16, kernel: 1}              # 16·64
        - conv: {name: c, channels: 8, kernel: 1}               # 8·64
      skip: []
  - flatten
  - dense: 10
"""


def rows(text: str) -> dict[str, Any]:
    return {row.name: row for row in summarize(cnnspec.loads(text).graph).rows}


class TestParametersAndMacs:
    def test_lenet(self) -> None:
        totals = summarize(cnnspec.load("lenet").graph).totals
        convs = (5 * 5 * 1 + 1) * 6 + (5 * 5 * 6 + 1) * 16
        denses = (256 + 1) * 120 + (120 + 1) * 84 + (84 + 1) * 10
        assert totals.parameters == convs + denses == 44426
        assert totals.macs == 24 * 24 * 6 * 25 + 8 * 8 * 16 * 25 * 6 + 256 * 120 + 120 * 84 + 84 * 10
        assert totals.flops == 2 * totals.macs
        assert totals.parameter_bytes == 4 * 44426

    @pytest.mark.parametrize(
        ("layer", "parameters", "macs"),
        [
            ("conv: {channels: 8, kernel: 3}", 8 * 4 * 9 + 8, 8 * 14 * 14 * 4 * 9),
            ("conv: {channels: 8, kernel: [3, 1], stride: 2}", 8 * 4 * 3 + 8, 8 * 7 * 8 * 4 * 3),
            ("conv: {channels: 8, kernel: 3, groups: 4, bias: false}", 8 * 9, 8 * 14 * 14 * 9),
            ("conv: {channels: 8, kernel: 3, dilation: 2}", 8 * 4 * 9 + 8, 8 * 12 * 12 * 4 * 9),
            ("conv_transpose: {channels: 8, kernel: 2, stride: 2}", 4 * 8 * 4 + 8, 4 * 16 * 16 * 8 * 4),
            ("batch_norm", 2 * 4, 0),
            ("prelu", 4, 0),
            ("scale", 4, 0),
            ("max_pool: 2", 0, 0),
        ],
    )
    def test_layers(self, layer: str, parameters: int, macs: int) -> None:
        summary = summarize(cnnspec.loads(f"input: [4, 16, 16]\nlayers: [{layer}]\n").graph)
        assert (summary.totals.parameters, summary.totals.macs) == (parameters, macs)

    def test_running_statistics_are_saved_but_not_learned(self) -> None:
        summary = summarize(cnnspec.loads("input: [4, 2, 2]\nlayers: [batch_norm]\n").graph)
        assert (summary.totals.parameters, summary.state) == (8, 8)
        assert summary.totals.parameter_bytes == 4 * 16

    def test_shares_are_of_the_whole_and_sorted(self) -> None:
        summary = summarize(cnnspec.load("lenet").graph)
        assert [share[0] for share in summary.by_kind] == ["dense", "conv"]
        assert sum(share[1] for share in summary.by_kind) == summary.totals.parameters
        assert sum(share[2] for share in summary.by_kind) == summary.totals.macs
        assert summary.by_kind[0][1] / summary.totals.parameters == pytest.approx(0.942, abs=5e-4)


class TestMemory:
    def test_a_chain_holds_two_neighbours(self) -> None:
        layers = "conv: {channels: 8, kernel: 3}, tanh, dropout: 0.5, flatten, dense: 2"
        text = f"input: [1, 4, 4]\nlayers: [{layers}]\n"
        # 16 and 8·4 numbers; 8·4 twice; dropout and flatten make none; 8·4 and 2
        assert peak_activation_bytes(cnnspec.loads(text).graph) == 4 * max(16 + 32, 32 + 32, 32 + 2)

    def test_a_branch_keeps_its_source_alive(self) -> None:
        a, b, c, add = 8 * 64, 16 * 64, 8 * 64, 8 * 64
        steps = [4 * 64, 4 * 64 + a, a + b, a + b + c, a + c + add, add + 10]
        assert peak_activation_bytes(cnnspec.loads(BRANCHY).graph) == 4 * max(steps) == 4 * (a + b + c)

    def test_a_view_keeps_what_it_shows_alive(self) -> None:
        text = """\
input: [2, 4, 4]
layers:
  - flatten: {name: flat}
  - dense: {name: small, units: 4}
  - dense: {name: large, units: 40}
  - concat: {one: [], two: [from: flat]}
"""
        # The concat reads 40 and, through the view, the 32 of the input.
        assert peak_activation_bytes(cnnspec.loads(text).graph) == 4 * (32 + 40 + 72)

    def test_an_output_that_nothing_reads_is_freed(self) -> None:
        text = "input: [10]\nlayers: [dense: 1000, add: {x: [from: input], y: [from: input]}]\n"
        assert peak_activation_bytes(cnnspec.loads(text).graph) == 4 * max(10 + 1000, 10 + 10)

    @pytest.mark.parametrize("width", [2, 4, 8])
    def test_batch_and_itemsize_scale(self, width: int) -> None:
        graph = cnnspec.loads(BRANCHY).graph
        one, many = summarize(graph, 1, width), summarize(graph, 7, width)
        assert many.totals.peak_activation_bytes == 7 * one.totals.peak_activation_bytes
        assert one.totals.parameter_bytes == width * one.totals.parameters
        assert [row.activation_bytes for row in many.rows] == [7 * row.activation_bytes for row in one.rows]
        assert (many.totals.parameters, many.totals.macs) == (one.totals.parameters, one.totals.macs)


class TestReceptiveField:
    def test_two_small_windows_are_one_larger(self) -> None:
        """Textbook 1.1.3: two stacked 2×2 convolutions see 3×3."""
        found = rows("input: [1, 8, 8]\nlayers: [conv: {channels: 1, kernel: 2}, conv: {channels: 1, kernel: 2}]\n")
        assert found["conv2"].receptive_field == (3, 3)

    @pytest.mark.parametrize(
        ("layers", "field", "step"),
        [
            ("[conv: {channels: 1, kernel: 3, dilation: 2}]", (5, 5), (1, 1)),
            ("[conv: {channels: 1, kernel: [3, 1], stride: [2, 1]}]", (3, 1), (2, 1)),
            ("[max_pool: 2, conv: {channels: 1, kernel: 3}]", (6, 6), (2, 2)),
            ("[max_pool: {kernel: 3, stride: 2}, conv: {channels: 1, kernel: 3, dilation: 2}]", (11, 11), (2, 2)),
            ("[upsample: 2]", (1, 1), (Fraction(1, 2), Fraction(1, 2))),
            ("[max_pool: 2, upsample: 2]", (2, 2), (1, 1)),
            ("[max_pool: 2, upsample: 2, conv: {channels: 1, kernel: 2}]", (4, 4), (1, 1)),
            ("[max_pool: 2, upsample: 2, conv: {channels: 1, kernel: 3}]", (4, 4), (1, 1)),
            ("[max_pool: 4, upsample: 4, max_pool: 2, conv: {channels: 1, kernel: 2}]", (8, 8), (2, 2)),
            ("[max_pool: 2, upsample: 2, max_pool: 2, conv: {channels: 1, kernel: 2}]", (6, 6), (2, 2)),
            ("[upsample: {scale: 2, mode: bilinear}]", (2, 2), (Fraction(1, 2), Fraction(1, 2))),
            ("[resize: {scale: 2, mode: bilinear}]", (2, 2), (Fraction(1, 2), Fraction(1, 2))),
            ("[resize: {scale: 0.25, mode: bicubic}]", (4, 4), (4, 4)),
            ("[resize: {scale: 1.5}]", (1, 1), (Fraction(2, 3), Fraction(2, 3))),
            ("[resize: {scale: 0.5}, conv: {channels: 1, kernel: 3}]", (5, 5), (2, 2)),
            ("[max_pool: 2, attention: 1, conv: {channels: 1, kernel: 3}]", (16, 16), (0, 0)),
            ("[conv_transpose: {channels: 1, kernel: 2, stride: 2}]", (1, 1), (Fraction(1, 2), Fraction(1, 2))),
            ("[conv_transpose: {channels: 1, kernel: 4, stride: 2}]", (2, 2), (Fraction(1, 2), Fraction(1, 2))),
            ("[pad: 2, batch_norm, relu]", (1, 1), (1, 1)),
        ],
    )  # fmt: skip
    def test_layers(self, layers: str, field: tuple[int, int], step: tuple[Any, Any]) -> None:
        last = list(rows(f"input: [1, 16, 16]\nlayers: {layers}\n").values())[-1]
        assert (last.receptive_field, last.step) == (field, step)

    @pytest.mark.parametrize("layer", ["flatten", "global_avg_pool", "global_max_pool"])
    def test_whoever_reads_everything_sees_everything(self, layer: str) -> None:
        found = rows(f"input: [1, 12, 10]\nlayers: [conv: {{channels: 2, kernel: 3}}, {layer}, dense: 3]\n")
        assert found["dense1"].receptive_field == (12, 10)

    def test_nobody_sees_more_than_everything(self) -> None:
        found = rows(
            "input: [1, 9, 9]\nlayers: [conv: {channels: 1, kernel: 5, padding: same}, adaptive_avg_pool: 1]\n"
        )
        assert found["adaptive_avg_pool1"].receptive_field == (9, 9)

    def test_flatten_itself_rearranges(self) -> None:
        found = rows("input: [1, 12, 10]\nlayers: [conv: {channels: 2, kernel: 3}, flatten]\n")
        assert found["flatten1"].receptive_field == (3, 3)

    def test_through_branches_the_largest(self) -> None:
        branches = "{main: [conv: {channels: 1, kernel: 5, padding: same}], skip: []}"
        text = f"input: [1, 16, 16]\nlayers: [add: {branches}]\n"
        assert rows(text)["add1"].receptive_field == (5, 5)

    def test_a_gate_over_everything_spaces_nothing_apart(self) -> None:
        text = """\
input: [2, 16, 16]
layers:
  - multiply: {main: [], gate: [adaptive_avg_pool: 1, conv: {channels: 2, kernel: 1}]}
  - conv: {channels: 1, kernel: 3, stride: 2}
"""
        found = rows(text)
        assert (found["multiply1"].receptive_field, found["multiply1"].step) == ((16, 16), (1, 1))
        assert found["conv2"].step == (2, 2)

    def test_skip_beside_the_way_down_and_up(self) -> None:
        text = """\
input: [1, 32, 32]
layers:
  - concat: {deep: [max_pool: 4, conv: {channels: 1, kernel: 3, padding: same}, upsample: 4], skip: []}
  - conv: {channels: 1, kernel: 3}
"""
        found = rows(text)
        assert (found["concat1"].receptive_field, found["concat1"].step) == ((12, 12), (1, 1))
        assert found["conv2"].receptive_field == (16, 16)

    def test_a_vector_has_none(self) -> None:
        assert rows("input: [3]\nlayers: [dense: 2]\n")["dense1"].receptive_field is None


@st.composite
def chains(draw: st.DrawFn) -> str:
    """Layers with windows, one after the other, which all fit an image of 40×40."""
    layers = []
    size = 40
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
        kind = draw(st.sampled_from(["conv", "avg_pool", "max_pool", "upsample", "conv_transpose"]))
        if kind in ("upsample", "conv_transpose") and size > 60:
            kind = "conv"
        match kind:
            case "conv":
                layers.append(f"conv: {{channels: 2, kernel: {kernel}, stride: {stride}, dilation: {dilation}}}")
                size = (size - (kernel - 1) * dilation - 1) // stride + 1
            case "upsample":
                layers.append("upsample: 2")
                size *= 2
            case "conv_transpose":
                layers.append(f"conv_transpose: {{channels: 2, kernel: {kernel}, stride: {stride}}}")
                size = (size - 1) * stride + kernel
            case _:
                layers.append(f"{kind}: {{kernel: {kernel}, stride: {stride}}}")
                size = (size - kernel) // stride + 1
    return "input: [1, 40, 40]\nlayers:\n" + "".join(f"  - {layer}\n" for layer in layers)


@settings(max_examples=40, deadline=None)
@given(chains())
def test_receptive_field_is_what_an_element_really_reads(text: str) -> None:
    """With positive weights an output in the middle reacts to exactly the pixels that it sees.

    Behind upsampling neighbours may see windows of different size; the largest counts.
    """
    graph = cnnspec.loads(text).graph
    row = summarize(graph).rows[-1]
    assert row.receptive_field is not None
    model = cnnspec.build(graph, dtype="float64", numerics="strict")
    model.load({name: np.abs(value) + 0.1 for name, value in model.state().items()})
    _, oh, ow = graph.output.shape
    # One pixel at a time is made larger than all others; max pooling lets it through.
    seen = {"h": 0, "w": 0}
    for axis in ("h", "w"):
        x = np.zeros((40, 1, 40, 40))
        for i in range(40):
            x[(i, 0, i, slice(None)) if axis == "h" else (i, 0, slice(None), i)] = 1.0
        change = np.abs(model.predict(x) - model.predict(np.zeros((1, 1, 40, 40)))) > 1e-12  # [40, c, oh, ow]
        reacts = change.any(axis=(1, 3)) if axis == "h" else change.any(axis=(1, 2))  # [40, oh or ow]
        for element in reacts.T:
            pixels = np.flatnonzero(element)
            if len(pixels):
                seen[axis] = max(seen[axis], int(pixels[-1] - pixels[0] + 1))
    assert seen["h"] <= row.receptive_field[0]
    assert seen["w"] <= row.receptive_field[1]
    if min(oh, ow) >= 4 and "upsample" not in text and "transpose" not in text:
        assert (seen["h"], seen["w"]) == row.receptive_field
