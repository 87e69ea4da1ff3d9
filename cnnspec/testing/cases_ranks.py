"""Cases of one and three spatial axes: every kind of layer whose kernels depend on the number of axes."""

from __future__ import annotations

from cnnspec.testing.case import Case, rows

SEQUENCE = (4, 9)
VOLUME = (4, 4, 5, 3)

CONV = [
    *rows(
        "conv",
        SEQUENCE,
        sequence="conv: {channels: 3, kernel: 3}",
        sequence_pointwise="conv: {channels: 3, kernel: 1}",
        sequence_stride="conv: {channels: 2, kernel: 4, stride: 3, padding: 3}",
        sequence_same="conv: {channels: 2, kernel: 4, padding: same}",
        sequence_same_upper="conv: {channels: 2, kernel: 4, stride: 2, padding: same_upper}",
        sequence_sides="conv: {channels: 2, kernel: 3, padding: {left: 2}}",
        sequence_dilation="conv: {channels: 2, kernel: 3, dilation: 3, padding: {each_side: 2}}",
        sequence_groups="conv: {channels: 6, kernel: 3, groups: 2, stride: 2}",
        sequence_depthwise="conv: {channels: 4, kernel: [3], groups: 4, padding: same}",
        sequence_flip="conv: {channels: 2, kernel: 3, flip: true, bias: false}",
    ),
    *rows(
        "conv",
        VOLUME,
        volume="conv: {channels: 3, kernel: 2}",
        volume_pointwise="conv: {channels: 3, kernel: 1}",
        volume_each="conv: {channels: 2, kernel: [3, 2, 1], stride: [1, 2, 3], padding: [2, 1, 0]}",
        volume_same="conv: {channels: 2, kernel: [2, 3, 2], padding: same}",
        volume_same_lower="conv: {channels: 2, kernel: 3, stride: 2, padding: same_lower}",
        volume_sides="conv: {channels: 2, kernel: 2, padding: {front: 2, bottom: 1, left: 1}}",
        volume_dilation="conv: {channels: 2, kernel: 2, dilation: [3, 2, 1]}",
        volume_groups="conv: {channels: 2, kernel: 2, groups: 2, padding: {each_side: 1}}",
        volume_depthwise="conv: {channels: 4, kernel: 2, groups: 4, stride: 2}",
        volume_flip="conv: {channels: 2, kernel: [2, 3, 1], flip: true}",
    ),
]

CONV_TRANSPOSE = [
    *rows(
        "conv_transpose",
        SEQUENCE,
        sequence="conv_transpose: {channels: 3, kernel: 3}",
        sequence_stride="conv_transpose: {channels: 2, kernel: 4, stride: 2, padding: 2, groups: 2}",
        sequence_same="conv_transpose: {channels: 2, kernel: 3, stride: 2, padding: same}",
        sequence_output_padding="conv_transpose: {channels: 2, kernel: 2, stride: 3, output_padding: 2, padding: 1}",
    ),
    *rows(
        "conv_transpose",
        (4, 2, 3, 2),
        volume="conv_transpose: {channels: 3, kernel: 2}",
        volume_each="conv_transpose: {channels: 2, kernel: [3, 2, 1], stride: [2, 1, 2], output_padding: [1, 0, 1]}",
        volume_sides="conv_transpose: {channels: 2, kernel: 3, padding: {front: 1, bottom: 2}, dilation: [1, 1, 2]}",
    ),
]

POOLS = {
    "plain": "kernel: 2",
    "overlap": "kernel: 3, stride: 2, padding: same",
    "padding_odd": "kernel: 2, stride: 1, padding: 1",
    "ceil": "kernel: 2, stride: 3, padding: {each_side: 1}, rounding: ceil",
}

POOL = [
    *(
        case
        for kind in ("max_pool", "avg_pool")
        for form, shape in (("sequence", SEQUENCE), ("volume", (2, 4, 5, 3)))
        for case in rows(kind, shape, **{f"{form}_{name}": f"{kind}: {{{fields}}}" for name, fields in POOLS.items()})
    ),
    *rows("max_pool", VOLUME, volume_each="max_pool: {kernel: [1, 2, 3], stride: [1, 2, 1]}"),
    *rows(
        "avg_pool",
        VOLUME,
        volume_uncounted="avg_pool: {kernel: [2, 3, 1], stride: 2, padding: {front: 1, right: 0, top: 2}, "
        "rounding: ceil, count_padding: false}",
    ),
    *(
        Case(f"{kind}-{form}".replace("_", "-"), kind, f"- {kind}", shape)
        for kind in ("global_avg_pool", "global_max_pool")
        for form, shape in (("sequence", SEQUENCE), ("volume", VOLUME))
    ),
    *rows("adaptive_avg_pool", SEQUENCE, sequence="adaptive_avg_pool: 4", sequence_larger="adaptive_avg_pool: 11"),
    *rows("adaptive_avg_pool", VOLUME, volume="adaptive_avg_pool: [3, 2, 1]"),
]

