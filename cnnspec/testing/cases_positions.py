"""Cases of the layers that sample between positions or weigh them against each other, and of borders."""

from __future__ import annotations

from cnnspec.testing.case import Case, network, rows

SEQUENCE = (4, 6)
IMAGE = (2, 4, 5)
VOLUME = (4, 2, 3, 2)

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
        as_torch_nearest="resize: {size: [7, 3], coordinates: asymmetric, rounding: floor}",
        as_torch_nearest_exact="resize: {size: [2, 8], rounding: round_prefer_ceil}",
        bilinear="resize: {size: 6, mode: bilinear}",
        bicubic="resize: {scale: 2, mode: bicubic, cubic_coeff: -0.5}",
        one="resize: {size: 1, mode: linear, coordinates: align_corners}",
        same="resize: {size: [4, 5], mode: bicubic}",
    ),
    *rows("resize", SEQUENCE, sequence="resize: 10", sequence_cubic="resize: {scale: 0.6, mode: cubic}"),
    *rows(
        "resize",
        VOLUME,
        volume_nearest="resize: {scale: [2, 0.7, 1.5], mode: nearest}",
        volume_trilinear="resize: {size: [3, 2, 5], mode: trilinear, coordinates: align_corners}",
        volume_cubic="resize: {size: [3, 2, 1], mode: cubic}",
    ),
]

POOL = [
    *rows(
        "lp_pool",
        (2, 6, 5),
        plain="lp_pool: 2",
        one="lp_pool: {kernel: 3, stride: 2, p: 1}",
        three="lp_pool: {kernel: [2, 3], p: 3, padding: same}",
        ceil="lp_pool: {kernel: 2, p: 4, rounding: ceil}",
        ceil_overhang="lp_pool: {kernel: 3, stride: [2, 4], rounding: ceil}",
        ceil_dropped="lp_pool: {kernel: 2, stride: [7, 3], padding: {each_side: 1}, rounding: ceil}",
        dilated="lp_pool: {kernel: [3, 2], dilation: [2, 3], stride: 2, padding: {each_side: 1}}",
    ),
    *rows("lp_pool", SEQUENCE, sequence="lp_pool: {kernel: 3, p: 3}"),
    *rows("lp_pool", VOLUME, volume="lp_pool: {kernel: [2, 2, 1], stride: 1}"),
    network(
        "conv-then-adaptive-max-pool",
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
    network(
        "reshape-training",
        "- dense: 12\n- reshape: [2, 2, 3]\n- relu\n- permute: [height, width, channels]\n"
        "- conv: {channels: 3, kernel: 2}\n"
        "- depth_to_space: [3, 1]\n- reshape: [-1]\n- dense: 4",
        (7,),
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
    *rows(
        "attention",
        (6, 2, 3),
        no_bias="attention: {heads: 3, bias: false}",
        output_bias="attention: {heads: 3, bias: false, output_bias: true}",
        no_output_bias="attention: {heads: 2, output_bias: false}",
    ),
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

CASES: tuple[Case, ...] = (*RESIZE, *POOL, *BORDERS, *ATTENTION)
