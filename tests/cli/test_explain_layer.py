"""`cnnspec explain SPEC LAYER`: the numbers of one layer, step by step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cnnspec

import cnnspec as package
from cnnspec import bundled
from cnnspec.layers import LAYERS
from cnnspec.view.explanation import explain_layer, explanation_lines


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def written(text: str) -> str:
        (tmp_path / "net.yaml").write_text(text, "utf-8")
        return "net.yaml"

    return written


def section(text: str, topic: str) -> list[str]:
    """The lines of a topic, with single spaces."""
    blocks = text.split("\n\n")
    block = next(block for block in blocks if block.startswith(topic))
    return [" ".join(line.split()) for line in block.splitlines()]


def test_conv2_of_lenet(cnnspec: Cnnspec) -> None:
    """Textbook 2: 16 kernels of 6×5×5, from 12×12 to 8×8."""
    result = cnnspec("explain", "lenet", "conv2")
    assert result.exit_code == 0
    text = result.stdout
    assert text.splitlines()[0] == "conv2 of lenet: conv 5×5, 6×12×12 → 16×8×8"
    assert "written at lenet:12:5" in text
    assert "read by `sigmoid2`" in text
    output = section(text, "output")
    assert output[0] == "output 16×8×8"
    assert "reads max_pool1, 6×12×12" in output
    assert "height ⌊(12 − 5 + 0 + 1) / 1⌋ = 8" in output
    assert "padding p none (`valid`)" in output
    assert section(text, "parameters") == [
        "parameters 2,416, 5.4 % of the network's 44,426",
        "weight c_out × c_in/groups × k_h × k_w = 16 × 6 × 5 × 5 = 2,400",
        "bias c_out = 16",
    ]
    assert section(text, "MACs")[0] == "MACs 153,600, 54.5 % of the network's 281,640"
    assert section(text, "MACs")[-1] == "for one sample 16·8·8 × 6·5·5 = 153,600"
    memory = section(text, "memory")
    assert memory[:2] == ["memory 4.1 kB for one sample", "output 16·8·8 numbers × 4 bytes (float32) = 4,096 B"]
    assert memory[2].startswith("while it runs 7.6 kB:")  # 4 · (6·12·12 + 16·8·8) = 7,552
    assert section(text, "receptive field")[-1] == "conv2 r = 6 + (5 − 1) · 2 = 14, j = 2 · 1 = 2"


def test_padding_dilation_and_groups(cnnspec: Cnnspec, write: Callable[[str], str]) -> None:
    conv = "conv: {channels: 8, kernel: 4, dilation: 2, padding: same, groups: 2, norm: batch_norm}"
    text = cnnspec("explain", write(f"input: [4, 9, 9]\nlayers: [{conv}]\n"), "conv1").stdout
    output = section(text, "output")
    assert "kernel k (4 − 1) · 2 + 1 = 7: 4 taps, 2 apart" in output
    assert "padding p `same`: p = k − 1 = 6 in all, ⌈p/2⌉ = 3 before and ⌊p/2⌋ = 3 after" in output
    assert "height ⌊(9 − 7 + 6 + 1) / 1⌋ = 9" in output
    assert "pads 3 top, 3 bottom, 3 left, 3 right" in output
    assert section(text, "parameters")[1:] == [
        "weight c_out × c_in/groups × k_h × k_w = 8 × 2 × 4 × 4 = 256",
        "bias none: `bias: false`, which a `norm` of the layer implies",
    ]


@pytest.mark.parametrize(
    ("padding", "said"),
    [
        ("5", "p = 5 in all, ⌈p/2⌉ = 3 before and ⌊p/2⌋ = 2 after"),
        ("{each_side: 1}", "1 on each side: p = 2 in all"),
        ("{top: 1, bottom: 2, left: 1, right: 2}", "p = 1 + 2 = 3 in all"),
        ("same_upper", "`same_upper`: p = 5 in all, the least for ⌈n / s⌉ positions, an odd one after"),
    ],
)
def test_where_pads_come_from(cnnspec: Cnnspec, write: Callable[[str], str], padding: str, said: str) -> None:
    spec = write(f"input: [1, 12, 12]\nlayers: [conv: {{channels: 1, kernel: 6, padding: {padding}}}]\n")
    assert f"padding p {said}" in section(cnnspec("explain", spec, "conv1").stdout, "output")


def test_batch_format_and_input(cnnspec: Cnnspec) -> None:
    text = cnnspec("explain", "lenet", "conv1", "--batch", 8, "--dtype", "float16", "--input", "1x32x32").stdout
    assert "6·28·28 numbers × 8 samples × 2 bytes (float16) = 75,264 B" in text


def test_names_in_blocks_and_parameters(cnnspec: Cnnspec) -> None:
    text = cnnspec("explain", "resnet", "stage2.unit0.conv2", "--set", "width=2").stdout
    assert text.startswith("stage2.unit0.conv2 of resnet: conv 3×3 /2, 256×56×56 → 256×28×28\n")
    assert "256 × 256 × 3 × 3 = 589,824" in text


def test_shared_and_frozen_weights(cnnspec: Cnnspec, write: Callable[[str], str]) -> None:
    text = "input: [4]\nlayers: [dense: {units: 4, name: a}, dense: {units: 4, share: a, name: b}, dense: 2]\n"
    spec = write(text + "train: {freeze: [a, b]}\n")
    assert section(cnnspec("explain", spec, "b").stdout, "parameters")[0] == (
        "parameters those of `a`, where they are counted"
    )
    assert section(cnnspec("explain", spec, "a").stdout, "parameters")[0] == (
        "parameters 20, 66.7 % of the network's 30; frozen in training (`freeze`)"
    )


def test_json(cnnspec: Cnnspec) -> None:
    found = json.loads(cnnspec("explain", "lenet", "conv2", "--format", "json").stdout)
    assert (found["layer"], found["kind"], found["output"]) == ("conv2", "conv", [16, 8, 8])
    assert found["reads"] == [{"name": "max_pool1", "shape": [6, 12, 12]}]
    assert (found["trainable"], found["macs"], found["receptive_field"]) == (2416, 153600, [14, 14])
    assert found["parameters"] == {"weight": [16, 6, 5, 5], "bias": [16]}
    assert [each["topic"] for each in found["sections"]] == [
        "output",
        "parameters",
        "MACs",
        "memory",
        "receptive field",
    ]


def test_every_layer_explains_itself() -> None:
    """Each kind that a bundled spec has: a formula with the size of every axis that changes."""
    seen = set()
    for name in bundled.names():
        spec = package.check(name, fixes=False).spec
        for node in spec.graph.nodes if spec else ():
            if node.kind not in seen and spec is not None:
                seen.add(node.kind)
                found = explain_layer(spec, node.name)
                lines = explanation_lines(name, found, lambda text, role: text)
                assert lines[0].startswith(f"{node.name} of {name}: ")
                output = found.sections[0]
                said = " ".join(step.formula for step in output.steps if step.quantity != "reads")
                for before, after in zip(node.in_shapes[0] if node.inputs else (), node.shape, strict=False):
                    assert before == after or str(after) in said, (node.name, after, said)
    assert len(seen) > len(LAYERS) // 3


class TestBadInput:
    def test_a_spec_alone(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("explain", "lenet")
        assert result.exit_code == 2
        assert "`lenet` is a spec: name one of its layers, too, as in `cnnspec explain lenet conv1`" in result.stderr

    def test_an_unknown_layer(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("explain", "lenet", "convv2")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: `lenet` has no layer `convv2`: did you mean `conv2`")

    def test_a_block(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("explain", "resnet18", "stage1.unit0")
        assert result.exit_code == 1
        assert "`stage1.unit0` is a block of `resnet18`: name one of its layers, stage1.unit0.conv1" in result.stderr

    def test_a_spec_with_errors(self, cnnspec: Cnnspec, write: Callable[[str], str]) -> None:
        result = cnnspec("explain", write("input: [1, 4, 4]\nlayers: [conv: {channels: 1, kernel: 9}]\n"), "conv1")
        assert result.exit_code == 1
        assert "error[kernel-too-large]" in result.stdout

    def test_options_of_a_layer_beside_a_code(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("explain", "kernel-too-large", "--batch", 3)
        assert result.exit_code == 2
        assert "--batch belongs to the explanation of a layer" in result.stderr
