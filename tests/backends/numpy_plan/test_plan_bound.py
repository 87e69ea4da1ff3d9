"""Calls with fewer axes and without keywords compute the same, in the same memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from cnnspec_numpy.plan.bound import bound, merged
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.arrays import Array


@st.composite
def views(draw: st.DrawFn) -> list[Array]:
    """Three views of one shape with strides of their own; the second may be repeated along some axes."""
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    found = []
    for i in range(3):
        step = [draw(st.integers(1, 2)) if draw(st.booleans()) else 1 for _ in shape]
        order = draw(st.permutations(range(len(shape)))) if draw(st.booleans()) else range(len(shape))
        sizes = [n if i != 1 or draw(st.booleans()) else 1 for n in shape]
        memory = rng.normal(size=[sizes[axis] * step[axis] for axis in order])
        view = memory.transpose(np.argsort(order))[tuple(slice(None, None, s) for s in step)]
        found.append(view)
    return found


@settings(max_examples=300, deadline=None, derandomize=True)
@given(views())
def test_the_result_is_the_same_in_the_same_place(arrays: list[Array]) -> None:
    a, b, out = arrays
    expected = a + b
    call: Any = bound(partial(np.add, a, b, out=out))
    assert not call.keywords
    assert max(x.ndim for x in call.args) <= out.ndim
    call()
    np.testing.assert_array_equal(out, expected)
    out[...] = 0
    bound(partial(np.copyto, out, b))()
    np.testing.assert_array_equal(out, np.broadcast_to(b, out.shape))


def test_arrays_of_one_run_have_one_axis() -> None:
    x, y = np.zeros((2, 1, 3, 4)), np.zeros((1, 1, 1, 1))
    assert [z.shape for z in merged((x, x))] == [(24,), (24,)]
    assert [z.shape for z in merged((y, y))] == [(1,), (1,)]
    assert [z.shape for z in merged((x, np.zeros(4), x))] == [(6, 4), (6, 4), (6, 4)]
    assert merged((x, -1.0, x))[1] == -1.0


def test_what_has_no_simpler_form_stays_as_it_is() -> None:
    x = np.ones((2, 2))
    calls = [
        lambda: None,
        partial(np.einsum, "ij,jk->ik", x, x, out=x.copy()),
        partial(np.add.reduce, x, axis=0, out=np.zeros(2)),
        partial(np.exp, x, out=x, where=x > 0),
    ]
    assert [bound(call) for call in calls] == calls


@pytest.mark.parametrize("function", [np.maximum, np.minimum])
def test_these_take_their_output_by_keyword(function: np.ufunc) -> None:
    x, y, out = np.arange(4.0), np.arange(4.0)[::-1], np.zeros(4)
    bound(partial(function, x, y, out=out))()  # a warning would be an error
    np.testing.assert_array_equal(out, function(x, y))


def test_products_keep_their_axes() -> None:
    x, out = np.random.default_rng(0).normal(size=(2, 3, 3)), np.zeros((2, 3, 3))
    bound(partial(np.matmul, x, x, out=out))()
    np.testing.assert_array_equal(out, x @ x)
