"""Texts with blocks and repeats: the same graph in fewer lines."""

from collections import Counter

import pytest

import cnnspec
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.spec import Spec
from cnnspec.interop.structure.text import compact

LINES = {
    "vgg16": 30,
    "resnet18": 40,
    "resnet50": 55,
    "resnet101": 55,
    "mobilenet_v2": 50,
    "mobilenet_v3_small": 75,
    "efficientnet_b0": 75,
    "shufflenet_v2_x1_0": 55,
    "squeezenet1_1": 25,
    "densenet121": 65,
    "googlenet": 45,
    "inception_v3": 140,
    "convnext_tiny": 40,
    "darknet53": 40,
    "vit_tiny": 30,
    "r3d_18": 40,
}
"""The most lines that a network may take; flat, each has three to ten times as many, but for VGG."""


def nameless(name: str) -> Spec:
    """A bundled network as an import makes it: layers by kind and ordinal, branches by letter."""
    spec = cnnspec.load(name)
    builder, names, ordinals = GraphBuilder(name), {}, Counter()
    for node in spec.graph.nodes:
        if not node.inputs:
            names[node.name] = builder.input(node.shape, node.name).name
            continue
        ordinals[node.kind] += 1
        names[node.name] = f"{node.kind}{ordinals[node.kind]}"
        branches = tuple("abcdefgh"[: len(node.branches)])
        builder.add(names[node.name], node.layer, [names[x] for x in node.inputs], branches=branches)
    return Spec(name, builder.graph([names[output] for output in spec.graph.outputs]), spec.inputs)


def content(spec: Spec) -> list[object]:
    return [(n.name, n.layer, n.inputs, n.shape, dict(n.arrays)) for n in spec.graph.nodes]


@pytest.mark.parametrize("name", LINES)
def test_a_network_becomes_blocks_and_repeats(name):
    spec = nameless(name)
    text = compact(spec)
    assert content(cnnspec.loads(text)) == content(spec)
    assert len(text.splitlines()) <= LINES[name]


@pytest.mark.parametrize("name", ["unet", "googlenet_2014", "yolov8n", "siamese", "lenet", "mlp", "attention_unet"])
def test_skips_outputs_and_shared_weights_stay(name):
    spec = cnnspec.load(name)
    text = compact(spec)
    assert content(cnnspec.loads(text)) == content(spec)
    assert cnnspec.loads(text).graph.outputs == spec.graph.outputs
    assert len(text.splitlines()) <= len(cnnspec.render(spec, defaults=False).splitlines())


def test_numbers_that_differ_are_parameters_and_those_that_follow_are_expressions():
    layers = [
        f"- add: {{main: [conv: {{channels: {c // 2}, kernel: {k}, padding: same}}, relu, "
        f"conv: {{channels: {c}, kernel: 1}}, tanh], skip: []}}"
        for c, k in ((16, 3), (16, 5), (16, 7))
    ]
    spec = cnnspec.loads("input: [16, 8, 8]\nlayers:\n" + "\n".join(f"  {line}" for line in layers) + "\n")
    text = compact(spec)
    assert "each: {k: [3, 5, 7]}" in text
    assert content(cnnspec.loads(text)) == content(spec)


def test_the_text_is_the_same_each_time():
    assert compact(nameless("mobilenet_v2")) == compact(nameless("mobilenet_v2"))
