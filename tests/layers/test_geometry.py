"""Window arithmetic against counting: windows are placed one by one, and what fits is counted."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cnnspec.layers.geometry import (
    Axis,
    ReceptiveField,
    adaptive_window,
    centred,
    split_total,
    transposed_window,
    window,
)

sizes = st.integers(1, 40)
kernels = st.integers(1, 9)
strides = st.integers(1, 6)
dilations = st.integers(1, 4)
pads = st.integers(0, 8)
sides = st.tuples(pads, pads)
paddings = st.one_of(
    st.sampled_from(["valid", "same", "same_upper", "same_lower"]),
    pads.map(split_total),
    sides,
)


def starts(axis: Axis) -> list[int]:
    """Where windows start, counted from the first padded element, found by placing one after the other."""
    extent = axis.before + axis.n + axis.after
    tap_of_last = axis.dilation * (axis.kernel - 1)
    found: list[int] = []
    for start in itertools.count(0, axis.stride):
        fits = start + tap_of_last < extent
        if fits:
            found.append(start)
            continue
        # A ceil rounding lets one more window stick out at the end, if the last one left elements unseen;
        # but it may not start in the trailing padding.
        unseen = bool(found) and found[-1] + tap_of_last < extent - 1
        if axis.ceil and unseen and start < axis.before + axis.n:
            found.append(start)
        return found
    raise AssertionError


@given(sizes, kernels, strides, paddings, dilations)
def test_out_counts_the_places_of_the_window(n, kernel, stride, padding, dilation):
    found = window(n, kernel, stride, padding, dilation)
    if found.out >= 1:
        assert found.out == len(starts(found))
    else:
        assert starts(found) == []


@given(sizes, kernels, strides, st.data())
def test_ceil_counts_the_window_that_sticks_out(n, kernel, stride, data):
    side = st.integers(0, kernel - 1)  # as pools demand, so that no window lies in the padding alone
    ends = st.tuples(side, side)
    padding = data.draw(st.one_of(st.sampled_from(["valid", "same"]), ends))
    found = window(n, kernel, stride, padding, ceil=True)
    assume(n + found.p >= kernel)
    placed = starts(found)
    assert found.out == len(placed)
    assert found.extra == max(0, placed[-1] + kernel - (n + found.p))
    assert found.extra < kernel


@given(sizes, kernels, strides, paddings)
def test_floor_never_overhangs(n, kernel, stride, padding):
    found = window(n, kernel, stride, padding)
    assume(found.out >= 1)
    assert found.extra == 0


@pytest.mark.parametrize(("n", "kernel", "stride", "before", "after", "out"), [(5, 2, 2, 0, 0, 3), (4, 2, 3, 1, 1, 2)])
def test_ceil_by_hand(n, kernel, stride, before, after, out):
    # Five elements, windows at 0, 2 and 4, the last half full. Padded four: at 0 and 3; 6 would start behind the end.
    assert Axis(n, kernel, stride, before, after, ceil=True).out == out


def test_ceil_drops_the_window_that_would_start_in_the_trailing_padding():
    # Four elements and one on each side, window 2, stride 5: places 0 and 5; 5 holds only trailing padding.
    assert Axis(4, 2, 5, 1, 1, ceil=True).out == 1
    assert Axis(5, 2, 5, 1, 1, ceil=True).out == 2


@given(sizes, kernels, strides, dilations)
def test_same_keeps_one_place_for_every_stride(n, kernel, stride, dilation):
    found = window(n, kernel, stride, "same", dilation)
    assert found.out == -(-n // stride)
    assert found.p == found.k - 1
    assert found.before - found.after in (0, 1)  # an odd total puts the extra row on top


def test_an_even_kernel_has_its_extra_row_on_top():
    found = window(8, 4, 1, "same")
    assert (found.before, found.after) == (2, 1)
    assert split_total(3) == (2, 1)


def tensorflow_total(n: int, k: int, stride: int) -> int:
    """The total padding of `SAME`, as TensorFlow's guide to convolution writes it."""
    if n % stride == 0:
        return max(k - stride, 0)
    return max(k - n % stride, 0)


