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
    network("concat-rows", "- concat: {axis: height, a: [], b: [slice: {height: [1, 3]}], c: [relu]}"),
    network("concat-nested", "- concat: {a: [add: {x: [], y: [relu]}], b: [concat: {x: [slice: [0, 1]], y: []}]}"),
    *(
        case
        for kind in ("subtract", "divide", "maximum", "minimum", "mean")
        for case in (
            network(f"{kind}-three", f"- {kind}: {{a: [], b: [exp], c: [softplus]}}"),
            network(f"{kind}-gate", f"- {kind}: {{a: [], b: [global_avg_pool, dense: 4, softplus]}}"),
            network(f"{kind}-vector-first", f"- {kind}: {{a: [global_avg_pool, exp], b: [exp]}}"),
            network(f"{kind}-both-stretch", f"- {kind}: {{a: [avg_pool: [1, 5]], b: [avg_pool: [6, 1], exp]}}"),
            network(f"{kind}-vectors", f"- {kind}: {{a: [], b: [dense: 7, exp]}}", VECTOR),
            network(f"{kind}-volumes", f"- {kind}: {{a: [], b: [softplus]}}", (2, 3, 2, 2)),
        )
    ),
    network("matmul-images", "- matmul: {a: [softmax: width], b: [conv: {channels: 4, kernel: [2, 3]}]}"),
    network("matmul-one-channel", "- matmul: {a: [], b: [conv: {channels: 1, kernel: [2, 3]}]}"),
    network("matmul-sequences", "- matmul: {a: [], b: [conv: {channels: 6, kernel: 3}]}", (4, 6)),
    network("matmul-volumes", "- matmul: {a: [slice: [0, 1]], b: [avg_pool: [1, 1, 2]]}", (2, 3, 4, 4)),
]
