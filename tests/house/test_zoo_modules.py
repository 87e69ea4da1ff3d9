"""Bundled networks against modules of PyTorch that are written from the definitions of their authors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from test_zoo import random_weights
from torch import Tensor, nn

import cnnspec
from cnnspec import rng
from cnnspec.graph.costs import trainable
from cnnspec.runtime.build import build
from cnnspec.weights.alignment import align


def conv(c: int, o: int, k: int = 1, stride: int = 1, groups: int = 1, act: type[nn.Module] = nn.SiLU) -> nn.Sequential:
    """A convolution, its batch normalization and its activation, as both detectors have them."""
    convolution = nn.Conv2d(c, o, k, stride, k // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(o, eps=1e-3), act())


# SSDLite, with the members in the order in which torchvision registers them


class Gate(nn.Module):
    def __init__(self, c: int, squeeze: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(c, squeeze, 1), nn.Conv2d(squeeze, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * nn.functional.hardsigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class Bottleneck(nn.Module):
    def __init__(self, c: int, k: int, wide: int, o: int, squeeze: int, act: type[nn.Module], stride: int) -> None:
        super().__init__()
        expand = [conv(c, wide, act=act)] if wide != c else []
        gate = [Gate(wide, squeeze)] if squeeze else []
        self.block = nn.Sequential(
            *expand, conv(wide, wide, k, stride, wide, act), *gate, conv(wide, o, act=nn.Identity)
        )
        self.residual = c == o and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x if self.residual else self.block(x)


RE, HS = nn.ReLU, nn.Hardswish
# Howard et al. 2019, table 1: kernel, expanded and output channels, squeezed channels, activation, stride.
TABLE = [
    (3, 16, 16, 0, RE, 1), (3, 64, 24, 0, RE, 2), (3, 72, 24, 0, RE, 1), (5, 72, 40, 24, RE, 2),
    (5, 120, 40, 32, RE, 1), (5, 120, 40, 32, RE, 1), (3, 240, 80, 0, HS, 2), (3, 200, 80, 0, HS, 1),
    (3, 184, 80, 0, HS, 1), (3, 184, 80, 0, HS, 1), (3, 480, 112, 120, HS, 1), (3, 672, 112, 168, HS, 1),
    (5, 672, 80, 168, HS, 2), (5, 480, 80, 120, HS, 1), (5, 480, 80, 120, HS, 1),
]  # fmt: skip


def extra(c: int, o: int) -> nn.Sequential:
    half = o // 2
    return nn.Sequential(
        conv(c, half, act=nn.ReLU6), conv(half, half, 3, 2, half, nn.ReLU6), conv(half, o, act=nn.ReLU6)
    )


class SsdLite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [16, *(row[2] for row in TABLE)]
        units = [Bottleneck(c, *row) for c, row in zip(widths, TABLE, strict=False)]
        split, rest = units[12].block[0], units[12].block[1:]
        self.features = nn.ModuleList(
            [
                nn.Sequential(conv(3, 16, 3, 2, act=HS), *units[:12], split),
                nn.Sequential(rest, *units[13:], conv(80, 480, act=HS)),
                *(extra(c, o) for c, o in ((480, 512), (512, 256), (256, 256), (256, 128))),
            ]
        )
        maps = (672, 480, 512, 256, 256, 128)
        self.heads = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    nn.Sequential(conv(c, c, 3, 1, c, nn.ReLU6), nn.Conv2d(c, 6 * columns, 1)) for c in maps
                )
                for name, columns in (("classes", 91), ("boxes", 4))
            }
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = []
        for part in self.features:
            x = part(x)
            maps.append(x)
        return {
            "classes": rows([head(m) for head, m in zip(self.heads["classes"], maps, strict=True)], 91),
            "boxes": rows([head(m) for head, m in zip(self.heads["boxes"], maps, strict=True)], 4),
        }


def rows(maps: list[Tensor], columns: int) -> Tensor:
    """Each [n, a·k, h, w] as [n, h·w·a, k], in the order of torchvision's default boxes; all after each other."""
    found = [m.unflatten(1, (-1, columns)).permute(0, 3, 4, 1, 2).flatten(1, 3) for m in maps]
    return torch.cat(found, 1)


# YOLOv8, with the members of a block in the order in which data passes through them


