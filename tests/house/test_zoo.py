"""The bundled networks: their totals against the literature, and both backends against each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import cnnspec
from cnnspec import bundled, rng
from cnnspec.arrays import Arrays
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.graph import Graph
from cnnspec.language import load as api
from cnnspec.runtime.build import build

Shapes = tuple[int, ...] | dict[str, tuple[int, ...]]
"""The shape of the one input or output of a network, or those of several by name."""

# Parameters, multiply-accumulates of convolutions and dense layers, output. Where torchvision has the network, both
# figures are those of its model; the others are summed by hand from the tables of the papers, unless a line says
# otherwise.
LITERATURE: dict[str, tuple[int, int, Shapes]] = {
    "alexnet": (61_100_840, 714_188_480, (1000,)),
    "vgg": (138_357_544, 15_470_264_320, (1000,)),
    "vgg11": (132_863_336, 7_609_090_048, (1000,)),
    "vgg13": (133_047_848, 11_308_466_176, (1000,)),
    "vgg16": (138_357_544, 15_470_264_320, (1000,)),
    "vgg19": (143_667_240, 19_632_062_464, (1000,)),
    "nin": (966_986, 222_486_528, (10,)),
    "googlenet": (6_624_904, 1_498_376_192, (1000,)),
    # Table 1 sums to 6,998,552 parameters. A head behind c channels, as section 5 lists its layers, has 128·(c + 1) in
    # its convolution, 2049·1024 and 1025·1000 in its dense layers: 3,188,840 behind 4a (c = 512), 3,190,888 behind 4d
    # (c = 528). The Caffe model of this network, with both, is a file of 53.5 MB: 4 bytes for each.
    "googlenet_2014": (13_378_280, 1_591_044_096, {"main": (1000,), "aux1": (1000,), "aux2": (1000,)}),
    "resnet": (25_557_032, 4_089_184_256, (1000,)),
    "resnet18": (11_689_512, 1_814_073_344, (1000,)),
    "resnet34": (21_797_672, 3_663_761_408, (1000,)),
    "resnet50": (25_557_032, 4_089_184_256, (1000,)),
    "resnet101": (44_549_160, 7_801_405_440, (1000,)),
    "resnet152": (60_192_808, 11_513_626_624, (1000,)),
    "resnext50_32x4d": (25_028_904, 4_230_479_872, (1000,)),
    "wide_resnet50_2": (68_883_240, 11_398_021_120, (1000,)),
    "squeezenet1_0": (1_248_424, 818_924_576, (1000,)),
    "squeezenet1_1": (1_235_496, 349_151_936, (1000,)),
    "densenet121": (7_978_856, 2_834_161_664, (1000,)),
    "mobilenet_v2": (3_504_872, 300_774_272, (1000,)),
    "shufflenet_v2_x1_0": (2_278_604, 144_907_992, (1000,)),
    "efficientnet_b0": (5_288_548, 385_814_752, (1000,)),
    "convnext_tiny": (28_589_128, 4_455_531_264, (1000,)),
    "unet": (31_030_658, 150_428_424_448, (2, 388, 388)),
    "unet_padded": (31_030_658, 192_384_335_872, (2, 512, 512)),
    "mobilenet_v3_small": (2_542_856, 56_510_400, (1000,)),
    "mnasnet1_0": (4_383_312, 314_415_872, (1000,)),
    "regnet_y_400mf": (4_344_144, 401_842_848, (1000,)),
    "seresnet50": (28_088_024, 4_091_699_200, (1000,)),
    "efficientnet_v2_s": (21_458_488, 8_365_617_152, (1000,)),
    "inception_v3": (23_834_568, 5_713_216_096, (1000,)),
    "attention_unet": (34_878_573, 66_424_930_304, (1, 256, 256)),
    "m5": (558_090, 278_533_120, (10,)),
    "r3d_18": (33_371_472, 40_696_553_472, (400,)),
    "resnet20": (272_474, 40_813_184, (10,)),
    # PyTorch's DCGAN example: 16·(100·512 + 512·256 + 256·128 + 128·64 + 64·3) weights of kernels, 2·(512 + 256 + 128 +
    # 64) of norms; the discriminator has 16·(3·64 + 64·128 + 128·256 + 256·512 + 512) and 2·(128 + 256 + 512).
    "dcgan_generator": (3_576_704, 104_628_224, (3, 64, 64)),
    "dcgan_discriminator": (2_765_568, 103_817_216, (1,)),
    # Figure 4 of the paper: (10²·1 + 1)·64 + (7²·64 + 1)·128 + (4²·128 + 1)·128 + (4²·128 + 1)·256 parameters in the
    # convolutions, 9217·4096 + 4097 in the dense layers; the MACs are those of both towers.
    "siamese": (38_951_745, 1_817_251_840, (1,)),
    # KerasHub's model has this number of parameters; Darknet's page lists 18.57 billion operations, two for a MAC.
    "darknet53": (41_609_928, 9_285_115_904, (1000,)),
    # timm's vit_tiny_patch16_224 has 5,717,416 parameters, of which 2·192 are the class token and its position. MACs of
    # 196 positions: each block has (4 + 8)·192² for each of them, and 2·192·196² in its attention.
    "vit_tiny": (5_717_032, 1_246_563_840, (1000,)),
    # torchvision documents this number of parameters and 0.58 billion MACs; six boxes at each of 20², 10², 5², 3², 2²
    # and 1 positions.
    "ssdlite320_mobilenet_v3_large": (3_440_060, 583_171_904, {"boxes": (3234, 4), "classes": (3234, 91)}),
    # Ultralytics counts 3,157,200 parameters, of which 16 are the fixed distances of its boxes, and 8.7 billion
    # operations, two for each MAC; 80², 40² and 20² positions.
    "yolov8n": (3_157_184, 4_371_456_000, {"boxes": (8400, 64), "classes": (8400, 80)}),
    "allconv28": (38_570, 5_795_904, (10,)),
    "separable28": (10_474, 842_656, (10,)),
}

# What makes a forward run small: the input, and parameters of the spec. VGG and AlexNet keep their convolutions; most
# of their weights are dense ones that would tell nothing more.
SMALL: dict[str, tuple[tuple[int, ...] | None, dict[str, Any]]] = {
    **dict.fromkeys(("vgg11", "vgg13", "vgg16", "vgg19"), ((3, 32, 32), {"hidden": 64})),
    **dict.fromkeys(("nin", "resnet20", "resnet101", "resnet152"), ((3, 32, 32), {})),
    **dict.fromkeys(("allconv28", "separable28"), ((1, 28, 28), {})),
    "alexnet": ((3, 64, 64), {"hidden": 64}),
    "dcgan_generator": (None, {}),
    "siamese": (None, {"features": 64}),
    "googlenet_2014": ((3, 80, 80), {}),
    "unet": ((1, 188, 188), {}),
    "unet_padded": ((1, 32, 32), {}),
    "attention_unet": ((3, 32, 32), {}),
    "inception_v3": ((3, 107, 107), {}),
    "m5": ((1, 1600), {}),
    "r3d_18": ((3, 8, 32, 32), {}),
}


def random_weights(graph: Graph, seed: int = 0) -> Arrays:
    """Weights that keep numbers of one size from layer to layer, and let no shift, scale or statistic stand at rest."""
    arrays = {}
    for name, parameter in graph.parameters.items():
        array = rng.stream(seed, "zoo", name).random(parameter.shape, np.float32)
        array -= 0.5
        if parameter.fill is not None or name.endswith(".bias"):
            array += 1.0 if name.endswith((".weight", ".running_var")) else 0.0
        else:
            array *= 2 * math.sqrt(6 / max(1, parameter.fan_in))  # variance 2 / fan_in, as He et al. 2015 draw them
        arrays[name] = array
    return arrays


def test_every_network_is_in_the_table() -> None:
    textbook = {"lenet", "lenet5", "mlp"}
    assert {name for name in bundled.names() if "/" not in name} - textbook == set(LITERATURE)


@pytest.mark.parametrize("name", LITERATURE)
def test_totals_are_those_of_the_literature(name: str) -> None:
    report = api.check(name)
    assert report.diagnostics == ()
    assert report.spec.graph is not None
    graph = report.spec.graph
    shapes = {output: node.shape for output, node in graph.output_nodes.items()}
    found = shapes if len(shapes) > 1 else graph.output.shape
    assert (trainable(graph.nodes), macs(graph.nodes), found) == LITERATURE[name]


@pytest.mark.parametrize("name", [name for name in LITERATURE if name not in ("vgg", "resnet")])
def test_backends_agree(name: str) -> None:  # vgg and resnet are vgg16 and resnet50
    shape, params = SMALL.get(name, ((3, 64, 64), {}))
    graph = cnnspec.load(name, input_shape=shape, params=params).graph
    weights = random_weights(graph)
    samples = {
        key: rng.stream(0, "zoo", key).standard_normal((1, *graph.by_name[key].shape), np.float32)
        for key in graph.inputs
    }
    found, expected = (build(graph, backend, weights, dtype="float64").run(samples) for backend in ("numpy", "torch"))
    assert found.keys() == expected.keys() == set(graph.output_names)
    for key, a in found.items():
        scale = np.abs(a).max()
        assert np.isfinite(scale)
        assert a.size == 1 or np.std(a) > 1e-2 * scale  # an output that is alike everywhere would compare nothing
        np.testing.assert_allclose(a, expected[key], rtol=0, atol=1e-9 * scale)


def test_the_padded_unet_takes_any_multiple_of_16() -> None:
    graph = cnnspec.load("unet_padded", input_shape=(1, 48, 80)).graph
    assert graph.output.shape == (2, 48, 80)


def test_resnet20_grows_by_its_parameter() -> None:
    # He et al. 2015, table 6: 6n + 2 weighted layers, 0.46 million parameters for n = 5 (and 2,752 in the shortcuts).
    graph = cnnspec.load("resnet20", params={"n": 5}).graph
    weighted = [node for node in graph.nodes if node.kind in ("conv", "dense") and "shortcut" not in node.name]
    assert len(weighted) == 32
    assert trainable(graph.nodes) == 466_906


class BasicUnit(nn.Module):
    """He et al. 2015, figure 2, with the members in the order that PyTorch's own ResNet registers them in."""

    def __init__(self, c: int, o: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.shortcut = (
            nn.Identity()
            if (c, stride) == (o, 1)
            else nn.Sequential(nn.Conv2d(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet18() -> nn.Module:
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    sizes = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
    sizes += [(128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
    units = [BasicUnit(*size) for size in sizes]
    return nn.Sequential(*stem, *units, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def test_resnet18_is_the_published_network_layer_by_layer() -> None:
    reference = resnet18().eval()
    state = {k: v for k, v in reference.state_dict().items() if not k.endswith("num_batches_tracked")}
    graph = cnnspec.load("resnet18", input_shape=(3, 64, 64)).graph
    assert [p.shape for p in graph.parameters.values()] == [tuple(v.shape) for v in state.values()]

    weights = random_weights(graph)
    for value, array in zip(state.values(), weights.values(), strict=True):
        value.copy_(torch.from_numpy(array))
    x = rng.stream(0, "zoo", "input").standard_normal((2, 3, 64, 64), np.float32)
    with torch.no_grad():
        expected = reference(torch.from_numpy(x)).numpy()
    y = build(graph, "numpy", weights).predict(x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
