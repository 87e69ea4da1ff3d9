"""The table of test cases: every kind of layer, in every variant of its fields, as small networks."""

from __future__ import annotations

from cnnspec.testing import cases_activation, cases_merge, cases_norm, cases_positions, cases_ranks, cases_rearrange
from cnnspec.testing.case import IMAGE, VECTOR, Case, network, rows

CONV = rows(
    "conv",
    (3, 7, 6),
    plain="conv: {channels: 4, kernel: 3}",
    pointwise="conv: {channels: 5, kernel: 1}",
    pointwise_stride="conv: {channels: 2, kernel: 1, stride: 2}",
    no_bias="conv: {channels: 2, kernel: 2, bias: false}",
    oblong="conv: {channels: 2, kernel: [3, 2], stride: [2, 1]}",
    whole_image="conv: {channels: 2, kernel: [7, 6]}",
    stride_leaves_rest="conv: {channels: 2, kernel: 2, stride: [3, 4]}",
    stride_beyond_kernel="conv: {channels: 2, kernel: [1, 2], stride: 3}",
    padding_total="conv: {channels: 2, kernel: 3, padding: 4}",
    padding_odd_total="conv: {channels: 2, kernel: 3, padding: 3}",
    padding_pair="conv: {channels: 2, kernel: 3, padding: [1, 4]}",
    padding_beyond_kernel="conv: {channels: 2, kernel: 1, padding: 4}",
    padding_valid="conv: {channels: 2, kernel: 3, padding: valid}",
    same_odd="conv: {channels: 2, kernel: 3, padding: same}",
    same_even="conv: {channels: 2, kernel: [4, 2], padding: same}",
    same_stride="conv: {channels: 2, kernel: [3, 4], stride: 2, padding: same}",
    same_upper="conv: {channels: 2, kernel: [3, 4], stride: 2, padding: same_upper}",
    same_lower="conv: {channels: 2, kernel: [3, 4], stride: 2, padding: same_lower}",
    same_dilated="conv: {channels: 2, kernel: [2, 3], dilation: 2, padding: same}",
    each_side="conv: {channels: 2, kernel: 3, padding: {each_side: 1}}",
    each_side_pair="conv: {channels: 2, kernel: 3, padding: {each_side: [0, 2]}}",
    four_sides="conv: {channels: 2, kernel: 3, stride: 2, padding: {top: 0, bottom: 2, left: 3, right: 1}}",
    dilation="conv: {channels: 2, kernel: 3, dilation: 2}",
    dilation_pair="conv: {channels: 2, kernel: [2, 3], dilation: [3, 1], stride: [1, 2], padding: 1}",
    flip="conv: {channels: 2, kernel: [3, 2], flip: true}",
    flip_same_even="conv: {channels: 2, kernel: 2, padding: same, flip: true}",
    depthwise="conv: {channels: 3, kernel: 3, groups: 3, padding: same}",
    depthwise_multiplier="conv: {channels: 6, kernel: 3, groups: 3, stride: 2}",
) + rows(
    "conv",
    (4, 5, 6),
    groups="conv: {channels: 6, kernel: 3, groups: 2, padding: same}",
    groups_stride_dilation="conv: {channels: 2, kernel: 2, groups: 2, stride: 2, dilation: 2, padding: 1}",
    groups_pointwise="conv: {channels: 4, kernel: 1, groups: 2}",
    groups_flip="conv: {channels: 4, kernel: 2, groups: 2, flip: true}",
)

# Enough channels for the algorithms that are only used for many.
CONV_WIDE = rows("conv", (16, 5, 4), wide="conv: {channels: 16, kernel: 3, padding: same}")

