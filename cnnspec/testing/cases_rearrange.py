"""Cases of layers that give the same numbers another shape or order."""

from __future__ import annotations

from cnnspec.testing.case import Case, rows

CASES: tuple[Case, ...] = (
    *rows(
        "reshape",
        (12,),
        to_image="reshape: [2, 3, 2]",
        to_rest="reshape: [2, -1, 3]",
        to_sequence="reshape: [-1, 6]",
        to_volume="reshape: [1, 3, 2, 2]",
    ),
    *rows("reshape", (2, 3, 4), image="reshape: [4, 2, 3]", to_vector="reshape: [-1]", same="reshape: [2, 3, 4]"),
    *rows(
        "permute",
        (2, 3, 4),
        rows_first="permute: [height, channels, width]",
        turned="permute: [channels, width, height]",
        round="permute: [width, channels, height]",
        same="permute: [channels, height, width]",
    ),
    *rows("permute", (2, 5), sequence="permute: [length, channels]"),
    *rows("permute", (2, 3, 2, 4), volume="permute: [width, depth, channels, height]"),
    *rows(
        "depth_to_space",
        (12, 2, 3),
        plain="depth_to_space: 2",
        dcr="depth_to_space: {block: 2, mode: dcr}",
        oblong="depth_to_space: {block: [3, 2]}",
        oblong_dcr="depth_to_space: {block: [1, 3], mode: dcr}",
    ),
    *rows("depth_to_space", (6, 4), sequence="depth_to_space: 3", sequence_dcr="depth_to_space: {block: 2, mode: dcr}"),
    *rows("depth_to_space", (8, 2, 1, 2), volume="depth_to_space: 2"),
    *rows(
        "space_to_depth",
        (2, 4, 6),
        plain="space_to_depth: 2",
        dcr="space_to_depth: {block: 2, mode: dcr}",
        oblong="space_to_depth: {block: [4, 3]}",
    ),
    *rows("space_to_depth", (2, 6), sequence="space_to_depth: {block: 3, mode: dcr}"),
    *rows("space_to_depth", (1, 2, 4, 2), volume="space_to_depth: [2, 2, 1]"),
    *rows("adaptive_max_pool", (2, 7, 5), one="adaptive_max_pool: 1", uneven="adaptive_max_pool: [3, 2]"),
    *rows("adaptive_max_pool", (2, 9), sequence="adaptive_max_pool: 4"),
    *rows("adaptive_max_pool", (2, 3, 4, 5), volume="adaptive_max_pool: [2, 4, 3]"),
    *(
        case
        for kind in ("max_pool", "avg_pool")
        for case in rows(
            kind,
            (2, 7, 8),
            dilated=f"{kind}: {{kernel: 2, dilation: 3, stride: 1}}",
            dilated_padding=f"{kind}: {{kernel: [3, 2], dilation: [2, 1], stride: 2, padding: 2}}",
            dilated_ceil=f"{kind}: {{kernel: 2, dilation: [2, 3], stride: 3, rounding: ceil}}",
        )
    ),
    *rows(
        "avg_pool", (2, 7, 8), dilated_uncounted="avg_pool: {kernel: 3, dilation: 2, padding: 4, count_padding: false}"
    ),
    *rows("max_pool", (2, 9), dilated_sequence="max_pool: {kernel: 3, dilation: 2, stride: 1, padding: same}"),
)
