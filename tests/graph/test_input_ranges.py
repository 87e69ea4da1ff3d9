"""The pixels that a unit reads are exactly those whose change reaches it."""

from __future__ import annotations

import numpy as np
import pytest

import cnnspec
from cnnspec.graph.costs import receptive_fields
from cnnspec.graph.input_ranges import centre, input_ranges, unit_range
from cnnspec.layers.geometry import span

LENET = cnnspec.load("lenet").graph


def boxes(text: str) -> dict[str, list[tuple[range, ...]]]:
    """What the units of each layer's first row and column read."""
    graph = cnnspec.loads(text).graph
    ranges = input_ranges(graph, graph.inputs[0])
    return {
        name: [unit_range(axes, [i] * len(graph.by_name[name].shape[1:])) for i in range(min(map(len, axes)))]
        for name, axes in ranges.items()
    }


@pytest.mark.parametrize("name", ["conv1", "max_pool1", "conv2", "max_pool2"])
def test_units_of_lenet_react_to_their_pixels_and_no_others(name: str) -> None:
    """Every unit of the maps: the centre, the corners, and what lies between."""
    graph = LENET
    model = cnnspec.build("lenet", dtype="float64", numerics="strict")
    model.load({key: np.abs(value) + 0.1 for key, value in model.state().items()})
    x = np.random.default_rng(0).random((1, 1, 28, 28))
    before = model.trace(x)[name][0].max(axis=0)
    axes = input_ranges(graph, "input")[name]
    for axis in (0, 1):
        reacts: list[list[int]] = [[] for _ in axes[axis]]
        for i in range(28):
            moved = x.copy()
            moved[(0, 0, i, slice(None)) if axis == 0 else (0, 0, slice(None), i)] += 3.0
            changed = (model.trace(moved)[name][0].max(axis=0) != before).any(axis=1 - axis)
            for unit in np.flatnonzero(changed):
                reacts[unit].append(i)
        assert [span(found) for found in reacts] == list(axes[axis])


@pytest.mark.parametrize("spec", ["resnet50", "unet_padded", "efficientnet_b0"])
def test_the_largest_box_is_the_receptive_field(spec: str) -> None:
    """Where the field of the centre does not reach the border, it is as long as the checker says."""
    graph = cnnspec.load(spec).graph
    fields = receptive_fields(graph)
    for name, axes in input_ranges(graph, graph.inputs[0]).items():
        node = graph.by_name[name]
        if len(node.shape) == 1:
            continue
        for axis, field, n in zip(axes, fields[name], graph.input.shape[1:], strict=True):
            longest = max(map(len, axis))
            assert longest <= field.size
            inside = [found for found in axis if found.start > 0 and found.stop < n]
            if inside and node.inputs:
                assert max(map(len, inside)) <= field.size <= longest + 1


def test_a_border_clips_and_an_enlargement_repeats() -> None:
    found = boxes(
        "input: [1, 6, 6]\nlayers: [conv: {channels: 1, kernel: 3, padding: same}, max_pool: 2, upsample: 2]\n"
    )
    assert found["conv1"][0] == (range(2), range(2))
    assert found["max_pool1"] == [(range(3), range(3)), (range(1, 5), range(1, 5)), (range(3, 6), range(3, 6))]
    assert found["upsample1"][0] == found["upsample1"][1] == found["max_pool1"][0]


def test_branches_join_and_a_gate_reads_everything() -> None:
    text = "input: [2, 8, 8]\nlayers:\n  - multiply: {main: [], gate: [global_avg_pool, dense: 2]}\n"
    assert set(boxes(text)["multiply1"]) == {(range(8), range(8))}
    text = "input: [1, 8, 8]\nlayers:\n  - add: {main: [conv: {channels: 1, kernel: 5, padding: same}], skip: []}\n"
    assert boxes(text)["add1"][4] == (range(2, 7), range(2, 7))


def test_what_does_not_depend_on_an_input_is_left_out() -> None:
    graph = cnnspec.load("siamese").graph
    first, second = (input_ranges(graph, name) for name in graph.inputs)
    assert graph.inputs[1] not in first
    assert graph.inputs[0] not in second
    assert input_ranges(cnnspec.load("mlp").graph, "input").keys() <= set(cnnspec.load("mlp").graph.by_name)


def test_the_centre() -> None:
    assert centre(LENET.by_name["conv2"]) == (4, 4)
    assert centre(LENET.by_name["dense3"]) == ()