CONV_TRANSPOSE = rows(
    "conv_transpose",
    (3, 4, 5),
    plain="conv_transpose: {channels: 2, kernel: 3}",
    pointwise="conv_transpose: {channels: 2, kernel: 1}",
    no_bias="conv_transpose: {channels: 2, kernel: 2, bias: false}",
    stride="conv_transpose: {channels: 2, kernel: 2, stride: 2}",
    stride_overlap="conv_transpose: {channels: 2, kernel: [4, 3], stride: [2, 1]}",
    stride_gaps="conv_transpose: {channels: 2, kernel: 2, stride: 3}",
    padding="conv_transpose: {channels: 2, kernel: 4, stride: 2, padding: 2}",
    padding_odd="conv_transpose: {channels: 2, kernel: 3, stride: 2, padding: 1}",
    padding_four_sides="conv_transpose: {channels: 2, kernel: 4, padding: {top: 1, bottom: 3, left: 2}}",
    same="conv_transpose: {channels: 2, kernel: [3, 4], stride: 2, padding: same}",
    same_upper="conv_transpose: {channels: 2, kernel: 3, stride: 2, padding: same_upper}",
    same_lower="conv_transpose: {channels: 2, kernel: 3, stride: 2, padding: same_lower}",
    same_gaps="conv_transpose: {channels: 2, kernel: 2, stride: 3, padding: same}",
    output_padding="conv_transpose: {channels: 2, kernel: 3, stride: [3, 2], padding: 2, output_padding: [2, 1]}",
    dilation="conv_transpose: {channels: 2, kernel: [2, 3], dilation: 2, stride: [1, 2], padding: 1}",
    dilated_output_padding="conv_transpose: {channels: 2, kernel: 2, dilation: 2, output_padding: 1}",
    depthwise="conv_transpose: {channels: 3, kernel: 2, stride: 2, groups: 3}",
) + rows(
    "conv_transpose",
    (4, 3, 4),
    groups="conv_transpose: {channels: 6, kernel: 3, stride: 2, groups: 2, padding: {each_side: 1}}",
)

DENSE = rows("dense", VECTOR, plain="dense: 4", no_bias="dense: {units: 3, bias: false}", one="dense: 1")

FORMS = {
    "plain": "kernel: 2",
    "overlap": "kernel: 3, stride: 2",
    "gaps": "kernel: 2, stride: 3",
    "stride_one": "kernel: [2, 3], stride: 1",
    "oblong": "kernel: [3, 1], stride: [1, 2]",
    "whole_image": "kernel: [6, 5]",
    "padding": "kernel: 3, stride: 2, padding: 2",
    "padding_odd": "kernel: 2, stride: 1, padding: 1",
    "padding_four_sides": "kernel: 3, stride: 2, padding: {top: 1, left: 2, right: 1}",
    "same": "kernel: [2, 3], stride: 1, padding: same",
    "same_upper": "kernel: 3, stride: 2, padding: same_upper",
    "same_lower": "kernel: 3, stride: 2, padding: same_lower",
    "ceil": "kernel: 2, rounding: ceil",
    "ceil_overhang": "kernel: 3, stride: [2, 4], rounding: ceil",
    "ceil_padding": "kernel: 3, stride: [2, 3], padding: 1, rounding: ceil",
    "ceil_dropped": "kernel: 2, stride: [7, 3], padding: {each_side: 1}, rounding: ceil",
}

POOL = [
    *rows("max_pool", (2, 6, 5), **{name: f"max_pool: {{{fields}}}" for name, fields in FORMS.items()}),
    *rows("avg_pool", (2, 6, 5), **{name: f"avg_pool: {{{fields}}}" for name, fields in FORMS.items()}),
    *rows(
        "avg_pool",
        (2, 6, 5),
        **{
            f"{name}_uncounted": f"avg_pool: {{{FORMS[name]}, count_padding: false}}"
            for name in ("padding", "padding_four_sides", "same", "ceil_overhang", "ceil_padding")
        },
    ),
    *rows("global_avg_pool", IMAGE, image="global_avg_pool"),
    *rows("global_max_pool", IMAGE, image="global_max_pool"),
    *rows(
        "adaptive_avg_pool",
        (2, 7, 5),
        one="adaptive_avg_pool: 1",
        uneven="adaptive_avg_pool: [3, 2]",
        same_size="adaptive_avg_pool: [7, 5]",
        larger="adaptive_avg_pool: [4, 8]",
    ),
]

