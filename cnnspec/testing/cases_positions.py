"""Cases of the layers that move positions, sample between them, or weigh them against each other."""

from __future__ import annotations

from cnnspec.testing.case import Case, network, rows

SEQUENCE = (4, 6)
IMAGE = (2, 4, 5)
VOLUME = (4, 2, 3, 2)

RESHAPE = [
    *rows("reshape", (12,), image="reshape: [3, 2, 2]", inferred="reshape: [2, -1]", volume="reshape: [1, 2, -1, 3]"),
    *rows("reshape", IMAGE, vector="reshape: [-1]", sequence="reshape: [8, 5]", other_image="reshape: [5, 2, -1]"),
    *rows("reshape", VOLUME, volume_image="reshape: [8, 3, -1]"),
    network(
        "reshape-then-conv",
        "- dense: 12\n- reshape: [2, 2, 3]\n- relu\n- conv: {channels: 3, kernel: 2}\n- reshape: [-1]\n- dense: 4",
        (7,),
        "{loss: cross_entropy}",
    ),
]

PERMUTE = [
    *rows("permute", SEQUENCE, sequence="permute: [length, channels]"),
    *rows(
        "permute",
        IMAGE,
        image="permute: [width, channels, height]",
        transposed="permute: [channels, width, height]",
        same="permute: [channels, height, width]",
    ),
    *rows("permute", VOLUME, volume="permute: [height, width, channels, depth]"),
    network(
        "permute-then-conv",
        "- permute: [height, width, channels]\n- conv: {channels: 3, kernel: 2}\n- flatten\n- dense: 3",
        IMAGE,
        "{loss: mean_squared_error}",
    ),
]

BLOCKS = [
    *(
        case
        for mode in ("dcr", "crd")
        for kind, image, sequence, volume in (
            ("depth_to_space", (8, 2, 3), (6, 4), (12, 2, 1, 2)),
            ("space_to_depth", (2, 4, 6), (2, 9), (2, 4, 3, 2)),
        )
        for case in (
            *rows(kind, image, **{f"{mode}": f"{kind}: {{block: 2, mode: {mode}}}"}),
            *rows(kind, sequence, **{f"{mode}_sequence": f"{kind}: {{block: 3, mode: {mode}}}"}),
            *rows(kind, volume, **{f"{mode}_volume": f"{kind}: {{block: [2, 3, 2], mode: {mode}}}"}),
        )
    ),
    *rows("depth_to_space", (6, 2, 3), oblong="depth_to_space: [3, 2]"),
    *rows("space_to_depth", (2, 4, 6), oblong="space_to_depth: [1, 3]"),
]

RESIZE = [
    *rows(
        "resize",
        IMAGE,
        **{
            f"{mode}_{coordinates}_{name}": f"resize: {{{fields}, mode: {mode}, coordinates: {coordinates}}}"
            for mode in ("nearest", "linear", "cubic")
            for coordinates in ("half_pixel", "align_corners", "asymmetric")
            for name, fields in {"size": "size: [7, 3]", "scale": "scale: [1.5, 0.7]"}.items()
        },
    ),
    *rows(
        "resize",
        IMAGE,
        half="resize: {scale: 0.5, rounding: round_prefer_ceil}",
        floor="resize: {size: 3, rounding: floor}",
        ceil="resize: {size: [6, 8], rounding: ceil, coordinates: asymmetric}",
        bilinear="resize: {size: 6, mode: bilinear}",
        bicubic="resize: {scale: 2, mode: bicubic, cubic_coeff: -0.5}",
        one="resize: {size: 1, mode: linear, coordinates: align_corners}",
        same="resize: {size: [4, 5], mode: bicubic}",
    ),
    *rows("resize", SEQUENCE, sequence="resize: 10", sequence_cubic="resize: {scale: 0.6, mode: cubic}"),
    *rows(
        "resize",
        VOLUME,
        volume="resize: {scale: [2, 0.7, 1.5], mode: nearest}",
        volume_trilinear="resize: {size: [3, 2, 5], mode: trilinear, coordinates: align_corners}",
        volume_cubic="resize: {size: [3, 2, 1], mode: cubic}",
    ),
]

