"""Views of a node's value: every chain of reshapes and transposes is what NumPy makes of it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.interop.importer.network import Network, Unsupported
from cnnspec.interop.importer.view import View
from cnnspec.runtime.build import build

BATCH = 5


def as_seen(view: View, x: np.ndarray) -> np.ndarray:
    ones = [i for i in range(len(view.factors)) if i not in view.order]
    return x.reshape(view.factors).transpose([*view.order, *ones]).reshape(view.shape)


@st.composite
def changes(draw):
    """A shape of a sample, and reshapes and transposes of it that keep the batch first."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3)))
    steps = []
    sizes = list(shape)
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            order = draw(st.permutations(range(len(sizes))))
            steps.append(("transpose", tuple(order)))
            sizes = [sizes[i] for i in order]
        else:
            count = math.prod(sizes)
            first = draw(st.sampled_from([d for d in range(1, count + 1) if count % d == 0]))
            rest = count // first
            second = draw(st.sampled_from([d for d in range(1, rest + 1) if rest % d == 0]))
            sizes = [first, second, rest // second][: draw(st.integers(1, 3))]
            sizes[-1] = count // math.prod(sizes[:-1])
            steps.append(("reshape", tuple(sizes)))
    return shape, steps


@given(changes())
def test_a_view_is_what_numpy_computes(drawn):
    shape, steps = drawn
    x = np.arange(BATCH * math.prod(shape)).reshape(BATCH, *shape)
    expected, view = x, View.of(BATCH, shape)
    for kind, argument in steps:
        if kind == "transpose":
            order = (0, *(1 + i for i in argument))
            expected, view = expected.transpose(order), view.transposed(order)
        else:
            expected = expected.reshape(BATCH, *argument)
            found = view.reshaped((BATCH, *argument))
            if found is None:
                return  # it moves what a view cannot split
            view = found
        assert view.shape == expected.shape
        np.testing.assert_array_equal(as_seen(view, x), expected)
        simple = view.simplified()
        np.testing.assert_array_equal(as_seen(simple, x), expected)


@given(changes())
def test_the_layers_of_a_view_compute_it(drawn):
    shape, steps = drawn
    network = Network("moved", BATCH)
    value = network.input("input", shape)
    x = np.random.default_rng(0).normal(size=(BATCH, *shape))
    expected = x
    try:
        for kind, argument in steps:
            if kind == "transpose":
                order = (0, *(1 + i for i in argument))
                expected, value = expected.transpose(order), value.seen(value.view.transposed(order))
            else:
                expected, value = expected.reshape(BATCH, *argument), network.reshaped(value, (BATCH, *argument))
        plain = network.plain(value)
    except Unsupported:
        return
    assert plain.shape == expected.shape
    graph = network.builder.graph([plain.node])
    if len(graph.nodes) > 1:
        np.testing.assert_array_equal(build(graph, dtype="float64").run({"input": x})[plain.node], expected)


@pytest.mark.parametrize(
    ("shape", "split", "order", "target", "kind"),
    [
        ((12, 4, 6), (3, 4, 4, 6), (1, 0, 2, 3), (12, 4, 6), "channel_shuffle"),
        ((12, 4, 6), (3, 2, 2, 4, 6), (0, 3, 1, 4, 2), (3, 8, 12), "depth_to_space"),
        ((12, 4, 6), (2, 2, 3, 4, 6), (2, 3, 0, 4, 1), (3, 8, 12), "depth_to_space"),
        ((3, 8, 12), (3, 4, 2, 6, 2), (0, 2, 4, 1, 3), (12, 4, 6), "space_to_depth"),
        ((3, 4, 6), (3, 4, 6), (2, 0, 1), (6, 3, 4), "permute"),
        ((3, 4, 6), (3, 4, 6), (0, 1, 2), (72,), "flatten"),
        ((72,), (72,), (0,), (3, 4, 6), "reshape"),
    ],
)
def test_what_is_moved_is_the_layer_of_that_name(shape, split, order, target, kind):
    network = Network("moved", BATCH)
    value = network.input("input", shape)
    split_value = network.reshaped(value, (BATCH, *split))
    moved = split_value.seen(split_value.view.transposed((0, *(1 + i for i in order))))
    network.plain(network.reshaped(moved, (BATCH, *target)))
    assert [node.kind for node in network.builder.nodes[1:]] == [kind]


def test_a_reshape_that_mixes_samples_is_refused():
    network = Network("moved", BATCH)
    value = network.input("input", (4, 6))
    with pytest.raises(Unsupported, match="not the batch alone"):
        network.plain(network.reshaped(value, (BATCH * 4, 6)))