MOVED = [
    *rows("flatten", (2, 3, 4), image="flatten"),
    *rows("flatten", VECTOR, vector="flatten"),
    *rows("dropout", IMAGE, image="dropout: 0.5"),
    *rows("dropout", VECTOR, vector="dropout: 0.0"),
    *rows(
        "upsample",
        (2, 4, 3),
        nearest="upsample: [2, 3]",
        nearest_one="upsample: [1, 2]",
        bilinear="upsample: {scale: 2, mode: bilinear}",
        bilinear_uneven="upsample: {scale: [3, 4], mode: bilinear}",
        bilinear_one="upsample: {scale: [1, 3], mode: bilinear}",
    ),
    *rows("upsample", (2, 1, 1), bilinear_pixel="upsample: {scale: 3, mode: bilinear}"),
    *rows(
        "pad",
        (2, 4, 5),
        zeros="pad: 3",
        value="pad: {padding: {top: 1, right: 2}, value: -1.5}",
        reflect="pad: {padding: {top: 3, bottom: 1, left: 0, right: 4}, mode: reflect}",
        edge="pad: {padding: {top: 0, bottom: 5, left: 2, right: 1}, mode: edge}",
        each_side="pad: {padding: {each_side: [1, 2]}, mode: reflect}",
        nothing="pad: 0",
    ),
    *rows("crop", (2, 6, 5), odd="crop: [3, 2]", even="crop: [4, 3]", whole="crop: [6, 5]"),
    *rows(
        "channel_shuffle", (6, 2, 3), two="channel_shuffle: 2", three="channel_shuffle: 3", each="channel_shuffle: 6"
    ),
    *rows("slice", IMAGE, middle="slice: [1, 3]", first="slice: [0, 1]"),
    *rows("slice", VECTOR, vector="slice: [2, 7]"),
    *rows("slice", IMAGE, rows="slice: {height: [1, 3]}", every="slice: {channels: [0, 4, 3], width: [1, 5, 2]}"),
]

TOWERS = """
- concat:
    a: [slice: [0, 2], conv: {name: one, channels: 2, kernel: 2}, batch_norm: {name: norm}, relu]
    b: [slice: [2, 4], conv: {share: one, channels: 2, kernel: 2}, batch_norm: {share: norm}, relu]
- flatten
- dense: {name: first, units: 3}
- tanh
- dense: {name: second, units: 3}
- dense: {share: second, units: 3}
"""

# Layers that differ in training, and losses.
TRAINING = [
    network("conv-shared", TOWERS, IMAGE, "{loss: cross_entropy, seed: 2}"),
    network(
        "batch_norm-training",
        "- conv: {channels: 3, kernel: 2}\n- batch_norm: {momentum: 0.3}\n- relu\n- flatten\n- dense: 4",
        (2, 4, 3),
        "{loss: cross_entropy, seed: 1}",
    ),
    network("batch_norm-training-vector", "- batch_norm: {eps: 0.1}", VECTOR, "{loss: mean_squared_error}"),
    network(
        "dropout-training",
        "- dropout: 0.4\n- flatten\n- dense: 5\n- dropout: {rate: 0.3, name: last}",
        (2, 3, 4),
        "{loss: mean_squared_error, seed: 3}",
    ),
    network("dense-label-smoothing", "- dense: 5", VECTOR, "{loss: {cross_entropy: {label_smoothing: 0.1}}}"),
    network("dense-class-weights", "- dense: 4", VECTOR, "{loss: {cross_entropy: {class_weights: [1, 2, 0.5, 3]}}}"),
    network(
        "conv-cross-entropy-map",
        "- conv: {channels: 3, kernel: 3}",
        IMAGE,
        "{loss: {cross_entropy: {class_weights: [1, 2, 0.5], ignore: 2, label_smoothing: 0.1}}}",
    ),
    network("conv-dice", "- conv: {channels: 3, kernel: 3}", IMAGE, "{loss: {dice: {background: false, ignore: 1}}}"),
    network("conv-dice-binary", "- conv: {channels: 1, kernel: 3}", IMAGE, "{loss: {dice: 0.5}}"),
    network("dense-binary-cross-entropy", "- dense: 5", VECTOR, "{loss: {binary_cross_entropy: [1, 2, 0.5, 3, 1]}}"),
    network("conv-binary-cross-entropy", "- conv: {channels: 2, kernel: 3}", IMAGE, "{loss: binary_cross_entropy}"),
    network("conv-l1", "- conv: {channels: 2, kernel: 3}", IMAGE, "{loss: l1}"),
    network("dense-huber", "- dense: 5", VECTOR, "{loss: {huber: 0.7}}"),
    network("conv-mean-squared-error", "- conv: {channels: 2, kernel: 3}", IMAGE, "{loss: mean_squared_error}"),
]

CASES: tuple[Case, ...] = (
    *CONV,
    *CONV_WIDE,
    *CONV_TRANSPOSE,
    *DENSE,
    *POOL,
    *cases_norm.CASES,
    *MOVED,
    *cases_activation.CASES,
    *cases_merge.CASES,
    *TRAINING,
    *cases_positions.CASES,
    *cases_ranks.CASES,
    *cases_rearrange.CASES,
)
"""Every layer in every variant of its fields."""
