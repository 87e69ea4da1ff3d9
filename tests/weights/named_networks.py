"""Names and shapes of torchvision's and timm's networks, by the rules of the libraries.

They are in the order of the spec, and with `defined` in that of the library where it is another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from test_conversion_zoo import Layer, conv, divisible, linear, norm, normed, squeezed


def layer_norm(name: str, c: int) -> Layer:
    return name, {"weight": (c,), "bias": (c,)}


# torchvision


def vgg(*depths: int, head: Sequence[Layer] = ()) -> Iterator[Layer]:
    place, before = 0, 3
    for c, depth in zip((64, 128, 256, 512, 512), depths, strict=True):
        for _ in range(depth):
            yield conv(f"features.{place}", c, before, 3, bias=True)
            place, before = place + 2, c
        place += 1
    yield from head or (
        linear("classifier.0", 4096, 25088), linear("classifier.3", 4096, 4096), linear("classifier.6", 1000, 4096)
    )  # fmt: skip


def squeezenet1_1() -> Iterator[Layer]:
    yield conv("features.0", 64, 3, 3, bias=True)
    before = 64
    for place, s in zip((3, 4, 6, 7, 9, 10, 11, 12), (16, 16, 32, 32, 48, 48, 64, 64), strict=True):
        yield conv(f"features.{place}.squeeze", s, before, 1, bias=True)
        yield conv(f"features.{place}.expand1x1", 4 * s, s, 1, bias=True)
        yield conv(f"features.{place}.expand3x3", 4 * s, s, 3, bias=True)
        before = 8 * s
    yield conv("classifier.1", 1000, 512, 1, bias=True)


def ssdlite320_mobilenet_v3_large() -> Iterator[Layer]:
    yield from normed("backbone.features.0.0", 16, 3, 3)
    rows = (
        (16, 3, 16, 16, False), (16, 3, 64, 24, False), (24, 3, 72, 24, False), (24, 5, 72, 40, True),
        (40, 5, 120, 40, True), (40, 5, 120, 40, True), (40, 3, 240, 80, False), (80, 3, 200, 80, False),
        (80, 3, 184, 80, False), (80, 3, 184, 80, False), (80, 3, 480, 112, True), (112, 3, 672, 112, True),
        (112, 5, 672, 80, True), (80, 5, 480, 80, True), (80, 5, 480, 80, True),
    )  # fmt: skip
    for n, (c, k, wide, o, squeezes) in enumerate(rows, 1):
        # The backbone is cut in two behind the expansion of unit 13.
        at = f"backbone.features.0.{n}" if n <= 13 else f"backbone.features.1.{n - 13}.block"
        at += ".block" * (n < 13)
        place = 0
        if wide != c:
            yield from normed(at if n == 13 else f"{at}.0", wide, c, 1)
            place = 1
        at = "backbone.features.1.0" if n == 13 else at
        yield from normed(f"{at}.{place}", wide, 1, k)
        if squeezes:
            place += 1
            yield from squeezed(f"{at}.{place}", wide, divisible(wide // 4))
        yield from normed(f"{at}.{place + 1}", o, wide, 1)
    yield from normed("backbone.features.1.3", 480, 80, 1)
    before = 480
    for n, c in enumerate((512, 256, 256, 128)):
        yield from normed(f"backbone.extra.{n}.0", c // 2, before, 1)
        yield from normed(f"backbone.extra.{n}.1", c // 2, 1, 3)
        yield from normed(f"backbone.extra.{n}.2", c, c // 2, 1)
        before = c
    for head, columns in (("classification", 91), ("regression", 4)):
        for n, c in enumerate((672, 480, 512, 256, 256, 128)):
            at = f"head.{head}_head.module_list.{n}"
            yield from normed(f"{at}.0", c, 1, 3)
            yield conv(f"{at}.1", 6 * columns, c, 1, bias=True)


# timm


def timm_vgg(*depths: int) -> Iterator[Layer]:
    """Its first dense layers are convolutions."""
    head = (
        conv("pre_logits.fc1", 4096, 512, 7, bias=True), conv("pre_logits.fc2", 4096, 4096, 1, bias=True),
        linear("head.fc", 1000, 4096),
    )  # fmt: skip
    return vgg(*depths, head=head)


def densenet121() -> Iterator[Layer]:
    """torchvision's, too; only the file that it publishes has other names."""
    yield conv("features.conv0", 64, 3, 7)
    yield norm("features.norm0", 64)
    c = 64
    for s, depth in enumerate((6, 12, 24, 16), 1):
        for n in range(1, depth + 1):
            at = f"features.denseblock{s}.denselayer{n}"
            yield norm(f"{at}.norm1", c)
            yield conv(f"{at}.conv1", 128, c, 1)
            yield norm(f"{at}.norm2", 128)
            yield conv(f"{at}.conv2", 32, 128, 3)
            c += 32
        if s < 4:
            yield norm(f"features.transition{s}.norm", c)
            yield conv(f"features.transition{s}.conv", c // 2, c, 1)
            c //= 2
    yield norm("features.norm5", c)
    yield linear("classifier", 1000, c)


Units = list[list[tuple[str, int, int, int, int]]]
"""For each stage its units: kind, expanded channels, kernel, channels, squeezed channels."""


def mobile(stem: int, stages: Units, last: int = 1280, biased: bool = False) -> Iterator[Layer]:
    """timm's EfficientNet, MobileNets and MNASNet."""
    yield conv("conv_stem", stem, 3, 3)
    yield norm("bn1", stem)
    i = stem
    for s, units in enumerate(stages):
        for u, (kind, wide, k, o, squeeze) in enumerate(units):
            at = f"blocks.{s}.{u}"
            shapes = {
                "cn": [("conv", o, i, k)],
                "er": [("conv_exp", wide, i, k), ("conv_pwl", o, wide, 1)],
                "ds": [("conv_dw", i, 1, k), ("conv_pw", o, i, 1)],
                "ir": [("conv_pw", wide, i, 1), ("conv_dw", wide, 1, k), ("conv_pwl", o, wide, 1)],
            }[kind]
            for n, (name, *shape) in enumerate(shapes, 1):
                if squeeze and n > 1 and n == len(shapes):
                    yield conv(f"{at}.se.conv_reduce", squeeze, wide, 1, bias=True)
                    yield conv(f"{at}.se.conv_expand", wide, squeeze, 1, bias=True)
                yield conv(f"{at}.{name}", *shape)
                yield norm(f"{at}.bn{n}", shape[0])
            i = o
    yield conv("conv_head", last, i, 1, bias=biased)
    if not biased:
        yield norm("bn2", last)
    yield linear("classifier", 1000, last)


def stages(i: int, *rows: tuple[str, int, int, int, int, bool]) -> Units:
    """Stages of rows (kind, expansion, kernel, channels, depth, whether it squeezes to a quarter of what arrives)."""
    found = []
    for kind, factor, k, o, depth, squeezes in rows:
        inputs = [i, *[o] * (depth - 1)]
        found.append([(kind, factor * c, k, o, c // 4 * squeezes) for c in inputs])
        i = o
    return found


def mobilenet_v2() -> Iterator[Layer]:
    rows = [("ir", 6, 3, c, depth, False) for c, depth in ((24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1))]
    return mobile(32, stages(32, ("ds", 1, 3, 16, 1, False), *rows))


def mobilenet_v3_small() -> Iterator[Layer]:
    units = [
        [("ds", 16, 3, 16, 8)], [("ir", 72, 3, 24, 0), ("ir", 88, 3, 24, 0)],
        [("ir", 96, 5, 40, 24), ("ir", 240, 5, 40, 64), ("ir", 240, 5, 40, 64)],
        [("ir", 120, 5, 48, 32), ("ir", 144, 5, 48, 40)],
        [("ir", 288, 5, 96, 72), ("ir", 576, 5, 96, 144), ("ir", 576, 5, 96, 144)], [("cn", 0, 1, 576, 0)],
    ]  # fmt: skip
    return mobile(16, units, last=1024, biased=True)


def mnasnet1_0() -> Iterator[Layer]:
    rows = ((24, 3, 3, 3), (40, 5, 3, 3), (80, 5, 6, 3), (96, 3, 6, 2), (192, 5, 6, 4), (320, 3, 6, 1))
    units = [("ir", factor, k, c, depth, False) for c, k, factor, depth in rows]
    return mobile(32, stages(32, ("ds", 1, 3, 16, 1, False), *units))


def efficientnet_b0() -> Iterator[Layer]:
    rows = ((24, 3, 2), (40, 5, 2), (80, 3, 3), (112, 5, 3), (192, 5, 4), (320, 3, 1))
    return mobile(32, stages(32, ("ds", 1, 3, 16, 1, True), *(("ir", 6, k, c, depth, True) for c, k, depth in rows)))


def efficientnet_v2_s() -> Iterator[Layer]:
    rows = [
        ("cn", 1, 3, 24, 2, False), ("er", 4, 3, 48, 4, False), ("er", 4, 3, 64, 4, False), ("ir", 4, 3, 128, 6, True),
        ("ir", 6, 3, 160, 9, True), ("ir", 6, 3, 256, 15, True),
    ]  # fmt: skip
    return mobile(24, stages(24, *rows))


def unit(name: str, o: int, i: int, k: int) -> Iterator[Layer]:
    yield conv(f"{name}.conv", o, i, k)
    yield norm(f"{name}.bn", o)


def regnet_y_400mf(defined: bool = False) -> Iterator[Layer]:
    yield from unit("stem", 32, 3, 3)
    before = 32
    for s, (c, depth) in enumerate(zip((48, 104, 208, 440), (1, 3, 6, 6), strict=True), 1):
        for u in range(1, depth + 1):
            at = f"s{s}.b{u}"
            shortcut = [*unit(f"{at}.downsample", c, before, 1)] if u == 1 else []
            yield from () if defined else shortcut
            yield from unit(f"{at}.conv1", c, before, 1)
            yield from unit(f"{at}.conv2", c, 8, 3)
            yield from squeezed(f"{at}.se", c, round(0.25 * before))
            yield from unit(f"{at}.conv3", c, c, 1)
            yield from shortcut if defined else ()
            before = c
    yield linear("head.fc", 1000, 440)


def convnext_tiny(defined: bool = False) -> Iterator[Layer]:
    yield conv("stem.0", 96, 3, 4, bias=True)
    yield layer_norm("stem.1", 96)
    for s, (c, depth) in enumerate(zip((96, 192, 384, 768), (3, 3, 9, 3), strict=True)):
        if s:
            yield layer_norm(f"stages.{s}.downsample.0", c // 2)
            yield conv(f"stages.{s}.downsample.1", c, c // 2, 2, bias=True)
        for u in range(depth):
            at = f"stages.{s}.blocks.{u}"
            factor: Layer = (at, {"gamma": (c,)})
            yield from [factor] if defined else []
            yield conv(f"{at}.conv_dw", c, 1, 7, bias=True)
            yield layer_norm(f"{at}.norm", c)
            yield linear(f"{at}.mlp.fc1", 4 * c, c)
            yield linear(f"{at}.mlp.fc2", c, 4 * c)
            yield from [] if defined else [factor]
    yield layer_norm("head.norm", 768)
    yield linear("head.fc", 1000, 768)


def vit_tiny() -> Iterator[Layer]:
    yield "", {"cls_token": (1, 1, 192), "pos_embed": (1, 197, 192)}
    yield conv("patch_embed.proj", 192, 3, 16, bias=True)
    for n in range(12):
        at = f"blocks.{n}"
        yield layer_norm(f"{at}.norm1", 192)
        yield linear(f"{at}.attn.qkv", 576, 192)
        yield linear(f"{at}.attn.proj", 192, 192)
        yield layer_norm(f"{at}.norm2", 192)
        yield linear(f"{at}.mlp.fc1", 768, 192)
        yield linear(f"{at}.mlp.fc2", 192, 768)
    yield layer_norm("norm", 192)
    yield linear("head", 1000, 192)


TORCHVISIONS = {
    "vgg13": lambda: vgg(2, 2, 2, 2, 2),
    "vgg16": lambda: vgg(2, 2, 3, 3, 3),
    "vgg19": lambda: vgg(2, 2, 4, 4, 4),
    "squeezenet1_1": squeezenet1_1,
    "densenet121": densenet121,
    "ssdlite320_mobilenet_v3_large": ssdlite320_mobilenet_v3_large,
}
TIMMS = {
    "vgg11": lambda: timm_vgg(1, 1, 2, 2, 2),
    "vgg13": lambda: timm_vgg(2, 2, 2, 2, 2),
    "vgg16": lambda: timm_vgg(2, 2, 3, 3, 3),
    "vgg19": lambda: timm_vgg(2, 2, 4, 4, 4),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_small": mobilenet_v3_small,
    "mnasnet1_0": mnasnet1_0,
    "efficientnet_b0": efficientnet_b0,
    "efficientnet_v2_s": efficientnet_v2_s,
    "regnet_y_400mf": regnet_y_400mf,
    "convnext_tiny": convnext_tiny,
}
"""Those whose names are not torchvision's; timm's seresnet50 and darknet53 are in test_conversion_zoo."""
DEFINED = {"regnet_y_400mf": regnet_y_400mf, "convnext_tiny": convnext_tiny}
"""Those of timm whose order is not the spec's."""
