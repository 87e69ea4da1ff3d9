"""Cases of the normalisations, and of what drops numbers in training."""

from __future__ import annotations

from cnnspec.testing.case import IMAGE, VECTOR, network, rows

CASES = [
    *rows("batch_norm", IMAGE, image="batch_norm", eps="batch_norm: {eps: 0.1, momentum: 0.3}"),
    *rows("batch_norm", VECTOR, vector="batch_norm"),
    *rows("layer_norm", IMAGE, channels="layer_norm", all="layer_norm: {axes: all, eps: 0.1}"),
    *rows("layer_norm", VECTOR, vector="layer_norm", vector_all="layer_norm: {axes: all}"),
    *rows(
        "layer_norm",
        IMAGE,
        positions="layer_norm: {axes: [height, width]}",
        one_axis="layer_norm: {axes: width}",
        outer="layer_norm: {axes: [height, channels]}",
    ),
    *rows("layer_norm", (3, 5), length="layer_norm: {axes: length}"),
    *rows("layer_norm", (2, 3, 4, 2), volume_axes="layer_norm: {axes: [channels, depth, width]}"),
    *rows(
        "rms_norm",
        IMAGE,
        channels="rms_norm",
        all="rms_norm: {axes: all, eps: 0.1}",
        positions="rms_norm: {axes: [height, width]}",
        outer="rms_norm: {axes: [channels, height]}",
    ),
    *rows("rms_norm", VECTOR, vector="rms_norm"),
    *rows("instance_norm", IMAGE, image="instance_norm", plain="instance_norm: {affine: false, eps: 0.1}"),
    *rows("instance_norm", (3, 5), sequence="instance_norm"),
    *rows("instance_norm", (2, 3, 4, 2), volume="instance_norm"),
    *rows(
        "group_norm",
        IMAGE,
        two="group_norm: 2",
        one="group_norm: {groups: 1, eps: 0.1}",
        each="group_norm: 4",
    ),
    *rows(
        "local_response_norm",
        (6, 3, 4),
        odd="local_response_norm: {size: 5, alpha: 0.5, k: 2}",
        even="local_response_norm: {size: 4, alpha: 0.5, beta: 0.5}",
        wider_than_channels="local_response_norm: {size: 13, alpha: 2.0}",
        one="local_response_norm: 1",
    ),
    *rows("scale", IMAGE, learned="scale: 0.5", fixed="scale: {value: -0.5, learn: false}"),
    *rows("scale", VECTOR, vector="scale", vector_fixed="scale: {value: 3.0, learn: false}"),
    *rows("reduce", IMAGE, channels="reduce: channels", largest="reduce: {axes: [channels, width], mode: max}"),
    *rows("reduce", IMAGE, smallest="reduce: {axes: height, mode: min}", total="reduce: {axes: all, mode: sum}"),
    *rows("reduce", VECTOR, vector="reduce: {axes: all, mode: max}"),
    *rows("shift", IMAGE, learned="shift: 0.5", fixed="shift: {value: -0.5, learn: false}"),
    *rows("shift", VECTOR, vector="shift", vector_fixed="shift: {value: 3.0, learn: false}"),
    *(
        case
        for kind in ("spatial_dropout", "stochastic_depth")
        for case in (*rows(kind, IMAGE, image=f"{kind}: 0.5"), *rows(kind, VECTOR, vector=f"{kind}: 0.0"))
    ),
    network(
        "batch_norm-frozen",
        """
- conv: {channels: 3, kernel: 2, name: trained}
- batch_norm: {name: norm}
- add: {main: [conv: {channels: 3, kernel: 3, padding: same, name: kept}, dropout: {rate: 0.5, name: drop}], skip: []}
- batch_norm: {name: last}
- flatten
- dense: 3
""",
        (2, 4, 3),
        "{loss: cross_entropy, freeze: [norm, kept, drop]}",
    ),
    network(
        "spatial_dropout-training",
        "- spatial_dropout: 0.4\n- conv: {channels: 3, kernel: 2}\n- flatten\n- dense: 5\n- spatial_dropout: 0.3",
        (5, 3, 4),
        "{loss: mean_squared_error, seed: 3}",
    ),
    network(
        "stochastic_depth-training",
        """
- add: {main: [conv: {channels: 4, kernel: 3, padding: same}, relu, stochastic_depth: 0.4], skip: []}
- add: {main: [conv: {channels: 4, kernel: 1}, {stochastic_depth: {rate: 0.5, name: last}}], skip: []}
- flatten
- dense: 3
""",
        IMAGE,
        "{loss: cross_entropy, seed: 3}",
    ),
]
