"""Cases of the normalisations."""

from __future__ import annotations

from cnnspec.testing.case import IMAGE, VECTOR, rows

CASES = [
    *rows("batch_norm", IMAGE, image="batch_norm", eps="batch_norm: {eps: 0.1, momentum: 0.3}"),
    *rows("batch_norm", VECTOR, vector="batch_norm"),
    *rows("layer_norm", IMAGE, channels="layer_norm", all="layer_norm: {axes: all, eps: 0.1}"),
    *rows("layer_norm", VECTOR, vector="layer_norm", vector_all="layer_norm: {axes: all}"),
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
]
