"""Which sizes a network accepts: by the textbook's formula done by hand, and beside whole checks at those sizes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnnspec
from cnnspec.diagnostics import Source
from cnnspec.graph.size_sets import SizeSet, pattern
from cnnspec.graph.valid_sizes import ValidSizes, valid_sizes
from cnnspec.language.resized import resizing


def sizes_of(text: str) -> list[ValidSizes]:
    return valid_sizes(cnnspec.loads(text).graph)


def only(text: str) -> ValidSizes:
    (found,) = sizes_of(text)
    return found


def image(layers: str, n: int = 8) -> str:
    return f"input: [1, {n}, {n}]\nlayers: {layers}\n"


def members(sizes: SizeSet, last: int = 40) -> list[int]:
    return [n for n in range(1, last + 1) if n in sizes]


def axes(entry: ValidSizes) -> list[list[str]]:
    return [[place.name for place in group] for group in entry.groups]


POOLED = "conv: {channels: 2, kernel: 3}, max_pool: 2"


class TestOneInput:
    def test_a_window_needs_its_own_size(self) -> None:
        found = only(image("[conv: {channels: 1, kernel: 3}]"))
        assert axes(found) == [["height"], ["width"]]
        assert (str(found.fitting), str(found.keeping), str(found.reading)) == ("any from 3 up",) * 3
        assert found.below is not None
        assert found.below.size == 2
        assert found.below.fault.message.startswith("`conv1` window does not fit its input: 3×3 window, 2×8 input")
        assert found.leaves is None

    def test_strides_leave_rows_out(self) -> None:
        """⌊n/2⌋ rows behind the pool, of which a 3×3 window with stride 2 reads all where their number is odd."""
        found = only(image("[max_pool: 2, conv: {channels: 1, kernel: 3, stride: 2}]"))
        assert str(found.fitting) == "any from 6 up"
        assert str(found.reading) == "from 6 up in steps of 4 (6, 10, 14, …)"
        assert found.period == 4
        size, outcome = found.leaves or (0, None)
        assert size == 8  # makes 4, of which the window reads 3
        assert outcome is not None
        assert [(u.name, u.counts) for u in outcome.unread] == [("conv1", (1, 0))]

    def test_padding_reads_what_a_stride_leaves(self) -> None:
        """With p = 2 a 3×3 window of stride 2 reads every row: one row of padding is left over where n is even."""
        found = only(image("[conv: {channels: 1, kernel: 3, stride: 2, padding: same}]"))
        assert str(found.reading) == str(found.fitting) == "any from 1 up"

    def test_gaps_between_windows_are_not_the_end(self) -> None:
        found = only(image("[conv: {channels: 1, kernel: 1, stride: 2}]"))
        assert str(found.reading) == "any from 1 up"

    def test_a_rounding_up_pool_reads_all(self) -> None:
        assert str(only(image("[max_pool: {kernel: 2, rounding: ceil}]")).reading) == "any from 1 up"

    @pytest.mark.parametrize(("levels", "step"), [(1, 2), (2, 4), (3, 8)])
    def test_down_and_up_again_takes_multiples(self, levels: int, step: int) -> None:
        """⌊n/2⌋·2 = n where n is even; two levels need a multiple of 4, three of 8."""
        down, up = ", ".join(["max_pool: 2"] * levels), ", ".join(["upsample: 2"] * levels)
        found = only(image(f"[add: {{deep: [{down}, {up}], skip: []}}]", 16))
        assert members(found.fitting) == [*range(step, 41, step)]
        assert str(found.fitting) == f"from {step} up in steps of {step} ({step}, {2 * step}, {3 * step}, …)"
        assert found.between is not None
        assert (found.between.size, found.between.fault.name) == (step + 1, "add1")

    def test_a_dense_layer_behind_flatten_fixes_the_size(self) -> None:
        """8 − 2 = 6 rows, and 3 behind the pool; 9 − 2 = 7 rows are 3, too. 2 channels: 18 features."""
        found = only(image(f"[{POOLED}, flatten, dense: 5]"))
        assert (str(found.keeping), str(found.fitting)) == ("8, 9", "any from 4 up")
        assert members(found.reading) == [*range(4, 41, 2)]
        assert [(r.size, r.fault.message) for r in found.around] == [
            (7, "`dense1` reads 12 features, not 18"),
            (10, "`dense1` reads 24 features, not 18"),
        ]

    def test_without_a_pool_one_size_fits(self) -> None:
        assert str(only(image("[flatten, dense: 5]")).keeping) == "8"

    def test_adaptive_pooling_keeps_the_weights(self) -> None:
        found = only(image(f"[{POOLED}, adaptive_avg_pool: 2, flatten, dense: 5]"))
        assert str(found.keeping) == "any from 4 up"

    def test_embeddings_of_positions_are_weights(self) -> None:
        found = only(image("[conv: {channels: 4, kernel: 4, stride: 4}, position_embedding, global_avg_pool]"))
        assert (str(found.keeping), str(found.fitting)) == ("8 to 11", "any from 4 up")

    def test_a_crop_needs_its_size(self) -> None:
        found = only(image("[conv: {channels: 1, kernel: 3}, crop: 4]"))
        assert str(found.fitting) == "any from 6 up"

    def test_a_crop_like_a_layer_follows_it(self) -> None:
        text = image("[add: {main: [conv: {channels: 1, kernel: 5, name: a}], skip: [crop: {like: a}]}]")
        text = text.replace("crop: {like: a}", "from: input, crop: {like: a}")
        assert str(only(text).fitting) == "any from 5 up"

    def test_sizes_in_expressions_are_computed_anew(self) -> None:
        text = image("[max_pool: 2, reshape: [$in_height, 1, $in_width], conv: {channels: 3, kernel: 1}]")
        graph = cnnspec.loads(text).graph
        found = valid_sizes(graph, resizing(graph, Source("net.yaml", text), {}))
        assert [(axes(e), str(e.keeping), str(e.fitting)) for e in found] == [
            ([["height"]], "8, 9", "any from 2 up"),
            ([["width"]], "any from 2 up", "any from 2 up"),
        ]

    def test_numbers_in_the_spec_have_one_size(self) -> None:
        text = "input: [1, 2, 2]\nlayers: [flatten, dense: {units: 1, weight: [1, 2, 3, 4]}]\n"
        assert str(only(text).fitting) == "2"

    def test_axes_by_themselves(self) -> None:
        found = sizes_of(
            "input: {channels: 1, depth: 4, height: 8, width: 8}\nlayers: [max_pool: {kernel: [1, 3, 3]}]\n"
        )
        assert [(axes(entry), str(entry.fitting), str(entry.reading)) for entry in found] == [
            ([["depth"]], "any from 1 up", "any from 1 up"),
            ([["height"], ["width"]], "any from 3 up", "from 3 up in steps of 3 (3, 6, 9, …)"),
        ]

    def test_sequences(self) -> None:
        found = only("input: {channels: 2, length: 20}\nlayers: [conv: {channels: 1, kernel: 5, stride: 3}]\n")
        assert axes(found) == [["length"]]
        assert members(found.reading, 20) == [5, 8, 11, 14, 17, 20]

    def test_height_and_width_that_must_be_one(self) -> None:
        """A map times itself: as many columns as rows."""
        found = only(image("[matmul: {a: [], b: []}]"))
        assert axes(found) == [["height", "width"]]
        assert str(found.fitting) == "any from 1 up"

    def test_a_vector_has_no_sizes(self) -> None:
        assert sizes_of("input: [3]\nlayers: [dense: 2]\n") == []


class TestSeveralInputs:
    INPUTS = "inputs: {a: [1, 8, 8], b: [1, 8, 8]}\n"

    def test_inputs_that_are_added_change_together(self) -> None:
        found = only(self.INPUTS + "layers: [add: {x: [], y: [from: b]}, max_pool: 2]\n")
        assert [[(p.input, p.name) for p in group] for group in found.groups] == [
            [("a", "height"), ("b", "height")],
            [("a", "width"), ("b", "width")],
        ]
        assert (str(found.fitting), members(found.reading, 8)) == ("any from 2 up", [2, 4, 6, 8])

    def test_inputs_that_meet_as_vectors_are_independent(self) -> None:
        layers = "layers: [add: {x: [global_avg_pool], y: [from: b, max_pool: 2, global_avg_pool]}]\n"
        found = sizes_of(self.INPUTS + layers)
        assert [(len(entry.groups), str(entry.fitting)) for entry in found] == [
            (2, "any from 1 up"),
            (2, "any from 2 up"),
        ]

    def test_shared_weights_must_stay_alike(self) -> None:
        branches = "x: [flatten, dense: {units: 2, name: d}], y: [from: b, flatten, dense: {units: 2, share: d}]"
        found = only(f"{self.INPUTS}layers: [add: {{{branches}}}]\n")
        assert [len(group) for group in found.groups] == [2, 2]
        assert (str(found.keeping), str(found.fitting)) == ("8", "any from 1 up")


@pytest.mark.parametrize("name", ["lenet", "alexnet", "squeezenet1_1", "unet_padded", "vit_tiny", "m5"])
def test_a_whole_check_says_the_same(name: str) -> None:
    """The checker itself, with --input: another way through blocks, references and expressions."""
    graph = cnnspec.load(name).graph
    for entry in valid_sizes(graph):
        first = entry.fitting.first or 1
        own = entry.groups[0][0].size
        for n in {*range(max(1, first - 2), first + 3), own - 1, own, own + 1, own + 7}:
            shape = list(graph.input.shape)
            for (place,) in entry.groups:
                shape[1 + place.axis] = n
            assert cnnspec.check(name, input_shape=tuple(shape), fixes=False).ok == (n in entry.fitting), shape


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=3))
def test_windows_one_by_one(layers: list[tuple[int, int, int]]) -> None:
    """The rows that windows read, listed one by one: kernel, stride, padding on each side below the kernel."""
    layers = [(k, s, min(p, k - 1)) for k, s, p in layers]

    def passes(n: int) -> tuple[bool, bool]:
        reads = True
        for k, s, p in layers:
            starts = [start for start in range(-p, n + p - k + 1) if (start + p) % s == 0]
            if not starts:
                return False, False
            end = n - 1 - (starts[-1] + k - 1)  # elements behind the last window
            reads = reads and end <= max(0, s - k)
            n = len(starts)
        return True, reads

    own = next(n for n in range(20, 200) if passes(n)[0])
    written = ", ".join(
        f"conv: {{channels: 1, kernel: {k}, stride: {s}, padding: {{each_side: {p}}}}}" for k, s, p in layers
    )
    found = only(image(f"[{written}]", own))
    last = 60
    assert members(found.fitting, last) == [n for n in range(1, last + 1) if passes(n)[0]]
    assert members(found.reading, last) == [n for n in range(1, last + 1) if passes(n)[1]]


class TestPattern:
    @pytest.mark.parametrize(
        ("found", "period", "text"),
        [
            (range(29, 101), 32, "any from 29 up"),
            (range(32, 101, 4), 8, "from 32 up in steps of 4 (32, 36, 40, …)"),
            ([28, 29, 30, 31], 4, "28 to 31"),
            ([28], 1, "28"),
            ([7, *range(10, 101, 2)], 2, "7, and from 10 up in steps of 2 (10, 12, 14, …)"),
            ([n for n in range(5, 101) if n % 4 in (0, 1)], 4, "5, 8, and so on every 4"),
            ([], 1, "none"),
        ],
    )
    def test_text(self, found: list[int], period: int, text: str) -> None:
        sizes = pattern(found, 100, period)
        assert str(sizes) == text
        assert [n for n in range(1, 101) if n in sizes] == [*found]