@given(sizes, kernels, strides, dilations)
def test_same_upper_and_lower_are_tensorflows_rule(n, kernel, stride, dilation):
    upper = window(n, kernel, stride, "same_upper", dilation)
    lower = window(n, kernel, stride, "same_lower", dilation)
    total = tensorflow_total(n, upper.k, stride)
    assert (upper.before, upper.after) == (total // 2, total - total // 2)
    assert (lower.before, lower.after) == (total - total // 2, total // 2)
    assert upper.out == lower.out == -(-n // stride)


# Transposed windows


@given(
    sizes,
    kernels,
    strides,
    st.one_of(st.just("valid"), sides),
    dilations,
)
def test_a_transposed_window_goes_back(n, kernel, stride, padding, dilation):
    """What a window leaves out of the count at the end is the extra that the way back needs."""
    there = window(n, kernel, stride, padding, dilation)
    assume(there.out >= 1)
    left_out = (n - there.k + there.p) % stride
    back = transposed_window(there.out, kernel, stride, padding, dilation, left_out)
    assert back.out == n


@given(sizes, kernels, strides, dilations)
def test_a_transposed_window_reaches_what_its_taps_reach(n, kernel, stride, dilation):
    reached = {i * stride + tap * dilation for i in range(n) for tap in range(kernel)}
    assert transposed_window(n, kernel, stride, "valid", dilation).out == max(reached) + 1


@given(sizes, kernels, strides, st.sampled_from(["same", "same_upper", "same_lower"]), dilations)
def test_transposed_same_multiplies_by_the_stride(n, kernel, stride, padding, dilation):
    found = transposed_window(n, kernel, stride, padding, dilation)
    assert found.out == n * stride
    assert abs(found.before - found.after) <= 1
    assert found.extra < max(stride, 2)


# Other layouts


@given(sizes, sizes)
def test_adaptive_windows_cover_everything_in_order(n, out):
    bounds = adaptive_window(n, out).bounds
    assert len(bounds) == out
    assert bounds[0][0] == 0
    assert bounds[-1][1] == n
    assert all(start < end for start, end in bounds)
    assert all(b[0] <= a[1] and a[0] <= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(bounds))
    if n % out == 0:
        assert bounds == tuple((i * (n // out), (i + 1) * (n // out)) for i in range(out))


@given(sizes, sizes)
def test_centred_leaves_as_much_before_as_after(n, size):
    assume(size <= n)
    before = centred(n, size)
    assert (n - size - before) - before in (0, 1)  # an odd rest comes after


# Receptive fields


def trace(chain: list[Axis], place: int) -> set[int]:
    """Which inputs a place of the last window depends on, unpadded and by following every tap."""
    seen = {place}
    for axis in reversed(chain):
        seen = {i * axis.stride + tap * axis.dilation for i in seen for tap in range(axis.kernel)}
    return seen


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=4))
def test_receptive_field_is_what_an_output_depends_on(layers):
    n = 400
    field = ReceptiveField.of(n)
    chain: list[Axis] = []
    for kernel, stride, dilation in layers:
        axis = window(field.cells, kernel, stride, "valid", dilation)
        chain.append(axis)
        field = field.slide(axis.k, axis.stride, axis.out)
    seen, neighbour = trace(chain, 0), trace(chain, 1)
    assert field.size == max(seen) - min(seen) + 1
    assert field.step == min(neighbour) - min(seen)
    assert field.cells == chain[-1].out


@given(st.integers(1, 8), strides)
def test_a_transposed_window_is_reached_from_as_many_places_as_overlap(k, stride):
    n = 20
    most = max(sum(i * stride <= y < i * stride + k for i in range(n)) for y in range(n * stride))
    field = ReceptiveField.of(n).transposed(k, stride, n * stride)
    assert field.size == most
    assert field.step == Fraction(1, stride)


@given(sizes, kernels, strides)
def test_a_layer_that_reads_everything_sees_every_input(n, kernel, stride):
    axis = window(n, kernel, stride, "valid")
    assume(axis.out >= 1)
    field = ReceptiveField.of(n).slide(axis.k, stride, axis.out).whole()
    assert field.size == (axis.out - 1) * stride + kernel
    assert field.cells == 1
