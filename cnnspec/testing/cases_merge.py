"""Cases of the merges."""

from __future__ import annotations

from cnnspec.testing.case import VECTOR, network

CASES = [
    network("add-vectors", "- add: {a: [dense: 7], b: [dense: 7]}", VECTOR),
    network(
        "add-identity",
        """
- add:
    main: [conv: {channels: 4, kernel: 3, padding: same}, relu]
    skip: []
- relu
""",
    ),
    network("add-three", "- add: {a: [conv: {channels: 4, kernel: 1}], b: [], c: [sigmoid]}"),
    network("add-twice-itself", "- tanh\n- add: {a: [], b: []}"),
    network(
        "add-from-name",
        """
- conv: {name: early, channels: 3, kernel: 3, padding: same}
- relu
- conv: {channels: 3, kernel: 3, padding: same}
- add: {main: [], skip: [from: early]}
- add: {main: [], again: [from: early, sigmoid]}
""",
    ),
    network("multiply-same-shape", "- multiply: {a: [], b: [sigmoid], c: [tanh]}"),
    network(
        "multiply-gate",
        """
- multiply:
    main: []
    gate: [adaptive_avg_pool: 1, conv: {channels: 4, kernel: 1, activation: sigmoid}]
""",
    ),
    network("multiply-vector-gate", "- multiply: {gate: [global_avg_pool, dense: 4, sigmoid], main: []}"),
    network(
        "multiply-one-channel", "- multiply: {main: [], map: [conv: {channels: 1, kernel: 1, activation: sigmoid}]}"
    ),
    network("multiply-both-stretch", "- multiply: {rows: [avg_pool: [1, 5]], columns: [avg_pool: [6, 1]]}"),
    network("multiply-vectors", "- multiply: {a: [], b: [dense: 7]}", VECTOR),
    network(
        "concat-three",
        """
- concat:
    one: [conv: {channels: 2, kernel: 1}]
    three: [conv: {channels: 3, kernel: 3, padding: same}]
    pool: [max_pool: {kernel: 3, stride: 1, padding: same}]
- conv: {channels: 2, kernel: 1}
""",
    ),
    network(
        "concat-long-skip",
        """
- conv: {name: encoder, channels: 2, kernel: 3, padding: same, activation: relu}
- max_pool: {kernel: 2, rounding: ceil}
- conv: {channels: 3, kernel: 1}
- upsample: 2
- crop: [6, 5]
- concat: {up: [], skip: [from: encoder]}
""",
    ),
    network("concat-vectors", "- concat: {a: [dense: 2], b: [], c: [dense: 1]}", VECTOR),
    network("concat-nested", "- concat: {a: [add: {x: [], y: [relu]}], b: [concat: {x: [slice: [0, 1]], y: []}]}"),
]
