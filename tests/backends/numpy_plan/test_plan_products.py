"""How work is divided: products into panels and pieces, rows among lanes, batches into chunks."""

from __future__ import annotations

import numpy as np
import pytest
from cnnspec_numpy.plan import products
from cnnspec_numpy.plan.executor import chunks_of
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.method import Block, blocks_of
from cnnspec_numpy.settings import BUFFER, with_plan_settings
from hypothesis import given
from hypothesis import strategies as st
from plan_comparison import assert_same_outputs, batch, network, prepare, trained

from cnnspec.arrays import Array
from cnnspec.graph.training import CrossEntropy

SIZES = [
    (1, 3, 5),
    (49, 64, 96),
    (392, 64, 64),
    (448, 147, 64),
    (784, 32, 192),
    (98, 128, 128),
    (49, 256, 160),
    (7, 600, 64),
]
"""Rows, their length and output channels."""


@pytest.fixture(params=[True, False], ids=["small products", "one product"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether BLAS is said to have kernels for small products."""
    monkeypatch.setattr(products, "has_small_products", lambda: request.param)
    return bool(request.param)


def random(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape)


def assert_computes(call: Call, small: bool, out: Array, expected: Array) -> None:
    """Check the result, and that no product has more multiplications than a small one where there are such."""
    call()
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    x, y = call.args  # type: ignore[attr-defined]
    count = x.shape[-2] * x.shape[-1] * y.shape[-1]
    assert (count <= products.SMALL) if small else (count == x.shape[-2] * x.shape[-1] * out.shape[-1])


@pytest.mark.parametrize("count", [(), (3,)], ids=str)
@pytest.mark.parametrize(("p", "k", "o"), SIZES)
def test_rows_times_panels(p: int, k: int, o: int, count: tuple[int, ...], small: bool) -> None:
    x, weight = random(*count, p, k), random(*count, k, o)
    out = np.empty((*count, p, o + 2))[..., 1:-1]  # rows that do not follow each other
    width = products.panel_width(p, k, o)
    assert o % width == 0
    panels = products.in_panels(weight, width)
    assert_computes(products.times_panels(x, panels, out), small, out, x @ weight)


@pytest.mark.parametrize(
    ("p", "k", "o"), [(49, 2304, 512), (20, 4608, 64), (64, 1024, 96), (5, 10, 32), (65, 2304, 64)]
)
def test_sums_of_products_of_long_rows(p: int, k: int, o: int, small: bool) -> None:
    x, weight = random(p, k), random(k, o)
    depth = products.panel_depth(p, k, o)
    assert (depth < k) is (small and p * k * 32 > products.SMALL and p <= 64)
    panels = products.in_panels(weight.reshape(-1, depth, o), products.panel_width(p, depth, o))
    out = np.empty((p, o))
    for call in products.sum_of_products(x, panels, np.empty(k // depth * p * o), out):
        call()
    np.testing.assert_allclose(out, x @ weight, rtol=0, atol=1e-11)


@pytest.mark.parametrize("count", [(), (4,)], ids=str)
@pytest.mark.parametrize(("m", "k", "columns"), [(16, 16, 7168), (4, 16, 12544), (30, 80, 512), (6, 6, 7)])
def test_a_matrix_times_long_rows(m: int, k: int, columns: int, count: tuple[int, ...], small: bool) -> None:
    matrix, x, out = random(m, k), random(*count, k, columns), np.empty((*count, m, columns))
    assert_computes(products.times_columns(matrix, x, out), small, out, matrix @ x)


LAYERS = [
    "conv: {channels: 128, kernel: 3, padding: same, activation: relu}",
    "conv: {channels: 96, kernel: 1}",
    "conv: {channels: 64, kernel: 3, stride: 2}",
]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.usefixtures("small")
def test_convolutions_of_many_channels(layer: str, threads: int) -> None:
    graph = network(layer, (128, 15, 14))
    assert_same_outputs(prepare(graph, threads=threads), prepare(graph, "strict"), (1,))


@given(st.integers(1, 5), st.integers(2, 40), st.integers(1, 50), st.integers(1, 4), st.booleans())
def test_lanes_have_equally_many_rows(n: int, rows: int, limit: int, lanes: int, even: bool) -> None:
    unit = 2 if even else 1
    blocks = blocks_of(n, rows, limit, lanes, even)
    covered = [(sample, row) for b in blocks for sample in range(b.n0, b.n1) for row in range(b.r0, b.r1)]
    assert covered == [(sample, row) for sample in range(n) for row in range(rows // unit * unit)]
    assert all((b.r1 - b.r0) % unit == 0 and b.r1 - b.r0 <= max(limit, unit) for b in blocks)
    if n == 1 and rows // unit >= 2 * lanes:
        shares = [
            _rows(blocks[lane * len(blocks) // lanes : (lane + 1) * len(blocks) // lanes]) for lane in range(lanes)
        ]
        assert max(shares) - min(shares) <= unit or len(blocks) == rows // unit


def _rows(blocks: list[Block]) -> int:
    return sum(block.r1 - block.r0 for block in blocks)


@given(st.integers(0, 9), st.integers(1, 300), st.integers(1, 100))
def test_chunks_are_whole_lines_where_a_line_fits(start: int, size: int, most: int) -> None:
    chunks = chunks_of(slice(start, start + size), most)
    assert [i for chunk in chunks for i in range(chunk.start, chunk.stop)] == [*range(start, start + size)]
    sizes = [chunk.stop - chunk.start for chunk in chunks]
    assert all(0 < found <= most for found in sizes)
    if most >= 16:
        assert all(found % 16 == 0 for found in sizes[:-1])
    else:
        assert max(sizes) - min(sizes) <= 1


def test_settings_of_numpy_are_those_of_the_caller_afterwards() -> None:
    def settings() -> tuple[object, ...]:
        return np.geterr(), np.getbufsize()

    before = settings()
    inside = with_plan_settings(settings)()
    assert inside == (dict.fromkeys(before[0], "ignore"), BUFFER) != before
    assert settings() == before
    with pytest.raises(ZeroDivisionError):
        with_plan_settings(lambda: 1 // 0)()
    assert settings() == before


@pytest.mark.parametrize("n", [1, 64])
def test_a_model_leaves_the_settings_of_numpy(n: int) -> None:
    graph = network("conv: {channels: 8, kernel: 3, activation: relu}, flatten, dense: 4")
    model, before = prepare(graph, threads=2), (np.geterr(), np.getbufsize())
    model.run(batch(graph, n))
    assert (np.geterr(), np.getbufsize()) == before
    trained(model, n, CrossEntropy())
    assert (np.geterr(), np.getbufsize()) == before