POOL = [
    *(
        case
        for kind in ("max_pool", "avg_pool", "lp_pool")
        for case in (
            *rows(
                kind,
                (2, 6, 5),
                dilated=f"{kind}: {{kernel: 2, stride: 1, dilation: 2}}",
                dilated_padding=f"{kind}: {{kernel: [3, 2], dilation: [2, 3], stride: 2, padding: {{each_side: 1}}}}",
                dilated_ceil=f"{kind}: {{kernel: 2, dilation: 2, stride: 2, rounding: ceil}}",
            ),
            *rows(kind, SEQUENCE, dilated_sequence=f"{kind}: {{kernel: 3, stride: 1, dilation: 2, padding: same}}"),
            *rows(kind, VOLUME, dilated_volume=f"{kind}: {{kernel: 2, stride: 1, dilation: [1, 2, 1]}}"),
        )
    ),
    *rows(
        "avg_pool",
        (2, 6, 5),
        dilated_uncounted="avg_pool: {kernel: 3, dilation: 2, padding: same, count_padding: false}",
    ),
    *rows(
        "lp_pool",
        (2, 6, 5),
        plain="lp_pool: 2",
        one="lp_pool: {kernel: 3, stride: 2, p: 1}",
        three="lp_pool: {kernel: [2, 3], p: 3, padding: same}",
        ceil="lp_pool: {kernel: 2, p: 4, rounding: ceil}",
    ),
    *rows("lp_pool", SEQUENCE, sequence="lp_pool: {kernel: 3, p: 3}"),
    *rows("lp_pool", VOLUME, volume="lp_pool: {kernel: [2, 2, 1], stride: 1}"),
    *rows(
        "adaptive_max_pool",
        (2, 7, 5),
        one="adaptive_max_pool: 1",
        uneven="adaptive_max_pool: [3, 2]",
        larger="adaptive_max_pool: [4, 8]",
    ),
    *rows("adaptive_max_pool", SEQUENCE, sequence="adaptive_max_pool: 4"),
    *rows("adaptive_max_pool", VOLUME, volume="adaptive_max_pool: [1, 2, 2]"),
    network(
        "adaptive_max_pool-after-conv",
        "- conv: {channels: 3, kernel: 3, padding: same}\n- adaptive_max_pool: [3, 2]",
        (2, 6, 4),
    ),
    network(
        "max_pool-dilated-training",
        "- conv: {channels: 2, kernel: 2}\n- relu\n- max_pool: {kernel: 2, stride: 1, dilation: 2}\n"
        "- avg_pool: {kernel: 2, dilation: 2, stride: 1}\n- flatten\n- dense: 3",
        (2, 7, 6),
        "{loss: cross_entropy}",
    ),
]

BORDERS = [
    *(
        case
        for mode in ("reflect", "edge", "circular")
        for name, shape, fields in (
            ("", (3, 5, 4), "channels: 2, kernel: 3, padding: same"),
            ("_sides", (3, 5, 4), "channels: 4, kernel: 3, stride: 2, padding: {top: 2, left: 3}"),
            ("_sequence", SEQUENCE, "channels: 2, kernel: 4, padding: same, groups: 2"),
            ("_volume", VOLUME, "channels: 2, kernel: 2, padding: 1"),
        )
        for case in rows("conv", shape, **{f"{mode}{name}": f"conv: {{{fields}, padding_mode: {mode}}}"})
    ),
    *rows("conv", (3, 5, 4), reflect_valid="conv: {channels: 2, kernel: 2, padding_mode: reflect}"),
    *rows("pad", (2, 4, 5), circular="pad: {padding: {top: 3, bottom: 4, right: 1}, mode: circular}"),
    *rows("pad", SEQUENCE, circular_sequence="pad: {padding: 5, mode: circular}"),
    *rows("pad", VOLUME, circular_volume="pad: {padding: [1, 2, 3], mode: circular}"),
    network(
        "conv-reflect-wide",
        "- conv: {channels: 16, kernel: 3, padding: same, padding_mode: reflect}\n- batch_norm\n- relu\n- max_pool: 2\n"
        "- flatten\n- dense: 3",
        (16, 6, 4),
        "{loss: cross_entropy}",
    ),
]

ATTENTION = [
    *rows("attention", (6, 2, 3), image="attention: 2", one="attention: 1"),
    *rows("attention", (6, 2, 3), no_bias="attention: {heads: 3, bias: false}"),
    *rows("attention", SEQUENCE, sequence="attention: 4"),
    *rows("attention", VOLUME, volume="attention: 2"),
    *rows("position_embedding", IMAGE, image="position_embedding"),
    *rows("position_embedding", SEQUENCE, sequence="position_embedding"),
    *rows("position_embedding", VOLUME, volume="position_embedding: 0.5"),
    *rows("position_embedding", (7,), vector="position_embedding"),
    network(
        "attention-transformer",
        """
- conv: {channels: 4, kernel: 2, stride: 2}
- position_embedding
- add: {main: [layer_norm, attention: 2], skip: []}
- add: {main: [layer_norm, conv: {channels: 8, kernel: 1}, gelu, conv: {channels: 4, kernel: 1}], skip: []}
- global_avg_pool
- dense: 3
""",
        (2, 4, 6),
        "{loss: cross_entropy}",
    ),
]

CASES: tuple[Case, ...] = (*RESHAPE, *PERMUTE, *BLOCKS, *RESIZE, *POOL, *BORDERS, *ATTENTION)
