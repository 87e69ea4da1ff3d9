"""The memory of a training step, against sums by hand. (tests/backends compares it with steps of the Torch backend.)"""

from __future__ import annotations

import pytest

import cnnspec
from cnnspec.errors import BackendError
from cnnspec.graph.costs import summarize
from cnnspec.graph.training import Adam, Lamb, Lion, Optimizer, RmsProp, Sgd, Train
from cnnspec.graph.training_memory import training_memory


def needed(text: str, batch: int = 1, itemsize: int = 4, train: Train | None = None, recompute: str = "") -> int:
    """Return the bytes of a step by SGD, unless settings are given, on the layers of a text."""
    spec = cnnspec.loads(text)
    blocks = (recompute,) if recompute else ()
    return training_memory(spec.trained_graph, itemsize, train or spec.train or Train(), blocks).bytes(batch)


SMALL = "input: [3]\nlayers: [dense: 5, relu]\n"


class TestStep:
    @pytest.mark.parametrize(
        ("optimizer", "slots"),
        [(Sgd(), 0), (Sgd(momentum=0.9), 1), (RmsProp(), 1), (Adam(), 2), (Lion(), 1)],
        ids=lambda value: getattr(value, "kind", str(value)),
    )
    def test_the_peak_is_at_the_last_layer(self, optimizer: Optimizer, slots: int) -> None:
        """There are no gradients of weights yet, but the loss and two gradients, and what both layers keep."""
        weights = 3 * 5 + 5
        activations = (3 + 5) + 2 * 5 + (5 + 5)
        assert needed(SMALL, 2, train=Train(optimizer=optimizer)) == 4 * ((1 + slots) * weights + 2 * activations)

    @pytest.mark.parametrize(
        ("optimizer", "arrays", "of_the_largest"),
        [
            (Sgd(), 2, 0),
            (Sgd(weight_decay=0.1), 2, 0),
            (Adam(), 4, 0),
            (Adam(weight_decay=0.1), 4, 0),
            (RmsProp(), 4, 0),
            (RmsProp(weight_decay=0.1), 5, 0),
            (Lion(), 3, 1),
            (Lamb(), 4, 2),
        ],
        ids=lambda value: getattr(value, "kind", str(value)),
    )
    def test_the_update_is_the_peak_of_large_weights(
        self, optimizer: Optimizer, arrays: int, of_the_largest: int
    ) -> None:
        text = "input: [1000]\nlayers: [dense: {units: 1000, bias: false}, dense: {units: 500, bias: false}]\n"
        expected = 4 * (1_500_000 * arrays + 1_000_000 * of_the_largest)
        found = needed(text, train=Train(optimizer=optimizer))
        assert expected <= found < expected + 50_000  # plain SGD has activations of some kilobytes beside

    def test_gradients_come_as_activations_go(self) -> None:
        """The large layer at the end has its gradient before the large activations at the start are freed."""
        text = (
            "input: [1, 40, 40]\nlayers: [conv: {channels: 8, kernel: 1, bias: false}, global_avg_pool, dense: 900]\n"
        )
        dense = 8 * 900 + 900
        last = 1600 + 8 + 2 * 900 + (900 + 8) + 900  # kept, the loss, two gradients and the output
        pool = 1600 + (8 + 8 * 1600) + 900
        step = 4 * max(8 + 2 * dense + 5 * last, 8 + 2 * dense + 5 * pool)
        assert needed(text, 5) == step

    def test_a_view_keeps_what_it_shows(self) -> None:
        """The half of the channels that the dense layer reads keeps all of them; a copy would be 50 numbers."""
        text = "input: [4, 5, 5]\nlayers: [scale: 2, slice: [0, 2], flatten, dense: {units: 1, bias: false}]\n"
        weights, gradients_of_weights = 4 + 50, 50
        input_, scaled, output, loss, gradients = 100, 100, 1, 2, 1 + 50
        assert needed(text) == 4 * (weights + gradients_of_weights + input_ + scaled + output + loss + gradients)

    def test_a_batch_adds_the_same_for_each_sample(self) -> None:
        memory = training_memory(cnnspec.load("resnet18").graph, 4, Train())
        assert memory.bytes(641) - memory.bytes(640) == memory.bytes(640) - memory.bytes(639) > 0


