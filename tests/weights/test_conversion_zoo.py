"""Names and shapes of torchvision's and timm's weights, in the order of their state_dict, land on the right layers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import cnnspec
from cnnspec.weights import alignment

Shape = tuple[int, ...]
Layer = tuple[str, dict[str, Shape]]
"""The module of the other program, and the shapes of its tensors."""


def conv(name: str, o: int, i: int, *kernel: int, bias: bool = False) -> Layer:
    sizes = kernel * 2 if len(kernel) == 1 else kernel
    return name, {"weight": (o, i, *sizes)} | ({"bias": (o,)} if bias else {})


def linear(name: str, o: int, i: int) -> Layer:
    return name, {"weight": (o, i), "bias": (o,)}


def norm(name: str, c: int) -> Layer:
    return name, dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (c,))


def normed(name: str, o: int, i: int, *kernel: int) -> Iterator[Layer]:
    """torchvision's Conv2dNormActivation."""
    yield conv(f"{name}.0", o, i, *kernel)
    yield norm(f"{name}.1", o)


def squeezed(name: str, c: int, inner: int) -> Iterator[Layer]:
    """torchvision's SqueezeExcitation."""
    yield conv(f"{name}.fc1", inner, c, 1, bias=True)
    yield conv(f"{name}.fc2", c, inner, 1, bias=True)


