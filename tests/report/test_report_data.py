"""The data of a report, by values that are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_samples import CLASSIFIER, trained_run

import cnnspec
from cnnspec.data.named import NamedBatch
from cnnspec.errors import DataError
from cnnspec.graph.costs import summarize
from cnnspec.report import pictures
from cnnspec.report.activations import MOST_SIDE, channels_for, feature_maps
from cnnspec.report.assessment import MOST_MISTAKES, assess
from cnnspec.report.data import Wanted, collect
from cnnspec.report.kernels import first_kernels
from cnnspec.report.network import cost_tree, excerpt, network
from cnnspec.runtime.options import Execution
from cnnspec.view import sheets


def dataset(spec: cnnspec.Spec, x: np.ndarray, y: np.ndarray) -> cnnspec.Dataset:
    from cnnspec.data.memory import Part, fitted

    split = fitted(Part("data", x, y), y, spec)
    return cnnspec.Dataset("data", split, split, spec.classes)


class TestNetwork:
    @pytest.mark.parametrize("name", ["lenet", "resnet18", "unet_padded", "densenet121"])
    def test_the_peak_of_the_timeline_is_the_memory_of_inference(self, name: str) -> None:
        found = network(cnnspec.load(name))
        totals = summarize(found.graph).totals
        assert found.timeline.peak_bytes == totals.inference_bytes
        assert found.timeline.live[found.timeline.peak] == totals.peak_activation_bytes

    def test_the_layer_at_the_peak_of_lenet(self) -> None:
        line = network(cnnspec.load("lenet")).timeline
        assert line.names[line.peak] == "sigmoid1"
        assert max(line.live) == 2 * 6 * 24 * 24 * 4

    def test_blocks_add_up(self) -> None:
        found = network(cnnspec.load("resnet18"))
        totals = found.summary.totals
        assert (found.costs.parameters, found.costs.macs) == (totals.parameters, totals.macs)
        assert [part.name for part in found.costs.parts if part.is_block] == [f"stage{i}" for i in (1, 2, 3, 4)]
        stage = next(part for part in found.costs.parts if part.name == "stage2")
        assert sum(part.parameters for part in stage.parts) == stage.parameters == 525_568
        assert [part.layers for part in stage.parts] == [9, 7]

    def test_the_lines_of_a_layer(self) -> None:
        found = network(cnnspec.loads(CLASSIFIER))
        assert found.excerpts["max_pool1"].place == (6, 6)
        assert found.excerpts["max_pool1"].lines[6 - found.excerpts["max_pool1"].first] == "  - max_pool: 2"

    def test_a_graph_without_text_has_no_lines(self) -> None:
        graph = cnnspec.load("lenet").graph
        assert excerpt(replace(graph.nodes[1], span=None)) is None

    def test_the_same_block_later_stands_there_again(self) -> None:
        rows = summarize(cnnspec.load("resnet18").graph).rows
        order = [rows[0], *rows[5:7], rows[1], rows[7]]  # input, two of stage1, conv1, one of stage1
        assert [part.name for part in cost_tree("net", order).parts] == ["stage1", "conv1", "stage1"]


class TestPictures:
    def test_each_map_is_scaled_by_itself(self) -> None:
        maps = np.array([[[0.0, 1.0]], [[-10.0, 10.0]], [[3.0, 3.0]]])
        assert pictures.normalised(maps).tolist() == [[[0, 254]], [[0, 254]], [[0, 0]]]

    def test_zero_is_in_the_middle(self) -> None:
        assert pictures.signed(np.array([[[-2.0, 0.0, 1.0]]])).tolist() == [[[0, 127, 190]]]
        assert set(pictures.signed(np.zeros((1, 2, 2))).ravel()) == {127}

    def test_numbers_that_are_not_finite(self) -> None:
        assert pictures.normalised(np.array([[[np.nan, 1.0]]])).shape == (1, 1, 2)

    def test_maps_are_put_side_by_side_with_lines_between(self) -> None:
        sheet = sheets.side_by_side(np.arange(3, dtype=np.uint8).reshape(3, 1, 1), 2)
        assert sheet.tolist() == [[0, 255, 1], [255, 255, 255], [2, 255, 255]]

    def test_large_maps_become_means_of_blocks(self) -> None:
        maps = np.arange(10.0).reshape(1, 1, 10)
        assert sheets.shrunk(maps, 4).tolist() == [[[1, 4, 7, 9]]]
        assert sheets.shrunk(maps, 10) is maps

    def test_a_png_has_the_levels(self) -> None:
        image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
        pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
        import base64
        import io

        uri = pictures.levels_uri(np.array([[0, 254, 255]], np.uint8), "magma")
        picture = image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGBA")
        assert [picture.getpixel((i, 0)) for i in range(3)] == [(0, 0, 3, 255), (251, 252, 191, 255), (0, 0, 0, 0)]


class TestFeatureMaps:
    def test_every_layer_of_a_sample(self) -> None:
        spec = cnnspec.load("lenet")
        model = cnnspec.build(spec, weights="lenet")
        x = np.random.default_rng(0).random((2, 1, 28, 28))
        found = feature_maps(spec, model, NamedBatch({"input": x}, ("a", "b")))
        values = model.trace(x)
        assert [one.layer for one in found.maps] == [node.name for node in spec.graph.nodes]
        assert (found.source, found.others) == ("a", 1)
        conv = found.maps[1]
        assert (conv.shape, conv.shown, conv.columns) == ((6, 24, 24), 6, 3)
        assert conv.levels.shape == (2 * 24 + 1, 3 * 24 + 2)
        assert conv.low == pytest.approx(values["conv1"][0].min())
        assert conv.levels[:24, :24].tolist() == pictures.normalised(values["conv1"][0, :1])[0].tolist()

    def test_the_top_classes(self) -> None:
        spec = cnnspec.load("lenet")
        model = cnnspec.build(spec, weights="lenet")
        x = np.random.default_rng(0).random((1, 1, 28, 28))
        (top,) = feature_maps(spec, model, NamedBatch({"input": x}, ("a",))).top
        y = model.predict(x)[0]
        assert [name for name, _ in top.rows] == [spec.classes[i] for i in np.argsort(-y)[:5]]
        assert top.rows[0][1] == pytest.approx((np.exp(y) / np.exp(y).sum()).max(), rel=1e-5)

    def test_channels_and_sides_have_a_limit(self) -> None:
        spec = cnnspec.loads("input: [1, 200, 300]\nlayers: [conv: {channels: 40, kernel: 1}, global_avg_pool]\n")
        model = cnnspec.build(spec)
        found = feature_maps(spec, model, NamedBatch({"input": np.zeros((1, 1, 200, 300))}, ("a",))).maps
        assert (found[1].shown, found[1].shape[0]) == (16, 40)
        assert found[1].note == "shrunk to 67×75"
        assert max(67, 75) <= MOST_SIDE
        assert channels_for(cnnspec.load("unet").graph) < 16

    def test_vectors_and_sequences(self) -> None:
        spec = cnnspec.loads("input: {channels: 3, length: 20}\nlayers: [conv: {channels: 5, kernel: 3}, flatten]\n")
        model = cnnspec.build(spec)
        found = feature_maps(spec, model, NamedBatch({"input": np.ones((1, 3, 20))}, ("a",))).maps
        assert [one.levels.shape for one in found] == [(3, 20), (5, 18), (3, 32)]
        assert found[2].shown == 90


class TestKernels:
    def test_grey_kernels_and_colours(self) -> None:
        spec = cnnspec.load("lenet")
        found = first_kernels(spec.graph, cnnspec.build(spec, weights="lenet").state())
        assert found is not None
        assert (found.layer, found.shape, found.shown, found.are_colours) == ("conv1", (6, 1, 5, 5), 6, False)
        spec = cnnspec.load("resnet18")
        found = first_kernels(spec.graph, cnnspec.build(spec).state())
        assert found is not None
        assert (found.are_colours, found.picture.shape) == (True, (3, 4 * 8 - 1, 16 * 8 - 1))

    def test_a_network_without(self) -> None:
        spec = cnnspec.load("mlp")
        assert first_kernels(spec.graph, cnnspec.build(spec).state()) is None

    def test_kernels_of_one_element_are_passed_over(self) -> None:
        spec = cnnspec.loads(
            "input: [2, 8, 8]\nlayers: [conv: {channels: 2, kernel: 1}, conv: {channels: 3, kernel: 2}]\n"
        )
        found = first_kernels(spec.graph, cnnspec.build(spec).state())
        assert found is not None
        assert (found.layer, found.shown) == ("conv2", 6)


class TestAssessment:
    def test_dead_units_of_a_constructed_network(self) -> None:
        """Unit 1 never fires, since its bias is far below every input; unit 0 always does, and unit 2 once."""
        spec = cnnspec.loads(
            "input: [1, 4, 4]\nlayers:\n  - conv: {channels: 3, kernel: 1, weight: [[[[1]]], [[[1]]], [[[1]]]],"
            " bias: [1, -9, -2]}\n  - relu\n  - global_avg_pool\n  - dense: 2\ntrain: {loss: cross_entropy}\n"
        )
        x = np.zeros((5, 1, 4, 4), np.float32)
        x[3, 0, 2, 2] = 2.5
        found = assess(spec, cnnspec.build(spec), dataset(spec, x, np.zeros(5, int)), Execution(), batch=2)
        assert [(one.layer, one.units, one.dead) for one in found.dead] == [("relu1", 3, (1,))]

    def test_the_most_confident_mistakes_come_first(self) -> None:
        """The network predicts the larger of two numbers; targets are wrong for samples 1, 4 and 6."""
        spec = cnnspec.loads("input: [2]\nlayers: [scale]\ntrain: {loss: cross_entropy}\n")
        gaps = np.array([3, 0.5, 1, 2, -4, 1, 2], np.float32)
        x = np.stack([gaps, np.zeros(7, np.float32)], axis=1)
        y = np.array([0, 1, 0, 0, 0, 0, 1])
        found = assess(spec, cnnspec.build(spec), dataset(spec, x, y), Execution(), batch=3)
        ((name, mistakes),) = found.mistakes.items()
        assert [(one.index, one.actual, one.predicted) for one in mistakes] == [(4, 0, 1), (6, 1, 0), (1, 1, 0)]
        assert mistakes[0].probability == pytest.approx(1 / (1 + np.exp(-4)), rel=1e-5)
        assert found.mistaken == {name: 3}
        assert found.outputs[name].confusion is not None
        assert found.outputs[name].confusion.tolist() == [[4, 1], [2, 0]]

    def test_no_more_mistakes_than_are_shown_are_kept(self) -> None:
        spec = cnnspec.loads("input: [2]\nlayers: [scale]\ntrain: {loss: cross_entropy}\n")
        n = 2 * MOST_MISTAKES
        x = np.stack([np.arange(1, n + 1) / n, np.zeros(n)], axis=1).astype(np.float32)
        found = assess(spec, cnnspec.build(spec), dataset(spec, x, np.ones(n, int)), Execution(), batch=7)
        (mistakes,) = found.mistakes.values()
        assert [one.index for one in mistakes] == list(range(n - 1, n - 1 - MOST_MISTAKES, -1))
        assert [*found.mistaken.values()] == [n]

    def test_fewer_samples_than_there_are(self) -> None:
        spec = cnnspec.loads("input: [2]\nlayers: [scale]\ntrain: {loss: cross_entropy}\n")
        x = np.random.default_rng(0).random((20, 2)).astype(np.float32)
        found = assess(spec, cnnspec.build(spec), dataset(spec, x, np.zeros(20, int)), Execution(), samples=6)
        assert (found.samples, found.of) == (6, 20)

    def test_a_network_that_cannot_be_silent(self) -> None:
        spec = cnnspec.loads("input: [2]\nlayers: [dense: 3, sigmoid, dense: 2]\ntrain: {loss: cross_entropy}\n")
        found = assess(spec, cnnspec.build(spec), dataset(spec, np.zeros((3, 2)), np.zeros(3, int)), Execution())
        assert found.dead == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_run(tmp_path_factory.mktemp("run"))


class TestRun:
    def test_what_a_run_has_and_what_its_weights_do(self, run: Path) -> None:
        spec = cnnspec.load(run / "spec.yaml")
        found = collect(spec, None, Wanted(run=run), None).run
        assert found is not None
        assert [record["epoch"] for record in found.records] == [1, 2, 3]
        assert found.assessment is not None
        assert (found.assessment.split, found.assessment.samples) == ("validation", 12)
        _, _, evaluated = cnnspec.evaluate(run, split="validation")
        (own,) = found.assessment.outputs.values()
        assert own.metrics["accuracy"] == evaluated.metrics["accuracy"]
        assert own.loss == pytest.approx(evaluated.loss, rel=1e-5)
        assert list(found.histograms[0]["weights"]) == [*spec.graph.parameters]
        assert found.histograms[0]["epoch"] is None

    def test_data_that_is_gone(self, tmp_path: Path) -> None:
        run = trained_run(tmp_path)
        (tmp_path / "samples.npz").unlink()
        found = collect(cnnspec.load(run / "spec.yaml"), None, Wanted(run=run), None).run
        assert found is not None
        assert found.assessment is None
        assert "samples.npz" in found.missing

    def test_a_run_without_a_complete_epoch(self, tmp_path: Path) -> None:
        run = trained_run(tmp_path)
        for name in ("metrics.jsonl", "best.safetensors"):
            (run / name).unlink()
        found = collect(cnnspec.load(run / "spec.yaml"), None, Wanted(run=run), None)
        assert found.run is not None
        assert (found.run.records, found.run.assessment, found.trained) == ([], None, False)
        assert "has not completed an epoch" in found.run.missing

    def test_a_run_of_another_network(self, run: Path) -> None:
        with pytest.raises(DataError, match=r"another network than `lenet`: it has `input` \(input, 1×8×8\) where"):
            collect(cnnspec.load("lenet"), None, Wanted(run=run), None)

    def test_no_run_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no folder of a run"):
            collect(cnnspec.load("lenet"), None, Wanted(run=tmp_path), None)