class TestFormat:
    def test_weights_stay_in_float32_beside_their_copies(self) -> None:
        weights, activations = 3 * 5 + 5, 4 * 3 + 2 * (3 + 5) + 4 * 5 + 2 * 4 * 5 + 2 * (5 + 5)
        assert needed(SMALL, 2, itemsize=2) == (4 + 2) * weights + 2 * activations

    def test_float64(self) -> None:
        weights, activations = 3 * 5 + 5, 8 * (3 + 5) + 2 * 4 * 5 + 8 * (5 + 5)
        assert needed(SMALL, 2, itemsize=8) == 8 * weights + 2 * activations

    def test_norms_are_not_cast(self) -> None:
        text = "input: [64]\nlayers: [dense: {units: 2000, bias: false}, batch_norm, dense: 3]\n"
        dense, norm, last = 64 * 2000, 2 * 2000, 3 * 2000 + 3
        state = 2 * 2000
        found = needed(text, itemsize=2)
        with_gradients = 4 * (2 * (dense + norm + last) + state) + 2 * (dense + last)
        assert (
            with_gradients < found < with_gradients + 2 * dense + 30_000
        )  # the gradient of the first layer in 16 bits


class TestSettings:
    def test_frozen_layers_have_no_gradients(self) -> None:
        text = "input: [4]\nlayers: [dense: {units: 600, name: a}, dense: {units: 300, name: b}]\n"
        spec = cnnspec.loads(f"{text}train: {{freeze: a, optimizer: adam}}\n")
        a, b = 4 * 600 + 600, 600 * 300 + 300
        summary = summarize(spec.graph, 1, 4, spec.train, spec.trained_graph)
        activations = (4 + 600) + 2 * 300 + 300 + 300  # kept, the loss, its gradient and the output
        assert summary.totals.training_bytes == 4 * (a + 4 * b + activations)
        assert (summary.totals.parameters, summary.frozen) == (a + b, a)

    def test_what_lies_before_the_first_trained_layer_is_not_kept(self) -> None:
        layers = (
            "conv: {channels: 8, kernel: 3, name: a}, relu, conv: {channels: 8, kernel: 3, name: b}, global_avg_pool"
        )
        text = f"input: [1, 40, 40]\nlayers: [{layers}]\n"
        kept = 8 * 38 * 38
        assert needed(text, 50) - needed(f"{text}train: {{freeze: a}}\n", 50) >= 50 * 4 * kept

    def test_a_moving_average_is_a_copy_of_all_arrays(self) -> None:
        text = "input: [8]\nlayers: [dense: 8, batch_norm, dense: 4]\n"
        arrays = 8 * 8 + 8 + 4 * 8 + 8 * 4 + 4
        assert needed(text, 3, train=Train(ema=0.9)) - needed(text, 3) == 4 * arrays

    def test_parts_of_a_step_begin_with_the_gradients_of_others(self) -> None:
        weights = 3 * 5 + 5
        assert needed(SMALL, 2, train=Train(accumulate=2)) - needed(SMALL, 2) == 4 * weights

    def test_two_layers_that_share_an_array_have_a_gradient_each(self) -> None:
        text = "input: [500]\nlayers: [dense: {units: 500, bias: false, name: a}, dense: {units: 500, bias: false"
        weights = 500 * 500
        shared, apart = needed(f"{text}, share: a}}]\n"), needed(f"{text}}}]\n")
        assert 4 * 4 * weights <= shared < 4 * 4 * weights + 30_000  # the weights, two gradients and their sum
        assert 4 * 4 * weights <= apart < 4 * 4 * weights + 30_000  # both weights and their gradients


class TestRecomputing:
    TEXT = """\
input: [8, 20, 20]
blocks:
  unit: {layers: [conv: {channels: 8, kernel: 3, padding: same, norm: batch_norm, activation: relu}, relu6]}
layers:
  - repeat: {name: stage, times: 8, layers: [unit]}
  - global_avg_pool
"""

    def test_only_what_blocks_read_is_kept(self) -> None:
        """What each unit reads, with two values inside; recomputed, the two values of one unit. And two gradients."""
        value = 100 * 4 * 8 * 20 * 20
        assert needed(self.TEXT, 100) == pytest.approx((8 + 8 * 2 + 2) * value, rel=0.01)
        assert needed(self.TEXT, 100, recompute="stage*") == pytest.approx((8 + 2 + 2) * value, rel=0.01)

    def test_some_blocks(self) -> None:
        every, some = (needed(self.TEXT, 100, recompute=name) for name in ("stage*", "stage1"))
        assert every < some < needed(self.TEXT, 100)

    def test_a_block_that_is_not_there(self) -> None:
        with pytest.raises(BackendError, match="no named block `unit` to recompute"):
            needed(self.TEXT, recompute="unit")