def divisible(value: float, by: int = 8) -> int:
    """torchvision's _make_divisible."""
    found = max(by, int(value + by / 2) // by * by)
    return found + by if found < 0.9 * value else found


def mobilenet_v3_small() -> Iterator[Layer]:
    yield from normed("features.0", 16, 3, 3)
    rows = [
        (16, 3, 16, 16, True), (16, 3, 72, 24, False), (24, 3, 88, 24, False), (24, 5, 96, 40, True),
        (40, 5, 240, 40, True), (40, 5, 240, 40, True), (40, 5, 120, 48, True), (48, 5, 144, 48, True),
        (48, 5, 288, 96, True), (96, 5, 576, 96, True), (96, 5, 576, 96, True),
    ]  # fmt: skip
    for n, (c, k, wide, o, squeezes) in enumerate(rows, 1):
        at, place = f"features.{n}.block", 0
        if wide != c:
            yield from normed(f"{at}.0", wide, c, 1)
            place = 1
        yield from normed(f"{at}.{place}", wide, 1, k)
        if squeezes:
            place += 1
            yield from squeezed(f"{at}.{place}", wide, divisible(wide // 4))
        yield from normed(f"{at}.{place + 1}", o, wide, 1)
    yield from normed("features.12", 576, 96, 1)
    yield linear("classifier.0", 1024, 576)
    yield linear("classifier.3", 1000, 1024)


def mnasnet1_0() -> Iterator[Layer]:
    for place, (o, i, k) in zip((0, 3, 6), ((32, 3, 3), (32, 1, 3), (16, 32, 1)), strict=True):
        yield conv(f"layers.{place}", o, i, k)
        yield norm(f"layers.{place + 1}", o)
    stacks = ((16, 24, 3, 3, 3), (24, 40, 5, 3, 3), (40, 80, 5, 6, 3), (80, 96, 3, 6, 2), (96, 192, 5, 6, 4),
              (192, 320, 3, 6, 1))  # fmt: skip
    for s, (c, o, k, wider, depth) in enumerate(stacks, 8):
        for u in range(depth):
            i = o if u else c
            for place, shape in zip((0, 3, 6), ((wider * i, i, 1), (wider * i, 1, k), (o, wider * i, 1)), strict=True):
                yield conv(f"layers.{s}.{u}.layers.{place}", *shape)
                yield norm(f"layers.{s}.{u}.layers.{place + 1}", shape[0])
    yield conv("layers.14", 1280, 320, 1)
    yield norm("layers.15", 1280)
    yield linear("classifier.1", 1000, 1280)


def regnet_y_400mf() -> Iterator[Layer]:
    yield from normed("stem", 32, 3, 3)
    before = 32
    for s, (c, depth) in enumerate(zip((48, 104, 208, 440), (1, 3, 6, 6), strict=True), 1):
        for u in range(depth):
            at = f"trunk_output.block{s}.block{s}-{u}"
            if u == 0:
                yield from normed(f"{at}.proj", c, before, 1)
            yield from normed(f"{at}.f.a", c, before, 1)
            yield from normed(f"{at}.f.b", c, 8, 3)
            yield from squeezed(f"{at}.f.se", c, round(0.25 * before))
            yield from normed(f"{at}.f.c", c, c, 1)
            before = c
    yield linear("fc", 1000, 440)


def efficientnet_v2_s() -> Iterator[Layer]:
    yield from normed("features.0", 24, 3, 3)
    rows = ((24, 24, 1, 2), (24, 48, 4, 4), (48, 64, 4, 4), (64, 128, 4, 6), (128, 160, 6, 9), (160, 256, 6, 15))
    for s, (c, o, wider, depth) in enumerate(rows, 1):
        for u in range(depth):
            at, i = f"features.{s}.{u}.block", o if u else c
            wide = wider * i
            if s == 1:
                yield from normed(f"{at}.0", o, i, 3)
            elif s <= 3:  # FusedMBConv
                yield from normed(f"{at}.0", wide, i, 3)
                yield from normed(f"{at}.1", o, wide, 1)
            else:
                yield from normed(f"{at}.0", wide, i, 1)
                yield from normed(f"{at}.1", wide, 1, 3)
                yield from squeezed(f"{at}.2", wide, i // 4)
                yield from normed(f"{at}.3", o, wide, 1)
    yield from normed("features.7", 1280, 256, 1)
    yield linear("classifier.1", 1000, 1280)


def inception_v3(heads: bool = False) -> Iterator[Layer]:
    def basic(name: str, o: int, i: int, *kernel: int) -> Iterator[Layer]:
        yield conv(f"{name}.conv", o, i, *kernel)
        yield norm(f"{name}.bn", o)

    for name, o, i, k in (
        ("1a_3x3", 32, 3, 3), ("2a_3x3", 32, 32, 3), ("2b_3x3", 64, 32, 3), ("3b_1x1", 80, 64, 1),
        ("4a_3x3", 192, 80, 3),
    ):  # fmt: skip
        yield from basic(f"Conv2d_{name}", o, i, k)
    for name, c, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        at = f"Mixed_{name}.branch"
        yield from basic(f"{at}1x1", 64, c, 1)
        yield from basic(f"{at}5x5_1", 48, c, 1)
        yield from basic(f"{at}5x5_2", 64, 48, 5)
        yield from basic(f"{at}3x3dbl_1", 64, c, 1)
        yield from basic(f"{at}3x3dbl_2", 96, 64, 3)
        yield from basic(f"{at}3x3dbl_3", 96, 96, 3)
        yield from basic(f"{at}_pool", pool, c, 1)
    yield from basic("Mixed_6a.branch3x3", 384, 288, 3)
    yield from basic("Mixed_6a.branch3x3dbl_1", 64, 288, 1)
    yield from basic("Mixed_6a.branch3x3dbl_2", 96, 64, 3)
    yield from basic("Mixed_6a.branch3x3dbl_3", 96, 96, 3)
    for name, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        at = f"Mixed_{name}.branch"
        yield from basic(f"{at}1x1", 192, 768, 1)
        yield from basic(f"{at}7x7_1", c, 768, 1)
        yield from basic(f"{at}7x7_2", c, c, 1, 7)
        yield from basic(f"{at}7x7_3", 192, c, 7, 1)
        yield from basic(f"{at}7x7dbl_1", c, 768, 1)
        yield from basic(f"{at}7x7dbl_2", c, c, 7, 1)
        yield from basic(f"{at}7x7dbl_3", c, c, 1, 7)
        yield from basic(f"{at}7x7dbl_4", c, c, 7, 1)
        yield from basic(f"{at}7x7dbl_5", 192, c, 1, 7)
        yield from basic(f"{at}_pool", 192, 768, 1)
    if heads:
        yield from basic("AuxLogits.conv0", 128, 768, 1)
        yield from basic("AuxLogits.conv1", 768, 128, 5)
        yield linear("AuxLogits.fc", 1000, 768)
    yield from basic("Mixed_7a.branch3x3_1", 192, 768, 1)
    yield from basic("Mixed_7a.branch3x3_2", 320, 192, 3)
    yield from basic("Mixed_7a.branch7x7x3_1", 192, 768, 1)
    yield from basic("Mixed_7a.branch7x7x3_2", 192, 192, 1, 7)
    yield from basic("Mixed_7a.branch7x7x3_3", 192, 192, 7, 1)
    yield from basic("Mixed_7a.branch7x7x3_4", 192, 192, 3)
    for name, c in (("7b", 1280), ("7c", 2048)):
        at = f"Mixed_{name}.branch"
        yield from basic(f"{at}1x1", 320, c, 1)
        yield from basic(f"{at}3x3_1", 384, c, 1)
        yield from basic(f"{at}3x3_2a", 384, 384, 1, 3)
        yield from basic(f"{at}3x3_2b", 384, 384, 3, 1)
        yield from basic(f"{at}3x3dbl_1", 448, c, 1)
        yield from basic(f"{at}3x3dbl_2", 384, 448, 3)
        yield from basic(f"{at}3x3dbl_3a", 384, 384, 1, 3)
        yield from basic(f"{at}3x3dbl_3b", 384, 384, 3, 1)
        yield from basic(f"{at}_pool", 192, c, 1)
    yield linear("fc", 1000, 2048)


def r3d_18() -> Iterator[Layer]:
    yield from normed("stem", 64, 3, 3, 7, 7)
    before = 64
    for s, c in enumerate((64, 128, 256, 512), 1):
        for u in range(2):
            yield from normed(f"layer{s}.{u}.conv1", c, before, 3, 3, 3)
            yield from normed(f"layer{s}.{u}.conv2", c, c, 3, 3, 3)
            if u == 0 and s > 1:
                yield from normed(f"layer{s}.{u}.downsample", c, before, 1, 1, 1)
            before = c
    yield linear("fc", 400, 512)


def seresnet50() -> Iterator[Layer]:
    """timm's."""
    yield conv("conv1", 64, 3, 7)
    yield norm("bn1", 64)
    before = 64
    for s, (c, depth) in enumerate(zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True), 1):
        for u in range(depth):
            at = f"layer{s}.{u}"
            for n, shape in enumerate(((c, before, 1), (c, c, 3), (4 * c, c, 1)), 1):
                yield conv(f"{at}.conv{n}", *shape)
                yield norm(f"{at}.bn{n}", shape[0])
            yield conv(f"{at}.se.fc1", c // 4, 4 * c, 1, bias=True)
            yield conv(f"{at}.se.fc2", 4 * c, c // 4, 1, bias=True)
            if u == 0:
                yield conv(f"{at}.downsample.0", 4 * c, before, 1)
                yield norm(f"{at}.downsample.1", 4 * c)
            before = 4 * c
    yield linear("fc", 1000, 2048)


def darknet53() -> Iterator[Layer]:
    """timm's."""

    def unit(name: str, o: int, i: int, k: int) -> Iterator[Layer]:
        yield conv(f"{name}.conv", o, i, k)
        yield norm(f"{name}.bn", o)

    yield from unit("stem.conv1", 32, 3, 3)
    for s, (c, depth) in enumerate(zip((64, 128, 256, 512, 1024), (1, 2, 8, 8, 4), strict=True)):
        yield from unit(f"stages.{s}.conv_down", c, c // 2, 3)
        for u in range(depth):
            yield from unit(f"stages.{s}.blocks.{u}.conv1", c // 2, c, 1)
            yield from unit(f"stages.{s}.blocks.{u}.conv2", c, c // 2, 3)
    yield linear("head.fc", 1000, 1024)


MODELS = {
    function.__name__: function
    for function in (
        mobilenet_v3_small, mnasnet1_0, regnet_y_400mf, efficientnet_v2_s, inception_v3, r3d_18, seresnet50, darknet53
    )
}  # fmt: skip

PLACES = {
    "mobilenet_v3_small": {"features.4.block.2.fc1": "unit4.squeeze", "features.11.block.3.0": "unit11.project"},
    "mnasnet1_0": {"layers.10.2.layers.3": "stage3.unit2.depthwise.conv1", "layers.14": "last.conv1"},
    "regnet_y_400mf": {
        "trunk_output.block3.block3-0.proj.0": "stage3.unit0.shortcut",
        "trunk_output.block3.block3-4.f.se.fc2": "stage3.unit4.excite",
    },
    "efficientnet_v2_s": {
        "features.2.1.block.1.0": "stage1.unit1.project.conv1",
        "features.6.14.block.2.fc2": "stage5.unit14.excite",
    },
    "inception_v3": {
        "Conv2d_3b_1x1.conv": "conv3b.conv1",
        "Mixed_6d.branch7x7dbl_4.conv": "mixed6d.conv8",
        "Mixed_7c.branch3x3_2b.conv": "mixed7c.conv4",
    },
    "r3d_18": {"layer3.0.downsample.0": "stage3.unit0.shortcut", "layer4.1.conv2.0": "stage4.unit1.conv2"},
    "seresnet50": {"layer2.0.se.fc1": "stage2.unit0.squeeze", "layer3.0.downsample.0": "stage3.unit0.shortcut"},
    "darknet53": {
        "stages.3.conv_down.conv": "stage4.halve.conv1",
        "stages.2.blocks.7.conv2.conv": "stage3.residual8.conv2",
    },
}
"""Some modules of each, and the layers that they are."""


def shapes_of(model: Iterator[Layer]) -> dict[str, Shape]:
    return {f"{name}.{key}": shape for name, tensors in model for key, shape in tensors.items()}


def parameters(spec: str) -> dict[str, Shape]:
    return {name: parameter.shape for name, parameter in cnnspec.load(spec).graph.parameters.items()}


@pytest.mark.parametrize("spec", MODELS)
def test_every_tensor_finds_its_place(spec: str) -> None:
    """The networks have their layers in one order, so that the first tensor of each kind is the first of ours."""
    ours, theirs = parameters(spec), shapes_of(MODELS[spec]())
    assert [*ours.values()] == [*theirs.values()]
    mapping, faults = alignment.align(ours, theirs)
    assert faults == []
    assert mapping == dict(zip(ours, theirs, strict=True))
    for other, layer in PLACES[spec].items():
        assert mapping[f"{layer}.weight"] == f"{other}.weight"


def test_the_head_that_only_training_uses_is_to_be_left_out() -> None:
    mapping, faults = alignment.align(parameters("inception_v3"), shapes_of(inception_v3(heads=True)))
    assert mapping == {}
    assert any("--ignore AuxLogits" in fault for fault in faults)
