"""Every bundled spec gives the same outputs by plan, in float64, float32 and fast numerics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from plan_comparison import EXACT, batch, prepare, worst
from test_plan_outputs import SIZES

import cnnspec
from cnnspec import bundled
from cnnspec.arrays import Arrays
from cnnspec.graph.costs import peak_activation_bytes
from cnnspec.graph.graph import Graph

SHALLOW = {"depths": [1, 1, 2, 1]}
REST: dict[str, tuple[int | None, dict[str, Any]]] = {
    "alexnet": (64, {"hidden": 32}),
    "attention_unet": (32, {}),
    **dict.fromkeys(("dcgan_generator", "dcgan_discriminator"), (None, {})),
    "darknet53": (32, {"depths": [1, 1, 2, 2, 1]}),
    "efficientnet_v2_s": (64, {"depths": [1, 2, 2, 2, 2]}),
    "inception_v3": (80, {}),
    **dict.fromkeys(("mobilenet_v3_small", "mnasnet1_0", "regnet_y_400mf"), (64, {})),
    "seresnet50": (32, SHALLOW),
    "siamese": (None, {"features": 32}),
    "googlenet_2014": (80, {}),
    **dict.fromkeys(("resnet", "resnet34", "resnet50", "resnet101", "resnet152"), (32, SHALLOW)),
    **dict.fromkeys(("resnext50_32x4d", "wide_resnet50_2"), (32, SHALLOW)),
    "squeezenet1_0": (64, {}),
    "unet_padded": (32, {}),
    "vit_tiny": (64, {"depth": 3}),
    **dict.fromkeys(("vgg", "vgg11", "vgg13", "vgg16", "vgg19"), (32, {"hidden": 32})),
    **{name: (None, {}) for name in bundled.names() if name.startswith("textbook/")},
    "textbook/photo_mlp": (12, {}),
}
"""The bundled specs that `test_plan_outputs` leaves out: the input size, and parameters that keep the test short."""
LARGE = {"unet": "unet_padded"}
"""Specs that take large images alone, and one with the same layers that is compared in their place."""
LAYERED = {"m5", "r3d_18", "ssdlite320_mobilenet_v3_large", "yolov8n"}
"""Specs with a sequence or a volume in them, which have no plan."""

FLOAT32 = {"default": 1e-5, "fast": 1e-4}
"""Relative to the largest output; at most 1e-6 and 6.2e-6 were measured in these networks, 1.4e-6 layer by layer."""


def graph_of(name: str) -> Graph:
    size, params = REST[name]
    graph = cnnspec.load(name, params=params).graph
    if size is None:
        return graph
    return cnnspec.load(name, params=params, input_shape=(graph.input.shape[0], size, size)).graph


def weights_of(graph: Graph) -> Arrays:
    """Return weights that keep numbers of one size, as `plan_comparison.random_weights` does, and in less time."""
    period = np.random.default_rng(0).normal(0, 1, 100_003)
    found = {}
    for name, p in graph.parameters.items():
        numbers = np.resize(period, math.prod(p.shape)).reshape(p.shape)
        found[name] = numbers * (1.5 / max(1, p.fan_in)) ** 0.5 if p.trainable else 1 + np.abs(numbers) / 4
    return found


def test_every_bundled_spec_is_compared() -> None:
    assert sorted(bundled.names()) == sorted({*SIZES, *REST, *LARGE, *LAYERED})
    assert {*LARGE.values()} <= {*REST}


@pytest.mark.parametrize("name", REST)
def test_outputs(name: str) -> None:
    graph = graph_of(name)
    weights, inputs = weights_of(graph), batch(graph, 1)
    exact = prepare(graph, "strict", weights=weights).run(inputs)
    assert worst(prepare(graph, weights=weights).run(inputs), exact) <= EXACT
    for numerics, tolerance in FLOAT32.items():
        found = prepare(graph, numerics, "float32", weights=weights).run(inputs)
        assert worst(found, exact) <= tolerance, numerics


FEW_BYTES = 1024
"""Of cache lines that small values do not fill, and of borders around small images."""


@pytest.mark.parametrize("name", [name for name in REST if name != "unet_padded"])
def test_values_take_what_check_predicts(name: str) -> None:
    """Beside the networks of `test_plan_memory`, where unet_padded has an image that its borders are small against."""
    graph = graph_of(name)
    executor = prepare(graph, dtype="float32", weights=weights_of(graph))._planned()
    for n in (1, 3):
        limit = 1.15 * peak_activation_bytes(graph, n, 4) + n * FEW_BYTES
        assert executor.new_plan(n).value_bytes <= limit