class C2f(nn.Module):
    def __init__(self, c: int, o: int, n: int = 1, shortcut: bool = False) -> None:
        super().__init__()
        half = o // 2
        self.first = conv(c, o)
        self.steps = nn.ModuleList(nn.Sequential(conv(half, half, 3), conv(half, half, 3)) for _ in range(n))
        self.last = conv((2 + n) * half, o)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, 1))
        for step in self.steps:
            parts.append(step(parts[-1]) + parts[-1] if self.shortcut else step(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Sppf(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.first, self.last = conv(c, c // 2), conv(2 * c, c)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(nn.functional.max_pool2d(parts[-1], 5, 1, 2))
        return self.last(torch.cat(parts, 1))


class YoloV8(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        stages = ((16, 32, 1), (32, 64, 2), (64, 128, 2), (128, 256, 1))
        self.stem = conv(3, 16, 3, 2)
        self.stages = nn.ModuleList(nn.Sequential(conv(c, o, 3, 2), C2f(o, o, n, True)) for c, o, n in stages)
        self.sppf = Sppf(256)
        self.up16, self.up8 = C2f(256 + 128, 128), C2f(128 + 64, 64)
        self.down16, self.out16 = conv(64, 64, 3, 2), C2f(64 + 128, 128)
        self.down32, self.out32 = conv(128, 128, 3, 2), C2f(128 + 256, 256)
        self.boxes, self.classes = (
            nn.ModuleList(
                nn.Sequential(conv(c, hidden, 3), conv(hidden, hidden, 3), nn.Conv2d(hidden, o, 1))
                for c in (64, 128, 256)
            )
            for hidden, o in ((64, 64), (80, 80))
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stages[0](self.stem(x))
        p3 = self.stages[1](x)
        p4 = self.stages[2](p3)
        p5 = self.sppf(self.stages[3](p4))
        up = nn.Upsample(scale_factor=2)
        h4 = self.up16(torch.cat([up(p5), p4], 1))
        m3 = self.up8(torch.cat([up(h4), p3], 1))
        m4 = self.out16(torch.cat([self.down16(m3), h4], 1))
        m5 = self.out32(torch.cat([self.down32(m4), p5], 1))
        heads = {"boxes": self.boxes, "classes": self.classes}
        return {
            name: torch.cat([one(m).flatten(2).mT for one, m in zip(head, (m3, m4, m5), strict=True)], 1)
            for name, head in heads.items()
        }


# The others


class VitTiny(nn.Module):
    """Of images of 64×64; the class token and its position are left out, and the mean is in their place."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 192, 16, 16)
        self.position = nn.Parameter(torch.zeros(192, 4, 4))
        self.blocks = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(192, 1e-6), nn.MultiheadAttention(192, 3, batch_first=True),
                           nn.LayerNorm(192, 1e-6), nn.Sequential(nn.Linear(192, 768), nn.GELU(), nn.Linear(768, 192))])
            for _ in range(12)
        )  # fmt: skip
        self.norm, self.head = nn.LayerNorm(192, 1e-6), nn.Linear(192, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = (self.patches(x) + self.position).flatten(2).mT
        for norm1, attention, norm2, mlp in self.blocks:
            y = norm1(x)
            x = x + attention(y, y, y, need_weights=False)[0]
            x = x + mlp(norm2(x))
        return self.head(self.norm(x).mean(1))


class Siamese(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c, o, k in ((1, 64, 10), (64, 128, 7), (128, 128, 4), (128, 256, 4)):
            layers += [nn.Conv2d(c, o, k), nn.ReLU(), nn.MaxPool2d(2)]
        self.tower = nn.Sequential(*layers[:-1], nn.Flatten(), nn.Linear(9216, features), nn.Sigmoid())
        self.last = nn.Linear(features, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.sigmoid(self.last((self.tower(first) - self.tower(second)).abs()))


def dcgan_generator() -> nn.Module:
    """PyTorch's example, in which the numbers are [n, 100, 1, 1]."""
    layers: list[nn.Module] = [nn.Unflatten(1, (100, 1, 1))]
    for c, o, stride in ((100, 512, 1), (512, 256, 2), (256, 128, 2), (128, 64, 2)):
        layers += [nn.ConvTranspose2d(c, o, 4, stride, stride - 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())


def dcgan_discriminator() -> nn.Module:
    """PyTorch's example."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for c in (64, 128, 256):
        layers += [nn.Conv2d(c, 2 * c, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * c), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(512, 1, 4, bias=False), nn.Sigmoid(), nn.Flatten())


def assert_same(name: str, reference: nn.Module, size: int | None = None, **params: Any) -> None:
    """Give both networks the same weights, by the order of those of one shape, and compare all outputs."""
    graph = cnnspec.load(name, input_shape=None if size is None else (3, size, size), params=params).graph
    state = {k: v for k, v in reference.double().eval().state_dict().items() if not k.endswith("num_batches_tracked")}
    expected = {key: parameter.shape for key, parameter in graph.parameters.items()}
    mapping, faults = align(expected, {key: tuple(value.shape) for key, value in state.items()})
    assert faults == []
    weights = random_weights(graph)
    for ours, theirs in mapping.items():
        state[theirs].copy_(torch.from_numpy(weights[ours]).reshape(state[theirs].shape))
    inputs = {
        key: rng.stream(0, "modules", key).standard_normal((2, *graph.by_name[key].shape)) for key in graph.inputs
    }
    with torch.no_grad():
        outputs = reference(*map(torch.from_numpy, inputs.values()))
    wanted = outputs if isinstance(outputs, dict) else dict.fromkeys(graph.output_names, outputs)
    found = build(graph, "numpy", weights, dtype="float64").run(inputs)
    assert found.keys() == wanted.keys()
    for key, y in found.items():
        np.testing.assert_allclose(y, wanted[key].numpy(), rtol=0, atol=1e-9 * np.abs(y).max())


def test_ssdlite_is_torchvisions() -> None:
    assert_same("ssdlite320_mobilenet_v3_large", SsdLite(), 128)


def test_yolov8n_is_that_of_ultralytics() -> None:
    assert_same("yolov8n", YoloV8(), 96)


def test_yolov8s_is_the_same_spec() -> None:
    """Ultralytics: 11,166,560 parameters, of which 16 are not learned."""
    graph = cnnspec.load("yolov8n", params={"width": 32, "scores": 128}).graph
    assert trainable(graph.nodes) == 11_166_544


def test_vit_tiny_is_a_transformer_of_pytorch() -> None:
    assert_same("vit_tiny", VitTiny(), 64)


def test_siamese_is_two_towers_with_the_same_weights() -> None:
    assert_same("siamese", Siamese(64), features=64)


def test_dcgan_is_pytorchs_example() -> None:
    assert_same("dcgan_generator", dcgan_generator())
    assert_same("dcgan_discriminator", dcgan_discriminator())