OTHERS = [
    Case(f"{name}-{form}".replace("_", "-"), name, f"- {layer}", shape)
    for form, shape in (("sequence", SEQUENCE), ("volume", (4, 2, 3, 2)))
    for name, layer in {
        "batch_norm": "batch_norm",
        "layer_norm": "layer_norm",
        "group_norm": "group_norm: 2",
        "local_response_norm": "local_response_norm: {size: 3, alpha: 0.5}",
        "scale": "scale: 0.5",
        "shift": "shift: 0.5",
        "reduce": "reduce: {axes: channels, mode: max}",
        "flatten": "flatten",
        "dropout": "dropout: 0.5",
        "channel_shuffle": "channel_shuffle: 2",
        "slice": "slice: [1, 3]",
        "relu": "relu",
        "prelu": "prelu",
        "softmax": "softmax",
        "add": "add: {a: [], b: [conv: {channels: 4, kernel: 3, padding: same}]}",
        "multiply": "multiply: {main: [], gate: [global_avg_pool, dense: 4, sigmoid]}",
        "concat": "concat: {a: [], b: [conv: {channels: 2, kernel: 1}]}",
    }.items()
]

MOVED = [
    *rows("layer_norm", SEQUENCE, sequence_all="layer_norm: {axes: all}"),
    *rows(
        "upsample",
        (2, 4),
        sequence_nearest="upsample: 3",
        sequence_linear="upsample: {scale: 2, mode: linear}",
    ),
    *rows(
        "upsample",
        (2, 2, 3, 2),
        volume_nearest="upsample: [2, 1, 3]",
        volume_linear="upsample: {scale: [2, 3, 1], mode: linear}",
        volume_trilinear="upsample: {scale: 2, mode: trilinear}",
    ),
    *rows(
        "pad",
        (2, 5),
        sequence_value="pad: {padding: {left: 2}, value: -1.5}",
        sequence_reflect="pad: {padding: {left: 4, right: 1}, mode: reflect}",
        sequence_edge="pad: {padding: 3, mode: edge}",
    ),
    *rows(
        "pad",
        (2, 3, 2, 3),
        volume="pad: [1, 2, 3]",
        volume_reflect="pad: {padding: {front: 2, bottom: 1, right: 1}, mode: reflect}",
        volume_edge="pad: {padding: {each_side: [1, 0, 2]}, mode: edge}",
    ),
    *rows("slice", SEQUENCE, sequence_every="slice: {length: [1, 6, 2]}"),
    *rows("slice", VOLUME, volume_part="slice: {depth: [1, 3], width: [0, 3, 2]}"),
    *rows("reduce", SEQUENCE, sequence_sum="reduce: {axes: length, mode: sum}"),
    *rows("reduce", VOLUME, volume_least="reduce: {axes: [depth, width], mode: min}"),
    *rows("concat", SEQUENCE, sequence_length="concat: {axis: length, a: [], b: [slice: {length: [0, 2]}]}"),
    *rows("concat", VOLUME, volume_depth="concat: {axis: depth, a: [], b: [slice: {depth: [1, 2]}]}"),
    *rows("crop", SEQUENCE, sequence="crop: 4"),
    *rows("crop", VOLUME, volume="crop: [2, 3, 2]"),
]

TRAINING = [
    Case(
        "batch_norm-training-sequence",
        "batch_norm",
        "- conv: {channels: 3, kernel: 3, stride: 2}\n- batch_norm\n- dropout: 0.2\n- global_avg_pool\n- dense: 4",
        SEQUENCE,
        "{loss: cross_entropy, seed: 1}",
    ),
    Case(
        "batch_norm-training-volume",
        "batch_norm",
        "- conv: {channels: 3, kernel: 2}\n- batch_norm\n- relu\n- max_pool: [1, 2, 2]\n- flatten\n- dense: 4",
        VOLUME,
        "{loss: mean_squared_error, seed: 1}",
    ),
]

CASES: tuple[Case, ...] = (*CONV, *CONV_TRANSPOSE, *POOL, *OTHERS, *MOVED, *TRAINING)
